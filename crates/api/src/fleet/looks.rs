//! Looks after every stream of this process at once: one query says which nodes may have
//! to be told something, so that none needs a query or a timer of its own.

use std::sync::Arc;

use model::NodeId;
use storage::control::nodes;
use tokio::time::{Instant, MissedTickBehavior};

use crate::config::seconds;
use crate::state::App;

/// A node silent for this many times `offline_after_seconds` has lost its stream.
const SILENT_FACTOR: u32 = 3;
/// Nodes asked about in one query.
const NODES_MAX: usize = 5000;

/// Looks again and again: what no wake told of is seen here.
pub(crate) async fn keep(app: Arc<App>) {
    let mut interval = tokio::time::interval(seconds(app.config.fleet.sync_seconds));
    interval.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let silent_max = seconds(app.config.fleet.offline_after_seconds) * SILENT_FACTOR;
    loop {
        interval.tick().await;
        if let Some(since) = Instant::now().checked_sub(silent_max) {
            app.registry.end_silent(since);
        }
        if let Err(error) = look(&app).await {
            // Readiness tells that the database is away.
            tracing::debug!(
                error = &error as &dyn std::error::Error,
                "What nodes should hold could not be compared"
            );
        }
    }
}

async fn look(app: &App) -> Result<(), storage::Error> {
    let lines = app.registry.lines();
    for lines in lines.chunks(NODES_MAX) {
        let ids: Vec<NodeId> = lines.iter().map(|(node, _)| node.clone()).collect();
        let wanted = nodes::fingerprints(&app.pool, &ids).await?;
        for (node, line) in lines {
            if line.is_due(wanted.get(node).copied(), app.now()) {
                line.wake.notify_one();
            }
        }
    }
    Ok(())
}
