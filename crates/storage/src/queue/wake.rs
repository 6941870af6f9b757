//! Says that there is work. Only a hint: workers poll as well, so a lost
//! notification, or a proxy that drops them all, costs delay and nothing else.

use model::JobId;
use sqlx::PgConnection;
use sqlx::postgres::PgListener;

use super::Queue;
use crate::Error;

const CHANNEL: &str = "streamhaul_queue";
/// Where running jobs are cancelled and leaders resign; older workers take no hints of it.
const CONTROL_CHANNEL: &str = "streamhaul_queue_control";
const RESIGNED: &str = "resigned";

/// What a worker may want to know at once.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Hint {
    /// There is work in this queue; in any, if it is not named.
    Work(Option<String>),
    /// Somebody wants this running job cancelled.
    Cancel(JobId),
    /// A leader gave up.
    Resigned,
}

/// Notifies listeners when the transaction commits; several in one count once.
pub(super) async fn notify(connection: &mut PgConnection, queue: &str) -> Result<(), Error> {
    send(connection, CHANNEL, queue).await
}

pub(super) async fn notify_cancel(connection: &mut PgConnection, id: JobId) -> Result<(), Error> {
    send(connection, CONTROL_CHANNEL, &id.0.to_string()).await
}

pub(super) async fn notify_resigned(connection: &mut PgConnection) -> Result<(), Error> {
    send(connection, CONTROL_CHANNEL, RESIGNED).await
}

async fn send(connection: &mut PgConnection, channel: &str, payload: &str) -> Result<(), Error> {
    sqlx::query!("SELECT pg_notify($1, $2)::text AS sent", channel, payload)
        .fetch_one(connection)
        .await?;
    Ok(())
}

/// A subscription to hints, on a connection of its own.
#[derive(Debug)]
pub struct Wakeups {
    listener: PgListener,
}

impl Queue {
    /// Subscribes.
    ///
    /// # Errors
    /// When the database is away.
    pub async fn wakeups(&self) -> Result<Wakeups, Error> {
        let mut listener = PgListener::connect_with(&self.pool).await?;
        listener.listen_all([CHANNEL, CONTROL_CHANNEL]).await?;
        Ok(Wakeups { listener })
    }
}

impl Wakeups {
    /// Waits for the next hint. A connection lost and found again is one of work anywhere.
    ///
    /// # Errors
    /// When the connection is lost for now; subscribe anew.
    pub async fn next(&mut self) -> Result<Hint, Error> {
        let Some(notification) = self.listener.try_recv().await? else {
            return Ok(Hint::Work(None));
        };
        let payload = notification.payload();
        Ok(match (notification.channel(), payload) {
            (CONTROL_CHANNEL, RESIGNED) => Hint::Resigned,
            (CONTROL_CHANNEL, id) => id
                .parse()
                .map_or(Hint::Work(None), |id| Hint::Cancel(JobId(id))),
            (_, "") => Hint::Work(None),
            (_, queue) => Hint::Work(Some(queue.to_owned())),
        })
    }
}
