//! One message of the log at one writer.

use std::time::{Duration, SystemTime};

use async_nats::jetstream::Message;
use async_nats::jetstream::message::AckKind;
use bytes::Bytes;

use super::{COMMITTED_TO, Line};

/// How the inboxes of clients begin.
const INBOX: &str = "_INBOX.";
/// An edge has given up by then, also if our clocks differ.
const GIVEN_UP_AFTER: Duration = Duration::from_secs(120);
/// A writer that waits for the database says so this often …
const PROGRESS_INTERVAL: Duration = Duration::from_secs(2);
/// … and no more often than this: longer than a statement may take. Then another may try.
const PROGRESS_MAX: u32 = 20;

/// A message, and the connection that it came by.
pub(super) struct Delivery {
    message: Message,
    line: Line,
}

impl Delivery {
    pub(super) const fn new(message: Message, line: Line) -> Self {
        Self { message, line }
    }

    pub(super) fn payload(&self) -> &Bytes {
        &self.message.payload
    }

    /// Where it was published.
    pub(super) fn subject(&self) -> &str {
        &self.message.subject
    }

    /// Says what came of it. If that gets lost the message comes again, and is found in the
    /// database; so nothing is said after the connection: the server may have forgotten the
    /// message and given its number to another.
    pub(super) async fn answer(&self, kind: AckKind) -> anyhow::Result<()> {
        if self.line.is_interrupted() {
            return Ok(());
        }
        let answered = self.message.ack_with(kind).await;
        answered.map_err(|error| anyhow::anyhow!("acknowledge a message: {error}"))
    }

    /// Says that it is being worked on until it is.
    pub(super) async fn meanwhile<T>(&self, work: impl Future<Output = T>) -> T {
        let told = async {
            for _ in 0..PROGRESS_MAX {
                tokio::time::sleep(PROGRESS_INTERVAL).await;
                if let Err(error) = self.answer(AckKind::Progress).await {
                    tracing::debug!(%error, "another writer gets the message too");
                }
            }
            std::future::pending().await
        };
        tokio::select! {
            done = work => done,
            never = told => never,
        }
    }

    /// The inbox of an edge that waits for the commit; no other subject, whatever a header says.
    pub(super) fn waiting(&self) -> Option<&str> {
        let inbox = self.message.headers.as_ref()?.get(COMMITTED_TO)?.as_str();
        inbox.starts_with(INBOX).then_some(inbox)
    }

    /// Whether somebody waited for it who has given up long since: nobody was told that it is
    /// kept, and whoever sent it sends it again.
    pub(super) fn is_given_up(&self) -> bool {
        let published = self.message.info().map(|info| info.published);
        let published = published.map(SystemTime::from);
        let age = published.ok().and_then(|it| it.elapsed().ok());
        self.waiting().is_some() && age.is_some_and(|age| age > GIVEN_UP_AFTER)
    }
}
