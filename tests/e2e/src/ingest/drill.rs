//! Gateways and PostgreSQL are killed under load, and what was acknowledged is looked for.

use std::fmt::{self, Display, Formatter};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use serde_json::{Value, json};
use testkit::database::number_in;
use tokio::runtime::Runtime;
use uuid::Uuid;

use super::rig::{Rig, Setup};
use super::sender::{Batch, Sender, Target};
use crate::wait;

/// Who dies, and how often.
#[derive(Debug, Clone, Copy)]
pub struct Plan {
    /// What there is to die.
    pub setup: Setup,
    /// Kills of gateways, by turns.
    pub gateway_kills: u32,
    /// Gateways that are told to end and started anew, by turns.
    pub replacements: u32,
    /// Kills of PostgreSQL.
    pub database_kills: u32,
    /// Kills of the NATS server, if there is one.
    pub log_kills: u32,
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
/// What spools take to be empty.
const SETTLED_LIMIT: Duration = Duration::from_secs(30);
/// Ids that are looked for in one query, which reads all events: no key of theirs begins with the id.
const LOOKED_FOR: usize = 100_000;

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
    /// Those of them that had an answer.
    refusals: u64,
    /// What the slowest batch took from its first sending to its acknowledgement, ms.
    longest_ms: u64,
}

/// The gateways, as a balancer of load has them.
struct Balancer {
    targets: Vec<Target>,
    is_used: Vec<AtomicBool>,
}

#[derive(Default)]
struct Counts {
    failures: AtomicU64,
    refusals: AtomicU64,
    longest_ms: AtomicU64,
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

    /// Requests that were answered, but not that events are kept.
    #[must_use]
    pub const fn refusals(&self) -> u64 {
        self.refusals
    }

    /// The finding for programs.
    #[must_use]
    pub fn to_json(&self) -> Value {
        json!({
            "gateways": self.plan.setup.gateways, "spool": self.plan.setup.has_spool,
            "writers": self.plan.setup.nats.map(|nats| nats.writers), "log_kills": self.plan.log_kills,
            "gateway_kills": self.plan.gateway_kills, "replacements": self.plan.replacements,
            "database_kills": self.plan.database_kills,
            "acknowledged": self.acknowledged, "found": self.found, "stored": self.stored,
            "summed": self.summed, "failures": self.failures, "refusals": self.refusals, "longest_ms": self.longest_ms,
            "meets_bars": self.meets_bars(),
        })
    }
}

impl Finding {
    fn with(&self) -> &'static str {
        match (self.plan.setup.nats, self.plan.setup.has_spool) {
            (None, false) => "",
            (None, true) => " with spools",
            (Some(_), false) => " and writers around NATS",
            (Some(_), true) => " with spools and writers around NATS",
        }
    }
}

impl Display for Finding {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "of {} gateways{} {} were killed and {} replaced, PostgreSQL was killed {} times and NATS {}, under {} clients",
            self.plan.setup.all(),
            self.with(),
            self.plan.gateway_kills,
            self.plan.replacements,
            self.plan.database_kills,
            self.plan.log_kills,
            self.plan.clients
        )?;
        writeln!(
            f,
            "{} events acknowledged, {} of them found; {} stored, {} in the sums; {} requests failed, {} of them with an answer; the slowest batch took {} ms",
            self.acknowledged,
            self.found,
            self.stored,
            self.summed,
            self.failures,
            self.refusals,
            self.longest_ms
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
    let mut rig = Rig::with(plan.setup)?;
    let runtime = Runtime::new().context("start a runtime")?;
    let balancer = Balancer::of(rig.targets(&rig.app(&runtime)?));
    for gateway in 0..plan.setup.gateways {
        balancer.wait_for(gateway)?;
    }
    let (is_over, counts) = (AtomicBool::new(false), Counts::default());
    let acknowledged = thread::scope(|scope| {
        let (balancer, is_over, counts) = (&balancer, &is_over, &counts);
        let clients: Vec<_> = (0..plan.clients)
            .map(|client| scope.spawn(move || work(balancer, client, is_over, counts)))
            .collect();
        let chaos = chaos(plan, &mut rig, balancer);
        is_over.store(true, Ordering::Relaxed);
        let mut acknowledged = Vec::new();
        for client in clients {
            let sent = client.join();
            acknowledged
                .extend(sent.unwrap_or_else(|_| Err(anyhow::anyhow!("a client panicked")))?);
        }
        chaos.map(|()| acknowledged)
    });
    let acknowledged = acknowledged.map_err(|error| error.context(rig.last_words()))?;
    let url = rig.postgres.url();
    runtime.block_on(judge(plan, &url, &acknowledged, &counts))
}

