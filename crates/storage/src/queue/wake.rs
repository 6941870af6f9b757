//! Says that there is work. Only a hint: workers poll as well, so a lost
//! notification, or a proxy that drops them all, costs delay and nothing else.

use sqlx::PgConnection;
use sqlx::postgres::PgListener;

use super::Queue;
use crate::Error;

const CHANNEL: &str = "streamhaul_queue";

/// Notifies listeners when the transaction commits; several in one count once.
pub(super) async fn notify(connection: &mut PgConnection) -> Result<(), Error> {
    sqlx::query!("SELECT pg_notify($1, '')::text AS sent", CHANNEL)
        .fetch_one(connection)
        .await?;
    Ok(())
}

/// A subscription to "there is work", on a connection of its own.
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
        listener.listen(CHANNEL).await?;
        Ok(Wakeups { listener })
    }
}

impl Wakeups {
    /// Waits for the next hint. A connection lost and found again is one too.
    ///
    /// # Errors
    /// When the connection is lost for now; subscribe anew.
    pub async fn next(&mut self) -> Result<(), Error> {
        self.listener.try_recv().await?;
        Ok(())
    }
}
