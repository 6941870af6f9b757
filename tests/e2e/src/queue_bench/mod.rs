//! What the job engine does in a second, and how soon it begins: one process and a private
//! PostgreSQL as `streamhaul up` runs it, on the same cores.
//!
//! The same again beside a transaction that has been open for a while, as a backup or a
//! forgotten report is: nothing that died since is removed from any table. River's own bench may
//! run on the same cluster in between.

mod latency;
mod report;
mod river;
mod throughput;

use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::time::Duration;

use anyhow::Context as _;
use storage::cluster::{Cluster, ClusterConfig};
use storage::queue::Queue;
use testkit::ledger::Floor;

use crate::machine;
use latency::Latency;
pub use report::Report;

/// How much of it.
#[derive(Debug, Clone, Copy)]
pub struct Plan {
    /// Jobs of one turn.
    pub jobs: u32,
    /// Turns; their medians count.
    pub turns: u32,
    /// Jobs that are timed one by one.
    pub singles: u32,
    /// How long the transaction has been open, and jobs have been done beside it, before
    /// anything is measured.
    pub held: Duration,
    /// How many jobs a second are done meanwhile.
    pub held_rate: u32,
}

const CONNECTIONS: u32 = 10;
const FLOOR_BATCH: i32 = 500;

/// Measures everything; besides, what River's command at `river` does in a second.
///
/// # Errors
/// When there is no PostgreSQL, jobs do not end, or River does not say what it did.
pub fn measure(plan: &Plan, river: Option<&Path>) -> anyhow::Result<Report> {
    let machine = machine::describe();
    let directory = tempfile::Builder::new().prefix("sh-jobs").tempdir()?;
    // PostgreSQL may run as another user, who must get to its files.
    std::fs::set_permissions(directory.path(), PermissionsExt::from_mode(0o755))?;
    let config = ClusterConfig::in_state_dir(directory.path());
    let cluster = Cluster::start(&config, &Cluster::find_binaries()?)?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .context("start a runtime")?;
    let mut report = runtime.block_on(run(plan, &cluster.url(), river))?;
    cluster.stop()?;
    report.machine = machine;
    Ok(report)
}

async fn run(plan: &Plan, url: &str, river: Option<&Path>) -> anyhow::Result<Report> {
    let pool = storage::connect_queue("bench", url, CONNECTIONS)?;
    storage::migrate(&pool).await?;
    let queue = Queue::new(pool);
    queue
        .make_history(storage::queue::Retention::default())
        .await?;
    let rows = i32::try_from(plan.jobs).unwrap_or(i32::MAX);
    let floor = Floor::measure(url, rows, FLOOR_BATCH).await?;
    let free = throughput::turns(&queue, plan).await?;
    let start = latency::measure(&queue, plan.singles).await?;
    let river = match river {
        Some(binary) => Some(river::measure(binary, url, plan).await?),
        None => None,
    };

    let held = testkit::database::hold(url, "SELECT count(*) FROM queue.history").await;
    let aged = throughput::age(&queue, plan).await?;
    let beside = throughput::turns(&queue, plan).await?;
    let start_beside = latency::measure(&queue, plan.singles).await?;
    let oldest = queue.oldest_transaction().await?;
    drop(held);
    Ok(Report {
        machine: serde_json::Value::Null,
        plan: *plan,
        noise: Latency::of_timer().await,
        floor,
        free,
        start,
        river,
        aged,
        held_for: oldest.age,
        beside,
        start_beside,
    })
}
