//! `GET /v1/sessions/{id}/live`: a session's telemetry as server-sent events.
//!
//! First `snapshot`, the history as an array of points; then `sample`, a point a
//! second; `stale` when the reports stop. An event's id is its newest point's
//! `observed_at`, and `Last-Event-ID` gets only what was missed, as `sample`s.
//! A viewer that does not keep up is dropped; it comes back with its last id.

use std::convert::Infallible;
use std::time::Duration;

use axum::Extension;
use axum::extract::{Path, State as Shared};
use axum::response::sse::{KeepAlive, Sse};
use axum::response::{IntoResponse, Response, sse};
use http::{HeaderMap, HeaderValue, header};
use model::SessionId;
use tokio::sync::mpsc;
use tokio::time::MissedTickBehavior;
use tokio_stream::StreamExt;
use tokio_stream::wrappers::ReceiverStream;

use super::error::Error;
use super::{KEEP_ALIVE_INTERVAL, RequestId, State};
use crate::access::Verdict;
use crate::live::{Event, Watch, seen};
use crate::metrics::{self, ViewerRefusal};

/// Events on their way to one viewer; a slower one is dropped.
const EVENTS_QUEUED_MAX: usize = 8;
/// How often it is asked whether a viewer may still watch.
const RECHECK_INTERVAL: Duration = Duration::from_secs(60);

pub(super) async fn live(
    Shared(state): Shared<State>,
    Path(id): Path<String>,
    Extension(request_id): Extension<RequestId>,
    headers: HeaderMap,
) -> Response {
    match begin(&state, &id, &headers).await {
        Ok(viewer) => stream(state, viewer),
        Err(error) => error.response(&request_id.0),
    }
}

/// A viewer that was let in.
struct Viewer {
    token: String,
    session: SessionId,
    watch: Watch,
}

async fn begin(state: &State, id: &str, headers: &HeaderMap) -> Result<Viewer, Error> {
    let Some(token) = bearer(headers) else {
        return Err(refused(ViewerRefusal::Unauthenticated));
    };
    let session = SessionId::parse(id).map_err(|_| Error::NotFound)?;
    match state.access.viewer(token, &session).await {
        Verdict::Yes(()) => {}
        Verdict::No => return Err(refused(ViewerRefusal::Forbidden)),
        Verdict::Unknown => return Err(refused(ViewerRefusal::Unverified)),
    }
    let last = headers.get("last-event-id");
    let seen = last.and_then(|id| seen(id.to_str().ok()?));
    let watch = state.live.watch(&session, seen).map_err(refused)?;
    Ok(Viewer {
        token: token.to_owned(),
        session,
        watch,
    })
}

fn bearer(headers: &HeaderMap) -> Option<&str> {
    let header = headers.get(header::AUTHORIZATION)?.to_str().ok()?;
    header
        .strip_prefix("Bearer ")
        .filter(|token| !token.is_empty())
}

/// Counts a refusal and turns it into its answer.
fn refused(reason: ViewerRefusal) -> Error {
    metrics::viewer_refused(reason);
    match reason {
        ViewerRefusal::Unauthenticated => Error::Unauthorized,
        ViewerRefusal::Forbidden => Error::Forbidden,
        ViewerRefusal::Unverified => Error::Unavailable,
        ViewerRefusal::SessionsFull
        | ViewerRefusal::SessionViewersFull
        | ViewerRefusal::ViewersFull => Error::TooManyViewers,
    }
}

fn stream(state: State, mut viewer: Viewer) -> Response {
    let first = viewer.watch.first_events();
    let (sender, receiver) = mpsc::channel(EVENTS_QUEUED_MAX);
    tokio::spawn(forward(state, viewer, sender));
    let events = tokio_stream::iter(first)
        .chain(ReceiverStream::new(receiver))
        .map(|event| Ok::<_, Infallible>(wire(&event)));
    let keep_alive = KeepAlive::new().interval(KEEP_ALIVE_INTERVAL);
    let mut response = Sse::new(events).keep_alive(keep_alive).into_response();
    let headers = response.headers_mut();
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    // nginx would collect events before it passes them on.
    headers.insert("x-accel-buffering", HeaderValue::from_static("no"));
    response
}

fn wire(event: &Event) -> sse::Event {
    let wire = sse::Event::default().event(event.name).data(&*event.data);
    match event.id {
        Some(id) => wire.id(id.to_string()),
        None => wire,
    }
}

/// Passes events on until the viewer goes, falls behind or may not watch any
/// longer. The stream ends with the sender.
async fn forward(state: State, mut viewer: Viewer, sender: mpsc::Sender<Event>) {
    let mut recheck = tokio::time::interval(RECHECK_INTERVAL);
    recheck.set_missed_tick_behavior(MissedTickBehavior::Delay);
    recheck.reset();
    loop {
        tokio::select! {
            () = state.stopping.cancelled() => return,
            () = sender.closed() => return,
            _ = recheck.tick() => {
                if state.access.viewer(&viewer.token, &viewer.session).await != Verdict::Yes(()) {
                    return;
                }
            }
            event = viewer.watch.next() => {
                let Some(event) = event else {
                    return metrics::viewer_dropped();
                };
                if let Err(mpsc::error::TrySendError::Full(_)) = sender.try_send(event) {
                    return metrics::viewer_dropped();
                }
            }
        }
    }
}