impl Balancer {
    fn of(targets: Vec<Target>) -> Self {
        let is_used = targets.iter().map(|_| AtomicBool::new(true)).collect();
        Self { targets, is_used }
    }

    /// The first at or after `turn` that is used.
    fn next(&self, turn: usize) -> usize {
        let count = self.targets.len();
        let mut turns = (turn..turn + count).map(|turn| turn % count);
        let used = turns.find(|turn| self.is_used[*turn].load(Ordering::Relaxed));
        used.unwrap_or(turn % count)
    }

    fn use_it(&self, gateway: u16, is_used: bool) {
        self.is_used[usize::from(gateway)].store(is_used, Ordering::Relaxed);
    }

    /// Waits until a gateway knows the app: then it says that nothing is in a batch of nothing.
    fn wait_for(&self, gateway: u16) -> anyhow::Result<()> {
        let sender = Sender::new(self.targets[usize::from(gateway)].clone());
        wait::until("a gateway knows the app", PATIENCE, || {
            matches!(sender.send(&Batch::new(0, 0)), Ok(400)).then_some(())
        })
    }
}

/// Kills by turns, until each was killed as often as it should.
fn chaos(plan: Plan, rig: &mut Rig, balancer: &Balancer) -> anyhow::Result<()> {
    let kills = [plan.gateway_kills, plan.database_kills, plan.log_kills];
    let turns = kills.into_iter().max().unwrap_or(0);
    for turn in 0..turns.max(plan.replacements) {
        // An edge, then a writer, if there are both.
        let gateway = (turn % u32::from(plan.setup.all())) as u16;
        if turn < plan.gateway_kills {
            thread::sleep(plan.interval);
            rig.kill_gateway(gateway)?;
            rig.launch(gateway)?;
        }
        if turn < plan.replacements {
            thread::sleep(plan.interval);
            balancer.use_it(gateway, false);
            rig.replace_gateway(gateway)?;
            balancer.wait_for(gateway)?;
            balancer.use_it(gateway, true);
        }
        if turn < plan.database_kills {
            thread::sleep(plan.interval);
            rig.postgres.kill()?;
            thread::sleep(AWAY);
            rig.postgres.restart()?;
        }
        if let Some(nats) = rig.nats.as_mut().filter(|_| turn < plan.log_kills) {
            thread::sleep(plan.interval);
            nats.kill()?;
            thread::sleep(AWAY);
            nats.launch()?;
        }
    }
    thread::sleep(plan.interval);
    Ok(())
}

/// Sends batches until it is over, each again until it is acknowledged; their events. After a
/// failure the next gateway is asked, as a balancer of load would.
fn work(
    balancer: &Balancer,
    client: u32,
    is_over: &AtomicBool,
    counts: &Counts,
) -> anyhow::Result<Vec<Uuid>> {
    let senders: Vec<Sender> = balancer.targets.iter().cloned().map(Sender::new).collect();
    let mut turn = client as usize;
    let mut acknowledged = Vec::new();
    while !is_over.load(Ordering::Relaxed) {
        let batch = Batch::new(BATCH, client);
        let started = Instant::now();
        loop {
            turn = balancer.next(turn);
            let answer = senders[turn].send(&batch);
            if matches!(answer, Ok(200)) {
                break;
            }
            turn += 1;
            counts.failures.fetch_add(1, Ordering::Relaxed);
            counts
                .refusals
                .fetch_add(u64::from(answer.is_ok()), Ordering::Relaxed);
            ensure!(
                started.elapsed() < PATIENCE,
                "a batch is never acknowledged; last it was answered {answer:?}"
            );
            thread::sleep(RETRY_AFTER);
        }
        let took_ms = started.elapsed().as_millis() as u64;
        counts.longest_ms.fetch_max(took_ms, Ordering::Relaxed);
        acknowledged.extend(batch.ids);
    }
    Ok(acknowledged)
}

async fn judge(
    plan: Plan,
    url: &str,
    acknowledged: &[Uuid],
    counts: &Counts,
) -> anyhow::Result<Finding> {
    if plan.setup.has_spool || plan.setup.nats.is_some() {
        settled(url, acknowledged.len()).await;
    }
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
        failures: counts.failures.load(Ordering::Relaxed),
        refusals: counts.refusals.load(Ordering::Relaxed),
        longest_ms: counts.longest_ms.load(Ordering::Relaxed),
    })
}

/// Waits until what was acknowledged has come through; not for ever, for it is what is judged.
async fn settled(url: &str, acknowledged: usize) {
    let started = Instant::now();
    while started.elapsed() < SETTLED_LIMIT {
        let stored = number_in(url, "SELECT count(*) FROM telemetry.events").await;
        if stored.unsigned_abs() >= acknowledged as u64 {
            return;
        }
        tokio::time::sleep(RETRY_AFTER).await;
    }
}
