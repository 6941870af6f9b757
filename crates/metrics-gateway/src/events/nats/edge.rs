//! Batches into the log.

use std::sync::Arc;
use std::time::Duration;

use async_nats::HeaderMap;
use async_nats::connection::State;
use async_nats::jetstream::ErrorCode;
use async_nats::jetstream::context::{PublishError, PublishErrorKind};
use bytes::Bytes;
use futures_util::future::BoxFuture;
use futures_util::{FutureExt as _, StreamExt as _};
use service_kit::Readiness;
use sha2::{Digest as _, Sha256};
use tokio_util::sync::CancellationToken;

use super::{COMMITTED_TO, Log, NATS, subject};
use crate::config::Acknowledge;
use crate::events::batch::Batch;
use crate::events::record;
use crate::events::sink::{Failure, Sink};
use crate::events::spool::Bridge;
use crate::metrics::nats as metrics;

/// What headers take of a message.
const HEADERS_MAX: usize = 1024;
const MESSAGE_ID: &str = "Nats-Msg-Id";
/// Between two looks at the log.
const INTERVAL: Duration = Duration::from_secs(2);
/// A commit that nobody has told of by then is not waited for any longer: whoever tells may have
/// ended.
const COMMIT_PATIENCE: Duration = Duration::from_secs(30);

/// Puts batches into the log.
#[derive(Clone)]
pub(super) struct Edge {
    log: Log,
    acknowledge: Acknowledge,
}

/// How the log is.
enum Look {
    Well,
    Away(anyhow::Error),
    /// It is there, and must not be used.
    Wrong(anyhow::Error),
}

impl Edge {
    pub(super) const fn new(log: Log, acknowledge: Acknowledge) -> Self {
        Self { log, acknowledge }
    }

    /// Sees to it that there is a log, and says whether there is. What a spool bridges is no outage;
    /// a log that is not what it must be is nothing that it bridges.
    pub(super) async fn run(
        self,
        bridge: Option<Bridge>,
        readiness: &Readiness,
        stopping: &CancellationToken,
    ) {
        let mut is_known = false;
        while !stopping.is_cancelled() {
            let look = tokio::select! {
                () = stopping.cancelled() => return,
                look = self.look() => look,
            };
            if matches!(look, Look::Well) && !is_known {
                is_known = true;
                self.log.judge_version();
            }
            let is_bridged = is_known && bridge.as_ref().is_some_and(|is_bridged| is_bridged());
            let state = match look {
                Look::Well => Ok(()),
                Look::Away(_) if is_bridged => Ok(()),
                Look::Away(error) | Look::Wrong(error) => Err(format!("{error:#}")),
            };
            readiness.set(NATS, state);
            tokio::select! {
                () = stopping.cancelled() => {}
                () = tokio::time::sleep(INTERVAL) => {}
            }
        }
    }

    async fn look(&self) -> Look {
        // What is asked then waits in the client, and whoever asks when that has no room left.
        if self.log.client.connection_state() == State::Disconnected {
            return Look::Away(anyhow::anyhow!("NATS does not answer"));
        }
        match self.log.found().await {
            Err(error) => Look::Away(error),
            Ok(stream) => self
                .log
                .judge(&stream)
                .map_or_else(Look::Wrong, |()| Look::Well),
        }
    }

    /// What is not answered when the connection ends is not waited for: whoever sent it sends it
    /// again.
    async fn keep_all(self, batch: Arc<Batch>) -> Result<(), Failure> {
        let line = self.log.line();
        // Else it would wait in the client, and whoever sent it as well.
        if self.log.client.connection_state() != State::Connected {
            return Err(Failure::Unavailable);
        }
        tokio::select! {
            kept = self.put(batch) => kept,
            () = line.interrupted() => Err(Failure::Unavailable),
        }
    }

