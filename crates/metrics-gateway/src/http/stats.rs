//! `GET /v1/stats/{org}/{app}`, `/v1/usage/…` and `/v1/export/…`: what people ask of an app's
//! events; see [`crate::queries`].

use std::net::SocketAddr;
use std::sync::Arc;

use axum::body::Body;
use axum::extract::{ConnectInfo, Path, RawQuery, Request, State};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use http::{HeaderMap, HeaderValue, header};
use service_kit::client_address::ClientAddress;

use super::cors::{self, Allowed};
use super::error::Error;
use super::live::bearer;
use super::{State as Shared, id};
use crate::access::Verdict;
use crate::queries::encoding::Coding;
use crate::queries::export::{self, Wanted};
use crate::queries::reader::{Whence, is_of_app};
use crate::queries::{Queries, Refusal, Subject};

const ALLOWED: Allowed = Allowed {
    methods: "GET",
    headers: "authorization",
};

type Named = Path<(String, String)>;

/// Who asks, of which app.
struct Asker {
    queries: Arc<Queries>,
    subject: Subject,
    /// The app's own; none: an operator asks.
    token: Option<String>,
}

/// Numbers in steps of time.
pub(super) async fn stats(
    State(shared): State<Shared>,
    Path(app): Named,
    ConnectInfo(peer): ConnectInfo<SocketAddr>,
    RawQuery(query): RawQuery,
    request: Request,
) -> Response {
    let asked = (shared, app, peer, head(&request));
    respond(asked, async |asker| {
        let query = query.unwrap_or_default();
        let body = asker.queries.stats(&asker.subject, &query).await?;
        Ok(json(body))
    })
    .await
}

/// What the app sent this month and in the last days, and what it may.
pub(super) async fn usage(
    State(shared): State<Shared>,
    Path(app): Named,
    ConnectInfo(peer): ConnectInfo<SocketAddr>,
    RawQuery(query): RawQuery,
    request: Request,
) -> Response {
    let asked = (shared, app, peer, head(&request));
    respond(asked, async |asker| {
        let query = query.unwrap_or_default();
        let usage = asker.queries.usage(&asker.subject, &query).await?;
        Ok(json(Bytes::from(usage.to_string())))
    })
    .await
}

/// The events themselves.
pub(super) async fn events(
    State(shared): State<Shared>,
    Path(app): Named,
    ConnectInfo(peer): ConnectInfo<SocketAddr>,
    RawQuery(query): RawQuery,
    request: Request,
) -> Response {
    let coding = Coding::accepted(request.headers());
    let asked = (shared, app, peer, head(&request));
    respond(asked, async |asker| {
        let wanted = asker.queries.wanted(&query.unwrap_or_default())?;
        stream(asker, wanted, coding).await
    })
    .await
}

/// Tells a browser whether a page may ask at all.
pub(super) async fn preflight(
    State(shared): State<Shared>,
    Path((org, app)): Named,
    headers: HeaderMap,
) -> Response {
    cors::preflight(&shared, (&org, &app), &headers, &ALLOWED)
}

/// The number of a request, and its headers.
fn head(request: &Request) -> (String, HeaderMap) {
    (id(request).to_owned(), request.headers().clone())
}

async fn respond(
    (shared, app, peer, (request_id, headers)): (
        Shared,
        (String, String),
        SocketAddr,
        (String, HeaderMap),
    ),
    answer: impl AsyncFnOnce(Asker) -> Result<Response, Refusal>,
) -> Response {
    let Some(queries) = &shared.queries else {
        return Error::NotFound.response(&request_id);
    };
    let app = (app.0.as_str(), app.1.as_str());
    let answered = match admit(&shared, queries, app, (peer, &headers)).await {
        Ok(asker) => answer(asker).await,
        Err(refusal) => Err(refusal),
    };
    let mut response = answered.unwrap_or_else(|refusal| refusal.response(&request_id));
    cors::share(&shared, app, &headers, &mut response);
    response
}

async fn admit(
    shared: &Shared,
    queries: &Arc<Queries>,
    app: (&str, &str),
    (peer, headers): (SocketAddr, &HeaderMap),
) -> Result<Asker, Refusal> {
    let token = bearer(headers).ok_or(Refusal::Unauthorized)?;
    let whence = Whence {
        address: ClientAddress::of(peer.ip(), headers, &shared.trusted_proxies).ip(),
        origin: headers.get(header::ORIGIN),
    };
    let of_app = is_of_app(token);
    let subject = if of_app {
        queries.app_of(app, token, whence)?
    } else {
        match shared.access.operator(token).await {
            Verdict::Yes(()) => queries.subject(app, whence.origin)?,
            Verdict::No => return Err(Refusal::Unauthorized),
            Verdict::Unknown => return Err(Refusal::Unverified),
        }
    };
    Ok(Asker {
        queries: queries.clone(),
        subject,
        token: of_app.then(|| token.to_owned()),
    })
}

fn json(body: Bytes) -> Response {
    let mut response = Body::from(body).into_response();
    settle(&mut response, "application/json");
    response
}

/// An end that is none breaks the connection off: chunks without a last one.
async fn stream(asker: Asker, wanted: Wanted, coding: Coding) -> Result<Response, Refusal> {
    let media_type = wanted.format.media_type();
    let (queries, subject, token) = (asker.queries.clone(), asker.subject.clone(), asker.token);
    let allowed = move || {
        let still = |token: &String| queries.still_knows(&subject, token);
        token.as_ref().is_none_or(still)
    };
    let how = (wanted, coding);
    let begun = export::begin(&asker.queries, asker.subject.id, how, Box::new(allowed));
    let mut response = Body::from_stream(begun.await?).into_response();
    settle(&mut response, media_type);
    let headers = response.headers_mut();
    for (name, value) in [
        (header::VARY, "accept-encoding"),
        (header::CONTENT_DISPOSITION, "attachment"),
    ] {
        headers.insert(name, HeaderValue::from_static(value));
    }
    // nginx would write it to a file as fast as it comes.
    headers.insert("x-accel-buffering", HeaderValue::from_static("no"));
    if let Some(name) = coding.name() {
        headers.insert(header::CONTENT_ENCODING, HeaderValue::from_static(name));
    }
    Ok(response)
}

fn settle(response: &mut Response, media_type: &'static str) {
    let headers = response.headers_mut();
    for (name, value) in [
        (header::CONTENT_TYPE, media_type),
        (header::CACHE_CONTROL, "no-store"),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    ] {
        headers.insert(name, HeaderValue::from_static(value));
    }
}
