//! The gateway and PostgreSQL are killed under load, and what was acknowledged is looked for.

use std::fmt::{self, Display, Formatter};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use serde_json::{Value, json};
use testkit::database::number_in;
use tokio::runtime::Runtime;
use uuid::Uuid;

use super::rig::Rig;
use super::sender::{Batch, Sender, Target};

/// Who dies, and how often.
#[derive(Debug, Clone, Copy)]
pub struct Plan {
    /// Kills of the gateway.
    pub gateway_kills: u32,
    /// Kills of PostgreSQL.
    pub database_kills: u32,
    /// Between two kills.
    pub interval: Duration,
    /// Clients that send at the same time.
    pub clients: u32,
}

/// Events of a request.
const BATCH: usize = 50;
/// What a client waits before it sends the same again.
const RETRY_AFTER: Duration = Duration::from_millis(100);
/// What the database takes to be away.
const AWAY: Duration = Duration::from_millis(300);
const PATIENCE: Duration = Duration::from_secs(60);
/// Ids that are looked for in one query.
const LOOKED_FOR: usize = 1000;

/// What came of it.
#[derive(Debug)]
pub struct Finding {
    plan: Plan,
    /// Events whose batch was answered 200.
    acknowledged: u64,
    /// Of those, the ones that are in the database.
    found: u64,
    /// Rows in the database.
    stored: u64,
    /// What the sums by the minute come to.
    summed: u64,
    /// Requests that had another answer or none.
    failures: u64,
}

impl Finding {
    /// Whether what is stored is what was acknowledged, each once.
    #[must_use]
    pub fn meets_bars(&self) -> bool {
        self.acknowledged > 0
            && self.found == self.acknowledged
            && self.stored == self.acknowledged
            && self.summed == self.stored
    }

    /// The finding for programs.
    #[must_use]
    pub fn to_json(&self) -> Value {
        json!({
            "gateway_kills": self.plan.gateway_kills, "database_kills": self.plan.database_kills,
            "acknowledged": self.acknowledged, "found": self.found, "stored": self.stored,
            "summed": self.summed, "failures": self.failures, "meets_bars": self.meets_bars(),
        })
    }
}

impl Display for Finding {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "the gateway killed {} times and PostgreSQL {} times under {} clients",
            self.plan.gateway_kills, self.plan.database_kills, self.plan.clients
        )?;
        writeln!(
            f,
            "{} events acknowledged, {} of them found; {} stored, {} in the sums; {} requests failed",
            self.acknowledged, self.found, self.stored, self.summed, self.failures
        )?;
        let met = if self.meets_bars() { "met" } else { "NOT met" };
        writeln!(f, "bar (acknowledged is stored, each once): {met}")
    }
}

/// Runs the drill.
///
/// # Errors
/// When something cannot be started, or a batch is never acknowledged.
pub fn run(plan: Plan) -> anyhow::Result<Finding> {
    let mut rig = Rig::start()?;
    let runtime = Runtime::new().context("start a runtime")?;
    let target = rig.app(&runtime)?;
    let (is_over, failures) = (AtomicBool::new(false), AtomicU64::new(0));
    let acknowledged = thread::scope(|scope| {
        let (target, is_over, failures) = (&target, &is_over, &failures);
        let clients: Vec<_> = (0..plan.clients)
            .map(|client| scope.spawn(move || work(target, client, is_over, failures)))
            .collect();
        let chaos = chaos(plan, &mut rig);
        is_over.store(true, Ordering::Relaxed);
        let mut acknowledged = Vec::new();
        for client in clients {
            let sent = client.join();
            acknowledged
                .extend(sent.unwrap_or_else(|_| Err(anyhow::anyhow!("a client panicked")))?);
        }
        chaos.map(|()| acknowledged)
    })?;
    let url = rig.postgres.url();
    runtime.block_on(judge(plan, &url, &acknowledged, failures.into_inner()))
}

/// Kills by turns, until each was killed as often as it should.
fn chaos(plan: Plan, rig: &mut Rig) -> anyhow::Result<()> {
    for turn in 0..plan.gateway_kills.max(plan.database_kills) {
        if turn < plan.gateway_kills {
            thread::sleep(plan.interval);
            rig.kill_gateway()?;
            rig.launch()?;
        }
        if turn < plan.database_kills {
            thread::sleep(plan.interval);
            rig.postgres.kill()?;
            thread::sleep(AWAY);
            rig.postgres.restart()?;
        }
    }
    thread::sleep(plan.interval);
    Ok(())
}

/// Sends batches until it is over, each again until it is acknowledged; their events.
fn work(
    target: &Target,
    client: u32,
    is_over: &AtomicBool,
    failures: &AtomicU64,
) -> anyhow::Result<Vec<Uuid>> {
    let sender = Sender::new(target.clone());
    let mut acknowledged = Vec::new();
    while !is_over.load(Ordering::Relaxed) {
        let batch = Batch::new(BATCH, client);
        let started = Instant::now();
        while !matches!(sender.send(&batch), Ok(200)) {
            failures.fetch_add(1, Ordering::Relaxed);
            ensure!(
                started.elapsed() < PATIENCE,
                "a batch is never acknowledged"
            );
            thread::sleep(RETRY_AFTER);
        }
        acknowledged.extend(batch.ids);
    }
    Ok(acknowledged)
}

async fn judge(
    plan: Plan,
    url: &str,
    acknowledged: &[Uuid],
    failures: u64,
) -> anyhow::Result<Finding> {
    let mut found = 0;
    for ids in acknowledged.chunks(LOOKED_FOR) {
        let ids: Vec<String> = ids.iter().map(Uuid::to_string).collect();
        let query = format!(
            "SELECT count(DISTINCT event_id) FROM telemetry.events WHERE app_id = 1 AND event_id = ANY('{{{}}}')",
            ids.join(",")
        );
        found += number_in(url, &query).await.unsigned_abs();
    }
    let stored = number_in(url, "SELECT count(*) FROM telemetry.events").await;
    let sums = "SELECT coalesce(sum(events), 0)::bigint FROM telemetry.rollups";
    Ok(Finding {
        plan,
        acknowledged: acknowledged.len() as u64,
        found,
        stored: stored.unsigned_abs(),
        summed: number_in(url, sums).await.unsigned_abs(),
        failures,
    })
}
