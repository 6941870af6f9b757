//! Batches out of the log, into the database.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use async_nats::jetstream::consumer::{AckPolicy, PullConsumer, pull};
use async_nats::jetstream::message::AckKind;
use async_nats::jetstream::{Message, stream};
use bytes::Bytes;
use futures_util::future::select;
use futures_util::{FutureExt as _, StreamExt as _, TryStreamExt as _};
use service_kit::Readiness;
use tokio_util::sync::CancellationToken;

use super::{COMMITTED_TO, Log, NATS};
use crate::events::record;
use crate::events::sink::Sink;
use crate::metrics::nats as metrics;

/// All writers together are this consumer.
const CONSUMER: &str = "writers";
/// Messages that one writer has at the same time.
const MESSAGES_MAX: usize = 64;
/// One whose writer has said nothing for so long goes to another; soon enough for who waits.
const ACK_WAIT: Duration = Duration::from_secs(6);
/// A writer that waits for the database says so this often.
const PROGRESS_INTERVAL: Duration = Duration::from_secs(2);
/// Messages that are out or come again later: those that nobody understands are among them, and
/// must not fill it.
const ACK_PENDING_MAX: i64 = 20_000;
/// How the inboxes of clients begin.
const INBOX: &str = "_INBOX.";
/// An edge has given up by then, also if our clocks differ.
const GIVEN_UP_AFTER: Duration = Duration::from_secs(120);
/// What was said last has this long to leave when the service stops.
const FAREWELL: Duration = Duration::from_secs(2);
/// One that the database does not take now comes again after this.
const RETRY_AFTER: Duration = Duration::from_secs(1);
/// And one that this writer does not understand: a newer one may.
const STRANGE_AFTER: Duration = Duration::from_secs(60);
/// The server says this often that it is there.
const HEARTBEAT: Duration = Duration::from_secs(5);
const EXPIRES: Duration = Duration::from_secs(20);
/// Between two looks at how much is in the log.
const LOOK_INTERVAL: Duration = Duration::from_secs(5);

/// Writes what is in the log.
#[derive(Clone)]
pub(super) struct Drain {
    log: Log,
    store: Arc<dyn Sink>,
}

impl Drain {
    pub(super) const fn new(log: Log, store: Arc<dyn Sink>) -> Self {
        Self { log, store }
    }

    /// Writes until the service stops; what is on its way to the database then is finished.
    pub(super) async fn run(self, readiness: &Readiness, stopping: &CancellationToken) {
        while !stopping.is_cancelled() {
            if let Err(error) = self.follow(readiness, stopping).await {
                tracing::warn!(
                    error = format!("{error:#}"),
                    "the log of events cannot be read"
                );
                readiness.set(NATS, Err(format!("{error:#}")));
            }
            tokio::select! {
                () = stopping.cancelled() => {}
                () = tokio::time::sleep(RETRY_AFTER) => {}
            }
        }
        // Acknowledgements lie in the client's buffer yet.
        let _ = tokio::time::timeout(FAREWELL, self.log.client.flush()).await;
    }

    async fn follow(
        &self,
        readiness: &Readiness,
        stopping: &CancellationToken,
    ) -> anyhow::Result<()> {
        // A server that comes back knows nothing of what was asked of it before.
        let interrupted = self.log.interrupted();
        let mut stream = self.log.stream().await?;
        let consumer = consumer_of(&mut stream).await?;
        let pulled = consumer.stream().max_messages_per_batch(MESSAGES_MAX);
        let messages = pulled
            .heartbeat(HEARTBEAT)
            .expires(EXPIRES)
            .messages()
            .await?;
        self.log.judge_version();
        readiness.set(NATS, Ok(()));
        let messages =
            messages.take_until(select(stopping.cancelled().boxed(), interrupted.boxed()));
        let write = messages
            .map_err(anyhow::Error::from)
            .try_for_each_concurrent(MESSAGES_MAX, |message| self.write(message));
        tokio::select! {
            written = write => written,
            never = look(&mut stream) => match never {},
        }
    }

