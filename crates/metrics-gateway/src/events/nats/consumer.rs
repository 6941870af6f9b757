//! The consumer of all writers, and whether it agrees with its stream.

use std::time::Duration;

use async_nats::jetstream::consumer::{AckPolicy, PullConsumer, pull};
use async_nats::jetstream::stream::Stream;

use crate::metrics::nats as metrics;

/// All writers together are this consumer.
const NAME: &str = "writers";
/// Messages that are asked for at once: they wait here while others are written.
const PULLED_MAX: usize = 16;
/// One whose writer has said nothing for so long goes to another; soon enough for who waits.
const ACK_WAIT: Duration = Duration::from_secs(6);
/// Messages that are out or come again later: those that nobody understands are among them, and
/// must not fill it.
const ACK_PENDING_MAX: i64 = 20_000;
/// The server says this often that it is there.
const HEARTBEAT: Duration = Duration::from_secs(5);
const EXPIRES: Duration = Duration::from_secs(20);
/// Between two looks at the log.
const LOOK_INTERVAL: Duration = Duration::from_secs(5);
/// Acknowledgements take a moment to have an effect: one look may find too much.
const LOOKS_MIN: u32 = 2;

/// The consumer on its stream.
pub(super) struct Consumer {
    stream: Stream,
    pulled: PullConsumer,
}

impl Consumer {
    /// The consumer that is there, or a new one: if there is none, or if it would pass messages
    /// over.
    pub(super) async fn open(stream: Stream) -> anyhow::Result<Self> {
        let pulled = stream.create_consumer(config()).await?;
        let mut consumer = Self { stream, pulled };
        if consumer.passes_over().await? {
            tracing::warn!("the log has forgotten messages; what it has is read again");
            consumer.stream.delete_consumer(NAME).await?;
            consumer.pulled = consumer.stream.create_consumer(config()).await?;
        }
        Ok(consumer)
    }

    /// Its messages, until the server is silent.
    pub(super) async fn messages(&self) -> anyhow::Result<pull::Stream> {
        let pulled = self.pulled.stream().max_messages_per_batch(PULLED_MAX);
        let messages = pulled.heartbeat(HEARTBEAT).expires(EXPIRES).messages();
        Ok(messages.await?)
    }

    /// Shows how much is in the log, until messages are passed over. That a server is gone is
    /// found elsewhere.
    pub(super) async fn watch(&mut self) {
        let mut found = 0;
        while found < LOOKS_MIN {
            tokio::time::sleep(LOOK_INTERVAL).await;
            match self.passes_over().await {
                Ok(true) => found += 1,
                Ok(false) => found = 0,
                Err(error) => {
                    tracing::debug!(%error, "the log does not say how much it holds");
                }
            }
        }
    }

    /// Whether it passes messages over. A server that was killed may have forgotten the last ones,
    /// and not that they were delivered: it gives their numbers to others, which seem to be done.
    async fn passes_over(&mut self) -> anyhow::Result<bool> {
        // First the consumer: what it gets meanwhile is in the stream's numbers.
        let info = self.pulled.info().await?;
        let (delivered, done) = (
            info.delivered.stream_sequence,
            info.ack_floor.stream_sequence,
        );
        let held = &self.stream.info().await?.state;
        metrics::held(held.messages, held.bytes);
        Ok(delivered > held.last_sequence || (held.messages > 0 && held.first_sequence <= done))
    }
}

fn config() -> pull::Config {
    pull::Config {
        durable_name: Some(NAME.to_owned()),
        ack_policy: AckPolicy::Explicit,
        ack_wait: ACK_WAIT,
        max_ack_pending: ACK_PENDING_MAX,
        ..pull::Config::default()
    }
}