    async fn put(&self, batch: Arc<Batch>) -> Result<(), Failure> {
        let room = self.log.client.max_payload().saturating_sub(HEADERS_MAX);
        let subject = subject::of(&batch.source);
        for payload in pack(&batch, room)? {
            let published = match self.acknowledge {
                Acknowledge::Log => self.publish(&subject, payload).await,
                Acknowledge::Commit => self.publish_and_wait(&subject, payload).await,
            };
            published.map_err(|error| failure(&error))?;
            metrics::published();
        }
        Ok(())
    }

    /// The log has it, if this is `Ok`; the same again within minutes is the same message.
    async fn publish(&self, subject: &str, payload: Bytes) -> Result<(), PublishError> {
        let mut headers = HeaderMap::new();
        headers.insert(MESSAGE_ID, hex::encode(Sha256::digest(&payload)));
        let context = &self.log.context;
        let sent = context.publish_with_headers(subject.to_owned(), headers, payload);
        sent.await?.await.map(drop)
    }

    /// The database has it, if this is `Ok`. The same again is another message: whoever sends
    /// it waits for an answer, too.
    async fn publish_and_wait(&self, subject: &str, payload: Bytes) -> Result<(), PublishError> {
        let client = &self.log.client;
        let inbox = client.new_inbox();
        let subscribed = client.subscribe(inbox.clone()).await;
        let mut committed = subscribed
            .map_err(|error| PublishError::with_source(PublishErrorKind::Other, error))?;
        let mut headers = HeaderMap::new();
        headers.insert(COMMITTED_TO, inbox);
        let context = &self.log.context;
        let sent = context.publish_with_headers(subject.to_owned(), headers, payload);
        sent.await?.await?;
        match tokio::time::timeout(COMMIT_PATIENCE, committed.next()).await {
            Ok(Some(_)) => Ok(()),
            Ok(None) => Err(PublishErrorKind::BrokenPipe.into()),
            Err(_) => Err(PublishErrorKind::TimedOut.into()),
        }
    }
}

impl Sink for Edge {
    fn keep(&self, batch: Arc<Batch>) -> BoxFuture<'static, Result<(), Failure>> {
        self.clone().keep_all(batch).boxed()
    }
}

/// A batch as messages that each have room.
fn pack(batch: &Batch, room: usize) -> Result<Vec<Bytes>, Failure> {
    let payload = record::encode(batch).map_err(|error| {
        tracing::error!(%error, "a batch cannot be packed");
        Failure::Unavailable
    })?;
    if payload.len() <= room {
        return Ok(vec![payload.into()]);
    }
    if batch.len() <= 1 {
        tracing::error!(
            bytes = payload.len(),
            room,
            "max_payload of NATS is too small for an event"
        );
        return Err(Failure::Unavailable);
    }
    let mut first = batch.clone();
    let second = first.split();
    let mut payloads = pack(&first, room)?;
    payloads.extend(pack(&second, room)?);
    Ok(payloads)
}

fn failure(error: &PublishError) -> Failure {
    let source = std::error::Error::source(error);
    let refused = source.and_then(|source| source.downcast_ref::<async_nats::jetstream::Error>());
    let is_full = refused.is_some_and(|it| it.error_code() == ErrorCode::STREAM_STORE_FAILED);
    if is_full || error.kind() == PublishErrorKind::MaxAckPending {
        return Failure::Full;
    }
    tracing::warn!(%error, "events do not get into the log");
    Failure::Unavailable
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::events::record::tests::batches;

    proptest! {
        #[test]
        fn parts_have_room_and_make_the_whole(batch in batches(), room in 600_usize..1200) {
            let parts = pack(&batch, room).unwrap();
            let mut whole = Batch { events: Vec::new(), refused: Vec::new(), ..batch.clone() };
            for part in parts {
                prop_assert!(part.len() <= room);
                let part = record::decode(&part).unwrap();
                whole.events.extend(part.events);
                whole.refused.extend(part.refused);
            }
            prop_assert_eq!(whole, batch);
        }
    }

    #[test]
    fn an_event_that_no_message_holds_is_not_cut() {
        let batch = Batch {
            source: Default::default(),
            ..Batch::default()
        };
        assert_eq!(pack(&batch, 1), Err(Failure::Unavailable));
    }
}