    /// Writes one message, and tells whoever waits for it.
    async fn write(&self, message: Message) -> anyhow::Result<()> {
        if is_given_up(&message) {
            return answer(&message, AckKind::Ack).await;
        }
        let batch = match record::decode(&message.payload) {
            Ok(batch) => batch,
            Err(error) => {
                tracing::error!(%error, subject = %message.subject, "a message of the log cannot be understood; it stays");
                metrics::unreadable();
                return answer(&message, AckKind::Nak(Some(STRANGE_AFTER))).await;
            }
        };
        let kept = meanwhile(&message, self.store.keep(Arc::new(batch)));
        if let Err(failure) = kept.await {
            tracing::debug!(?failure, "a message of the log waits for the database");
            return answer(&message, AckKind::Nak(Some(RETRY_AFTER))).await;
        }
        metrics::written();
        if let Some(inbox) = waiting(&message) {
            let told = self.log.client.publish(inbox.to_owned(), Bytes::new());
            if let Err(error) = told.await {
                tracing::debug!(%error, "whoever waits for a commit is not told");
            }
        }
        answer(&message, AckKind::Ack).await
    }
}

/// Says that the message is being worked on until it is.
async fn meanwhile<T>(message: &Message, work: impl Future<Output = T>) -> T {
    let told = async {
        loop {
            tokio::time::sleep(PROGRESS_INTERVAL).await;
            if let Err(error) = answer(message, AckKind::Progress).await {
                tracing::debug!(%error, "another writer gets the message too");
            }
        }
    };
    tokio::select! {
        done = work => done,
        never = told => never,
    }
}

/// The inbox of an edge that waits for the commit; no other subject, whatever a header says.
fn waiting(message: &Message) -> Option<&str> {
    let inbox = message.headers.as_ref()?.get(COMMITTED_TO)?.as_str();
    inbox.starts_with(INBOX).then_some(inbox)
}

/// Whether somebody waited for it who has given up long since: nobody was told that it is kept,
/// and whoever sent it sends it again.
fn is_given_up(message: &Message) -> bool {
    let published = message.info().map(|info| info.published);
    let published = published.map(std::time::SystemTime::from);
    let age = published.ok().and_then(|it| it.elapsed().ok());
    waiting(message).is_some() && age.is_some_and(|age| age > GIVEN_UP_AFTER)
}

/// If it gets lost the message comes again, and is found in the database.
async fn answer(message: &Message, kind: AckKind) -> anyhow::Result<()> {
    let answered = message.ack_with(kind).await;
    answered.map_err(|error| anyhow::anyhow!("acknowledge a message: {error}"))
}

/// Shows how much is in the log. That a server is gone is found elsewhere.
async fn look(stream: &mut stream::Stream) -> Infallible {
    loop {
        match stream.info().await {
            Ok(info) => metrics::held(info.state.messages, info.state.bytes),
            Err(error) => tracing::debug!(%error, "the log does not say how much it holds"),
        }
        tokio::time::sleep(LOOK_INTERVAL).await;
    }
}

/// The consumer of all writers; made anew if it is ahead of its stream. A server that was killed
/// may have forgotten the last messages and not that they were delivered: it gives their numbers
/// to others, which the consumer would pass over.
async fn consumer_of(stream: &mut stream::Stream) -> anyhow::Result<PullConsumer> {
    let consumer: PullConsumer = stream.get_or_create_consumer(CONSUMER, config()).await?;
    let delivered = consumer.cached_info().delivered.stream_sequence;
    let last = stream.info().await?.state.last_sequence;
    if delivered <= last {
        return Ok(consumer);
    }
    tracing::warn!(
        delivered,
        last,
        "the log has forgotten messages; what it has is read again"
    );
    stream.delete_consumer(CONSUMER).await?;
    Ok(stream.get_or_create_consumer(CONSUMER, config()).await?)
}

fn config() -> pull::Config {
    pull::Config {
        durable_name: Some(CONSUMER.to_owned()),
        ack_policy: AckPolicy::Explicit,
        ack_wait: ACK_WAIT,
        max_ack_pending: ACK_PENDING_MAX,
        ..pull::Config::default()
    }
}
