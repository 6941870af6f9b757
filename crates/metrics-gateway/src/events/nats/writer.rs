//! Batches out of the log, into the database.

use std::sync::Arc;
use std::time::Duration;

use async_nats::jetstream::message::AckKind;
use bytes::Bytes;
use futures_util::future::select;
use futures_util::{FutureExt as _, StreamExt as _, TryStreamExt as _};
use service_kit::Readiness;
use tokio_util::sync::CancellationToken;

use super::consumer::Consumer;
use super::delivery::Delivery;
use super::{Log, NATS};
use crate::events::record;
use crate::events::sink::Sink;
use crate::metrics::nats as metrics;

/// Messages that one writer writes at the same time.
const MESSAGES_MAX: usize = 64;
/// What was said last has this long to leave when the service stops.
const FAREWELL: Duration = Duration::from_secs(2);
/// One that the database does not take now comes again after this.
const RETRY_AFTER: Duration = Duration::from_secs(1);
/// And one that this writer does not understand: a newer one may.
const STRANGE_AFTER: Duration = Duration::from_secs(60);

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
        let line = self.log.line();
        let mut consumer = Consumer::open(self.log.stream().await?).await?;
        let messages = consumer.messages().await?;
        self.log.judge_version();
        readiness.set(NATS, Ok(()));
        // A server that comes back knows nothing of what was asked of it before.
        let interrupted = line.clone().interrupted();
        let over = select(stopping.cancelled().boxed(), interrupted.boxed());
        let messages = messages.take_until(over).map_err(anyhow::Error::from);
        let write = messages.try_for_each_concurrent(MESSAGES_MAX, |message| {
            self.write(Delivery::new(message, line.clone()))
        });
        tokio::select! {
            written = write => written,
            () = consumer.watch() => Err(anyhow::anyhow!("the consumer passes messages over")),
        }
    }

    /// Writes one message, and tells whoever waits for it.
    async fn write(&self, delivery: Delivery) -> anyhow::Result<()> {
        if delivery.is_given_up() {
            return delivery.answer(AckKind::Ack).await;
        }
        let batch = match record::decode(delivery.payload()) {
            Ok(batch) => batch,
            Err(error) => {
                let subject = delivery.subject();
                tracing::error!(%error, subject, "a message of the log cannot be understood; it stays");
                metrics::unreadable();
                return delivery.answer(AckKind::Nak(Some(STRANGE_AFTER))).await;
            }
        };
        let kept = delivery.meanwhile(self.store.keep(Arc::new(batch)));
        if let Err(failure) = kept.await {
            tracing::debug!(?failure, "a message of the log waits for the database");
            return delivery.answer(AckKind::Nak(Some(RETRY_AFTER))).await;
        }
        metrics::written();
        if let Some(inbox) = delivery.waiting() {
            let told = self.log.client.publish(inbox.to_owned(), Bytes::new());
            if let Err(error) = told.await {
                tracing::debug!(%error, "whoever waits for a commit is not told");
            }
        }
        delivery.answer(AckKind::Ack).await
    }
}
