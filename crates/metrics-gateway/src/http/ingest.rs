//! `POST /v1/ingest/{org}/{app}`: a signed batch of events; see [`crate::events`].

use std::net::SocketAddr;

use axum::extract::{ConnectInfo, Path, Request, State};
use axum::response::Response;
use http::HeaderMap;
use service_kit::client_address::ClientAddress;
use service_kit::places::network;
use service_kit::tls::is_private_address;

use super::State as Shared;
use super::cors::{self, Allowed};
use super::error::Error;
use super::watched::id;
use crate::events::Sender;
use crate::metrics::events as metrics;

const ALLOWED: Allowed = Allowed {
    methods: "POST",
    headers: "content-type, content-encoding, authorization, x-signature, x-timestamp, x-nonce, \
              x-batch-size, x-sdk-version, x-schema-version, x-clacks-overhead, dnt, sec-gpc",
};

/// Takes a batch.
pub(super) async fn take(
    State(shared): State<Shared>,
    Path((org, app)): Path<(String, String)>,
    ConnectInfo(peer): ConnectInfo<SocketAddr>,
    request: Request,
) -> Response {
    let (head, body) = request.into_parts();
    let Some(intake) = shared.intake.as_deref() else {
        return Error::NotFound.response(id(&head.extensions));
    };
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
            // Behind all that waits to be taken, or one who sends nothing but what is refused, many
            // requests before the first answer, would have most of the processor.
            tokio::task::yield_now().await;
            refusal.response(id(&head.extensions))
        }
    };
    cors::share(&shared, (&org, &app), &head.headers, &mut response);
    response
}

/// Tells a browser whether a page may send at all.
pub(super) async fn preflight(
    State(shared): State<Shared>,
    Path((org, app)): Path<(String, String)>,
    headers: HeaderMap,
) -> Response {
    cors::preflight(&shared, (&org, &app), &headers, &ALLOWED)
}
