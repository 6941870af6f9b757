//! `GET /v1/sessions/{id}/live`: a session's telemetry as server-sent events.
//!
//! First `snapshot`, the history as an array of points; then `sample`, a point a
//! second; `stale` when the reports stop. An event's id is its newest point's
//! `observed_at`, and `Last-Event-ID` gets only what was missed, as `sample`s.
//! A viewer that does not keep up is dropped; it comes back with its last id.

use std::convert::Infallible;
use std::time::Duration;

use axum::Extension;
use axum::body::Body;
use axum::extract::{Path, State as Shared};
use axum::response::Response;
use http::{HeaderMap, HeaderValue, header};
use model::SessionId;
use tokio::sync::mpsc;
use tokio::time::MissedTickBehavior;
use tokio_stream::StreamExt;
use tokio_stream::wrappers::ReceiverStream;

use super::error::Error;
use super::watched::RequestId;
use super::{KEEP_ALIVE_INTERVAL, State};
use crate::access::Verdict;
use crate::live::{Event, Watch, seen};
use crate::metrics::{self, ViewerRefusal};

/// Events on their way to one viewer; a slower one is dropped. A minute, so that a
/// slow line has time for the whole history first. Viewers share what waits.
const EVENTS_QUEUED_MAX: usize = 60;
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
        Err(error) => error.response(request_id.as_str()),
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

pub(super) fn bearer(headers: &HeaderMap) -> Option<&str> {
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
    let opening = tokio_stream::iter(viewer.watch.opening());
    let (sender, receiver) = mpsc::channel(EVENTS_QUEUED_MAX);
    tokio::spawn(forward(state, viewer, sender));
    let events = ReceiverStream::new(receiver).map(|Event(bytes)| bytes);
    let events = opening.chain(events).filter(|bytes| !bytes.is_empty());
    let mut response = Response::new(Body::from_stream(events.map(Ok::<_, Infallible>)));
    let headers = response.headers_mut();
    headers.insert(
        header::CONTENT_TYPE,
        HeaderValue::from_static("text/event-stream"),
    );
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    // nginx would collect events before it passes them on.
    headers.insert("x-accel-buffering", HeaderValue::from_static("no"));
    response
}

/// Passes events on until the viewer goes, falls behind or may not watch any
/// longer. The stream ends with the sender.
async fn forward(state: State, mut viewer: Viewer, sender: mpsc::Sender<Event>) {
    let mut recheck = tokio::time::interval(RECHECK_INTERVAL);
    recheck.set_missed_tick_behavior(MissedTickBehavior::Delay);
    recheck.reset();
    let mut quiet = tokio::time::interval(KEEP_ALIVE_INTERVAL);
    quiet.reset();
    loop {
        tokio::select! {
            () = state.stopping.cancelled() => return,
            () = sender.closed() => return,
            _ = recheck.tick() => {
                if state.access.viewer(&viewer.token, &viewer.session).await != Verdict::Yes(()) {
                    return;
                }
            }
            _ = quiet.tick() => {
                // While something waits to be sent the stream is not quiet.
                let _ = sender.try_send(Event::keep_alive());
            }
            event = viewer.watch.next() => {
                let Some(event) = event else {
                    return metrics::viewer_dropped();
                };
                if let Err(mpsc::error::TrySendError::Full(_)) = sender.try_send(event) {
                    return metrics::viewer_dropped();
                }
                quiet.reset();
            }
        }
    }
}
