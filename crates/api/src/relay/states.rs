//! What a session is doing, told to those who watch it, as server-sent events.
//!
//! The sessions table has the truth. A watcher reads its row when a wake says that the
//! session or its node's sessions changed, and every few seconds besides, and is told
//! only what is new.

use std::sync::Arc;
use std::time::Duration;

use axum::body::Bytes;
use futures_util::{Stream, StreamExt as _, stream};
use model::session::{Session, SessionState};
use model::{NodeId, Region, SessionId, UnixMillis, UserId};
use serde::Serialize;
use storage::control::chains;
use storage::control::sessions::{self, Record};
use storage::control::wake::Wake;
use tokio::sync::broadcast;
use tokio::time::{Interval, MissedTickBehavior};

use super::view::{Urls, View};
use crate::state::App;

/// Wakes that a watcher may be behind; one who is further behind looks anyway.
pub(crate) const WAKES_BEHIND_MAX: usize = 256;
/// Between two looks when nothing wakes.
const INTERVAL: Duration = Duration::from_secs(5);

/// The data of an event.
#[derive(Debug, Serialize)]
struct Told<'a> {
    observed_at: UnixMillis,
    #[serde(flatten)]
    state: &'a State,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
struct State {
    session_id: SessionId,
    status: SessionState,
    publishing: bool,
    region: Region,
    node_id: NodeId,
    /// Why it ended.
    stop_reason: Option<String>,
    /// Where its stream goes, or went.
    #[serde(skip_serializing_if = "Option::is_none")]
    moved_to: Option<MovedTo>,
}

/// The session that a stream is at now.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
struct MovedTo {
    session_id: SessionId,
    region: Region,
    node_id: NodeId,
    /// Where to send to and play from now, at the new node's own address; for the
    /// session's own user.
    #[serde(skip_serializing_if = "Option::is_none")]
    urls: Option<Urls>,
}

struct Watcher {
    app: Arc<App>,
    user: UserId,
    session: SessionId,
    wakes: broadcast::Receiver<Wake>,
    interval: Interval,
    told: Option<State>,
}

/// An event with the session's state, which is waited for as long as `timeout` so that it
/// is there at once, and one for each change. The watcher, `user`, must be somebody who
/// may see the session: nobody is asked here.
pub(crate) async fn events(
    app: &Arc<App>,
    user: UserId,
    session: SessionId,
    timeout: Duration,
) -> impl Stream<Item = Bytes> + use<> {
    let mut interval = tokio::time::interval(INTERVAL);
    interval.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let watcher = Watcher {
        app: app.clone(),
        user,
        session,
        wakes: app.wakes.subscribe(),
        interval,
        told: None,
    };
    let mut events = Box::pin(stream::unfold(watcher, async |mut watcher| {
        let event = watcher.next().await;
        Some((event, watcher))
    }));
    let first = tokio::time::timeout(timeout, events.next()).await;
    stream::iter(first.ok().flatten()).chain(events)
}

/// Puts events between those of a stream, never into one; ends with the stream.
pub(crate) fn among<E>(
    stream: impl Stream<Item = Result<Bytes, E>>,
    events: impl Stream<Item = Bytes>,
) -> impl Stream<Item = Result<Bytes, E>> {
    let merging = (Box::pin(stream), Box::pin(events), Edge::default());
    stream::unfold(merging, async |(mut stream, mut events, mut edge)| {
        let next = tokio::select! {
            biased;
            Some(event) = events.next(), if edge.is_between() => Ok(event),
            next = stream.next() => {
                let next = next?;
                next.iter().for_each(|bytes| edge.pass(bytes));
                return Some((next, (stream, events, edge)));
            }
        };
        Some((next, (stream, events, edge)))
    })
}

/// Whether what has passed ends where an event ends.
struct Edge([u8; 2]);

impl Default for Edge {
    fn default() -> Self {
        Self(*b"\n\n")
    }
}

impl Edge {
    fn is_between(&self) -> bool {
        self.0 == *b"\n\n"
    }

    fn pass(&mut self, bytes: &[u8]) {
        for byte in bytes.iter().rev().take(2).rev() {
            self.0 = [self.0[1], *byte];
        }
    }
}

