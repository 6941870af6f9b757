//! `GET /v1/stats/{org}/{app}`, `/v1/usage/…` and `/v1/export/…`: what people ask of an app's
//! events; see [`crate::queries`].

use std::net::SocketAddr;
use std::sync::Arc;

use axum::body::Body;
use axum::extract::{ConnectInfo, FromRequestParts, Path, State};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use http::request::Parts;
use http::{HeaderMap, HeaderValue, header};
use service_kit::client_address::ClientAddress;

use super::State as Shared;
use super::cors::{self, Allowed};
use super::error::Error;
use super::live::bearer;
use super::watched::id;
use crate::access::Verdict;
use crate::queries::encoding::Coding;
use crate::queries::export::{self, Wanted};
use crate::queries::reader::{Whence, is_of_app};
use crate::queries::{Queries, Refusal, Subject};

const ALLOWED: Allowed = Allowed {
    methods: "GET",
    headers: "authorization",
};

/// What there is of every question.
pub(super) struct Asked {
    shared: Shared,
    app: (String, String),
    peer: SocketAddr,
    query: String,
    request_id: String,
    headers: HeaderMap,
}

impl FromRequestParts<Shared> for Asked {
    type Rejection = Response;

    async fn from_request_parts(parts: &mut Parts, shared: &Shared) -> Result<Self, Response> {
        let app = Path::from_request_parts(parts, shared).await;
        let peer = ConnectInfo::from_request_parts(parts, shared).await;
        Ok(Self {
            shared: shared.clone(),
            app: app.map_err(IntoResponse::into_response)?.0,
            peer: peer.map_err(IntoResponse::into_response)?.0,
            query: parts.uri.query().unwrap_or_default().to_owned(),
            request_id: id(&parts.extensions).to_owned(),
            headers: parts.headers.clone(),
        })
    }
}

impl Asked {
    fn app(&self) -> (&str, &str) {
        (&self.app.0, &self.app.1)
    }
}

/// Who asks, of which app.
struct Asker {
    queries: Arc<Queries>,
    subject: Subject,
    /// The app's own; none: an operator asks.
    token: Option<String>,
}

/// Numbers in steps of time.
pub(super) async fn stats(asked: Asked) -> Response {
    respond(&asked, async |asker| {
        let body = asker.queries.stats(&asker.subject, &asked.query).await?;
        Ok(json(body))
    })
    .await
}

/// What the app sent this month and in the last days, and what it may.
pub(super) async fn usage(asked: Asked) -> Response {
    respond(&asked, async |asker| {
        let usage = asker.queries.usage(&asker.subject, &asked.query).await?;
        Ok(json(Bytes::from(usage.to_string())))
    })
    .await
}

/// The events themselves.
pub(super) async fn events(asked: Asked) -> Response {
    let coding = Coding::accepted(&asked.headers);
    respond(&asked, async |asker| {
        let wanted = asker.queries.wanted(&asked.query)?;
        stream(asker, wanted, coding).await
    })
    .await
}

/// Tells a browser whether a page may ask at all.
pub(super) async fn preflight(
    State(shared): State<Shared>,
    Path((org, app)): Path<(String, String)>,
    headers: HeaderMap,
) -> Response {
    cors::preflight(&shared, (&org, &app), &headers, &ALLOWED)
}

async fn respond(
    asked: &Asked,
    answer: impl AsyncFnOnce(Asker) -> Result<Response, Refusal>,
) -> Response {
    let Some(queries) = &asked.shared.queries else {
        return Error::NotFound.response(&asked.request_id);
    };
    let answered = match admit(asked, queries).await {
        Ok(asker) => answer(asker).await,
        Err(refusal) => Err(refusal),
    };
    let refused = |refusal: Refusal| refusal.response(&asked.request_id);
    let mut response = answered.unwrap_or_else(refused);
    cors::share(&asked.shared, asked.app(), &asked.headers, &mut response);
    response
}

async fn admit(asked: &Asked, queries: &Arc<Queries>) -> Result<Asker, Refusal> {
    let (shared, headers) = (&asked.shared, &asked.headers);
    let token = bearer(headers).ok_or(Refusal::Unauthorized)?;
    let peer = asked.peer.ip();
    let whence = Whence {
        address: ClientAddress::of(peer, headers, &shared.trusted_proxies).ip(),
        origin: headers.get(header::ORIGIN),
    };
    let of_app = is_of_app(token);
    let subject = if of_app {
        queries.app_of(asked.app(), token, whence)?
    } else {
        match shared.access.operator(token).await {
            Verdict::Yes(()) => queries.subject(asked.app(), whence.origin)?,
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
