//! Which of a node's streams counts: the newest, on whichever replica it is.
//!
//! A half-open connection can outlive the one that took its place by minutes, and on another
//! replica nobody tells it. What it still hears is checked against the node's row.

use model::NodeId;

use super::nodes;
use crate::{Error, Transaction};

/// The number of a stream among those of its node; 0: it never had one.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct StreamEpoch(pub(super) i64);

/// Begins a node's next stream: what older ones hear counts no longer.
///
/// # Errors
/// When the database fails.
pub async fn begin(
    transaction: &mut Transaction,
    node: &NodeId,
) -> Result<Option<StreamEpoch>, Error> {
    let epoch = sqlx::query_scalar!(
        "UPDATE control.nodes SET stream_epoch = stream_epoch + 1 WHERE id = $1
         RETURNING stream_epoch",
        node.as_str()
    )
    .fetch_optional(&mut **transaction)
    .await?;
    Ok(epoch.map(StreamEpoch))
}

/// Whether a stream is its node's newest, which it stays until the transaction ends.
///
/// # Errors
/// When the database fails.
pub async fn is_newest(
    transaction: &mut Transaction,
    node: &NodeId,
    epoch: StreamEpoch,
) -> Result<bool, Error> {
    nodes::hold(transaction, node).await?;
    let newest = sqlx::query_scalar!(
        "SELECT stream_epoch FROM control.nodes WHERE id = $1",
        node.as_str()
    )
    .fetch_optional(&mut **transaction)
    .await?;
    Ok(newest == Some(epoch.0))
}
