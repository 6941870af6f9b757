//! Who must look at sessions again: `NOTIFY` in the transaction that changed them,
//! [`Listener`] in whoever holds the node's stream or shows a session.

use model::{NodeId, SessionId, StreamId};
use sqlx::postgres::PgListener;

use super::column;
use crate::{Error, Pool, Transaction};

const CHANNEL: &str = "streamhaul_fleet";
/// Instead of a node's id.
const KEYS: &str = "keys";
const BANS: &str = "bans";

/// Says, when the transaction commits, that a node's sessions changed.
///
/// # Errors
/// When the database fails.
pub async fn notify(transaction: &mut Transaction, node: &NodeId) -> Result<(), Error> {
    say(transaction, node.as_str()).await
}

/// Says, when the transaction commits, that the live sessions of a stream changed, to each
/// node that has one: two while it moves.
///
/// # Errors
/// When the database fails.
pub async fn notify_stream(transaction: &mut Transaction, stream: &StreamId) -> Result<(), Error> {
    let nodes = sqlx::query_scalar!(
        "SELECT node_id FROM control.sessions WHERE stream_id = $1 AND state <> 'stopped'",
        stream.as_str()
    )
    .fetch_all(&mut **transaction)
    .await?;
    for node in &nodes {
        notify(transaction, &column("sessions.node_id", node)?).await?;
    }
    Ok(())
}

/// Says, when the transaction commits, that what a session is doing changed, and
/// nothing that its node must know.
///
/// # Errors
/// When the database fails.
pub async fn notify_session(
    transaction: &mut Transaction,
    session: &SessionId,
) -> Result<(), Error> {
    say(transaction, session.as_str()).await
}

/// Says, when the transaction commits, that the lease keys changed.
///
/// # Errors
/// When the database fails.
pub async fn notify_keys(transaction: &mut Transaction) -> Result<(), Error> {
    say(transaction, KEYS).await
}

/// Says, when the transaction commits, that the bans changed.
///
/// # Errors
/// When the database fails.
pub async fn notify_bans(transaction: &mut Transaction) -> Result<(), Error> {
    say(transaction, BANS).await
}

/// Identifiers say by their prefix whose they are.
async fn say(transaction: &mut Transaction, what: &str) -> Result<(), Error> {
    sqlx::query!("SELECT pg_notify($1, $2)", CHANNEL, what)
        .execute(&mut **transaction)
        .await?;
    Ok(())
}

/// What a listener heard.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Wake {
    /// This node's sessions changed.
    Node(NodeId),
    /// What this session is doing changed.
    Session(SessionId),
    /// The lease keys changed.
    Keys,
    /// The bans changed.
    Bans,
    /// The connection was lost for a while: any node's may have, the keys and the bans.
    Missed,
}

/// A connection of its own that hears all of them.
#[derive(Debug)]
pub struct Listener(PgListener);

impl Listener {
    /// Connects and listens.
    ///
    /// # Errors
    /// When the database is away.
    pub async fn connect(pool: &Pool) -> Result<Self, Error> {
        let mut listener = PgListener::connect_with(pool).await?;
        listener.listen(CHANNEL).await?;
        Ok(Self(listener))
    }

    /// Waits for the next wake; cancel safe.
    ///
    /// # Errors
    /// When the database is away: connect again, and count it as [`Wake::Missed`].
    pub async fn next(&mut self) -> Result<Wake, Error> {
        loop {
            let Some(notification) = self.0.try_recv().await? else {
                return Ok(Wake::Missed);
            };
            match notification.payload() {
                KEYS => return Ok(Wake::Keys),
                BANS => return Ok(Wake::Bans),
                _ => {}
            }
            if let Ok(node) = notification.payload().parse() {
                return Ok(Wake::Node(node));
            }
            if let Ok(session) = notification.payload().parse() {
                return Ok(Wake::Session(session));
            }
        }
    }
}
