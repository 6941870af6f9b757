//! `POST /v1/ingest/{org}/{app}`: a signed batch of events; see [`crate::events`].

use std::net::SocketAddr;

use axum::extract::{ConnectInfo, Path, Request, State};
use axum::response::{IntoResponse, Response};
use http::{HeaderMap, HeaderValue, StatusCode, header};
use service_kit::client_address::ClientAddress;
use service_kit::places::network;
use service_kit::tls::is_private_address;

use super::error::Error;
use super::{State as Shared, id};
use crate::events::Sender;
use crate::metrics::events as metrics;

/// Headers that pages may send.
const ALLOWED: &str = "content-type, content-encoding, authorization, x-signature, x-timestamp, x-nonce, \
                       x-batch-size, x-sdk-version, x-schema-version, x-clacks-overhead, dnt, sec-gpc";
/// How long a browser may remember that, seconds.
const REMEMBERED: &str = "600";

/// Takes a batch.
pub(super) async fn take(
    State(shared): State<Shared>,
    Path((org, app)): Path<(String, String)>,
    ConnectInfo(peer): ConnectInfo<SocketAddr>,
    request: Request,
) -> Response {
    let request_id = id(&request).to_owned();
    let Some(intake) = shared.intake.as_deref() else {
        return Error::NotFound.response(&request_id);
    };
    let (head, body) = request.into_parts();
    let address = ClientAddress::of(peer.ip(), &head.headers, &shared.trusted_proxies).ip();
    let sender = Sender {
        org: &org,
        name: &app,
        address,
        holder: (!is_private_address(address)).then(|| network(address)),
    };
    let mut response = match intake.take(&sender, &head.headers, body).await {
        Ok(response) => response,
        Err(refusal) => {
            metrics::refused(refusal);
            refusal.response(&request_id)
        }
    };
    share(&shared, (&org, &app), &head.headers, &mut response);
    response
}

/// Tells a browser whether a page may send at all.
pub(super) async fn preflight(
    State(shared): State<Shared>,
    Path((org, app)): Path<(String, String)>,
    headers: HeaderMap,
) -> Response {
    let mut response = StatusCode::NO_CONTENT.into_response();
    if share(&shared, (&org, &app), &headers, &mut response) {
        let told = response.headers_mut();
        told.insert(
            header::ACCESS_CONTROL_ALLOW_METHODS,
            HeaderValue::from_static("POST"),
        );
        told.insert(
            header::ACCESS_CONTROL_ALLOW_HEADERS,
            HeaderValue::from_static(ALLOWED),
        );
        told.insert(
            header::ACCESS_CONTROL_MAX_AGE,
            HeaderValue::from_static(REMEMBERED),
        );
    }
    response
}

/// Lets a page of the app's own origins read the answer, and no other.
fn share(
    shared: &Shared,
    (org, app): (&str, &str),
    headers: &HeaderMap,
    response: &mut Response,
) -> bool {
    let told = response.headers_mut();
    told.append(header::VARY, HeaderValue::from_static("origin"));
    let intake = shared.intake.as_ref();
    let Some(origin) = intake.and_then(|intake| intake.origin(org, app, headers)) else {
        return false;
    };
    told.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, origin);
    true
}
