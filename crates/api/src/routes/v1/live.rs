//! `GET /v1/sessions/{id}/live`: a session's telemetry, passed on from the
//! metrics-gateway so that a page needs no other origin than ours.
//!
//! The caller's own secret goes along: the gateway asks us who that is, now and
//! every minute, so that signing out ends the stream. Nothing is kept or changed
//! on the way; between the gateway's events are ours, `state`, for what the session
//! is doing. `docs/metrics/live.md` has them all.

use std::sync::Arc;
use std::time::Duration;

use axum::Extension;
use axum::body::Body;
use axum::extract::{Path, State};
use axum::response::Response;
use axum::routing::get;
use futures_util::StreamExt as _;
use http::header::{ACCEPT, AUTHORIZATION, CACHE_CONTROL, CONTENT_TYPE};
use http::{HeaderMap, HeaderValue, Method, Request, StatusCode};
use model::SessionId;
use secrecy::ExposeSecret;
use service_kit::places::Full;

use crate::auth::{Access, Caller, Credential};
use crate::error::{ApiError, Code};
use crate::limits::Class;
use crate::openapi::Description;
use crate::relay::states;
use crate::routes::Route;
use crate::state::App;

const LAST_EVENT_ID: &str = "last-event-id";
/// How long figures wait for the state that goes before them: without a database they
/// come alone.
const STATE_TIMEOUT: Duration = Duration::from_secs(5);

pub(super) fn routes() -> Vec<Route> {
    vec![
        Route::new(
            Method::GET,
            "/v1/sessions/{id}/live",
            Access::Viewer,
            get(live),
        )
        .counted_as(Class::Live)
        .describe(
            Description::new(
                "A session, second by second: server-sent events, see docs/metrics/live.md.",
            )
            .header("Last-Event-ID", "The last event that was seen.")
            .sends("text/event-stream")
            .refuses(&[503]),
        ),
    ]
}

async fn live(
    State(app): State<Arc<App>>,
    Extension(credential): Extension<Credential>,
    Extension(caller): Extension<Caller>,
    Path(id): Path<String>,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    let id = SessionId::parse(&id).map_err(|_| ApiError::not_found("no such session"))?;
    let watcher = caller.account.user_id.clone();
    let place = app.live_streams.take(Some(watcher)).map_err(no_place)?;
    let request = request(&app, &id, &credential, headers.get(LAST_EVENT_ID))?;
    let answer = app.gateway.request(request).await.map_err(|error| {
        tracing::warn!(%error, "The metrics-gateway does not answer");
        away()
    })?;
    refuse(answer.status())?;
    let stopping = app.stopping.clone();
    // The gateway let them in: it asked us.
    let states = states::events(&app, caller.account.user_id, id, STATE_TIMEOUT).await;
    let events = states::among(Body::new(answer.into_body()).into_data_stream(), states)
        .take_until(stopping.cancelled_owned())
        .inspect(move |_| {
            let _held_while_the_stream_lives = &place;
        });
    let mut response = Response::new(Body::from_stream(events));
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("text/event-stream"));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    // nginx would collect events before it passes them on.
    headers.insert("x-accel-buffering", HeaderValue::from_static("no"));
    Ok(response)
}

fn request(
    app: &App,
    id: &SessionId,
    credential: &Credential,
    seen: Option<&HeaderValue>,
) -> Result<Request<Body>, ApiError> {
    let base = app.config.gateway_http.trim_end_matches('/');
    let bearer = format!("Bearer {}", credential.0.expose_secret());
    let mut request = Request::get(format!("{base}/v1/sessions/{id}/live"))
        .header(ACCEPT, "text/event-stream")
        .header(AUTHORIZATION, bearer);
    if let Some(seen) = seen {
        request = request.header(LAST_EVENT_ID, seen);
    }
    request.body(Body::empty()).map_err(|error| {
        tracing::error!(%error, "gateway_http makes no URL");
        ApiError::internal()
    })
}

fn no_place(full: Full) -> ApiError {
    match full {
        Full::Yours => {
            let message = "you watch too much at once; close another page";
            ApiError::new(Code::RateLimited, message)
        }
        Full::All => ApiError::new(Code::Overloaded, "too many watch at once"),
    }
}

fn refuse(status: StatusCode) -> Result<(), ApiError> {
    match status {
        StatusCode::OK => Ok(()),
        StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN | StatusCode::NOT_FOUND => {
            Err(ApiError::not_found("no such session"))
        }
        StatusCode::TOO_MANY_REQUESTS => {
            Err(ApiError::new(Code::Overloaded, "too many watch at once"))
        }
        _ => Err(away()),
    }
}

fn away() -> ApiError {
    ApiError::new(Code::Unavailable, "the live view is away; try again soon")
}