impl Watcher {
    /// Waits until there is something new, and says it.
    async fn next(&mut self) -> Bytes {
        loop {
            self.wait().await;
            // A database that is away is asked again.
            let Ok(Some(record)) = sessions::find(&self.app.pool, &self.session).await else {
                continue;
            };
            let Ok(moved_to) = self.moved_to(&record).await else {
                continue;
            };
            let state = State::of(record.session, moved_to);
            if self.told.as_ref() != Some(&state) {
                let event = event(&state, self.app.now());
                self.told = Some(state);
                return event;
            }
        }
    }

    async fn moved_to(&self, record: &Record) -> Result<Option<MovedTo>, storage::Error> {
        let session = &record.session;
        if !matches!(
            session.state,
            SessionState::Draining | SessionState::Stopped
        ) {
            return Ok(None);
        }
        let pool = &self.app.pool;
        let Some(live) = chains::live(pool, &session.id).await? else {
            return Ok(None);
        };
        let new = sessions::find(pool, &live).await?;
        let new = new.filter(|new| new.session.id != session.id);
        Ok(new.map(|new| MovedTo {
            session_id: new.session.id.clone(),
            region: new.session.region.clone(),
            node_id: new.session.node_id.clone(),
            urls: (session.user_id == self.user)
                .then(|| View::new(&self.app).session(&new).into_direct_urls()),
        }))
    }

    async fn wait(&mut self) {
        loop {
            tokio::select! {
                _ = self.interval.tick() => return,
                wake = self.wakes.recv() => match wake {
                    Ok(wake) if self.concerns(&wake) => return,
                    Ok(_) => {}
                    // Too many at once: ours may be among them.
                    Err(_) => return,
                }
            }
        }
    }

    fn concerns(&self, wake: &Wake) -> bool {
        match wake {
            Wake::Session(session) => *session == self.session,
            Wake::Node(node) => self.told.as_ref().is_none_or(|told| told.node_id == *node),
            Wake::Keys | Wake::Bans => false,
            Wake::Missed => true,
        }
    }
}

impl State {
    fn of(session: Session, moved_to: Option<MovedTo>) -> Self {
        Self {
            session_id: session.id,
            status: session.state,
            publishing: session.publishing,
            region: session.region,
            node_id: session.node_id,
            stop_reason: session.stop_reason,
            moved_to,
        }
    }
}

/// It has no id: what a viewer has seen of the live view is the gateway's to say.
fn event(state: &State, observed_at: UnixMillis) -> Bytes {
    let told = Told { observed_at, state };
    let data = serde_json::to_string(&told);
    let data = data.expect("a state is plain words: it always serializes");
    format!("event: state\ndata: {data}\n\n").into()
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use super::*;

    async fn merged(chunks: &[&'static str], events: &[&'static str]) -> String {
        let chunks = chunks
            .iter()
            .map(|chunk| Ok(Bytes::from_static(chunk.as_bytes())));
        let events = events
            .iter()
            .map(|event| Bytes::from_static(event.as_bytes()));
        let merged = among(stream::iter(chunks), stream::iter(events));
        let merged: Vec<Result<Bytes, Infallible>> = merged.collect().await;
        let merged: Vec<u8> = merged.into_iter().flat_map(Result::unwrap).collect();
        String::from_utf8(merged).unwrap()
    }

    #[tokio::test]
    async fn events_go_between_events() {
        assert_eq!(
            merged(&["a\n\n", "b\n\n"], &["1\n\n"]).await,
            "1\n\na\n\nb\n\n"
        );
        assert_eq!(merged(&[], &["1\n\n"]).await, "1\n\n");
        assert_eq!(merged(&["a\n\n"], &[]).await, "a\n\n");
    }

    #[tokio::test]
    async fn an_event_in_pieces_is_not_torn() {
        let (sender, receiver) = tokio::sync::mpsc::channel(1);
        let late = stream::unfold(receiver, async |mut receiver| {
            let event: Bytes = receiver.recv().await?;
            Some((event, receiver))
        });
        let pieces = ["da", "ta: x\n", "\n", "data: y", "\n\n"];
        let pieces = stream::iter(pieces.map(|piece| Ok::<_, Infallible>(Bytes::from(piece))));
        let mut merged = Box::pin(among(pieces, late));
        let mut seen = merged.next().await.unwrap().unwrap().to_vec();
        sender.try_send(Bytes::from("state\n\n")).unwrap();
        while let Some(Ok(piece)) = merged.next().await {
            seen.extend(piece);
        }
        let seen = String::from_utf8(seen).unwrap();
        assert_eq!(seen, "data: x\n\nstate\n\ndata: y\n\n");
    }
}
