//! Everything that means no good at the same time, beside clients that mean well.

mod dawdlers;
mod finding;
mod floor;
mod forger;
mod oddities;
mod request;

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use anyhow::Context as _;
use tokio::runtime::Runtime;

pub use finding::Finding;

use super::load::{self, Acks, Load, joined};
use super::rig::Rig;
use super::sender::Target;
use floor::Floor;
use forger::Forger;

/// Who comes, and for how long.
#[derive(Debug, Clone, Copy)]
pub struct Plan {
    /// Of the attack, and of the calm before it. Forgers alone have a third of it.
    pub length: Duration,
    /// Requests of a wrong signature, a second.
    pub forged_per_s: u32,
    /// Connections that never send a whole request.
    pub dawdlers: u32,
    /// Events of those who mean well, a second.
    pub events_per_s: u32,
}

/// Connections of those who guess a secret.
const FORGERS: u32 = 8;
/// Those who mean well, and the events of a batch of theirs.
const CLIENTS: u32 = 32;
const BATCH: usize = 20;

/// What those who mean no good saw.
#[derive(Debug, Default)]
struct Seen {
    /// Requests of a wrong signature, each refused.
    forged: u64,
    /// Requests that are wrong in another way.
    odd: u64,
    /// Of those, the kinds that were not answered as they should be.
    wrong: BTreeSet<&'static str>,
    /// And the kinds whose answer tells what is behind.
    telling: BTreeSet<&'static str>,
    /// Connections of dawdlers that were shut.
    shut: u64,
}

/// Runs the drill.
///
/// # Errors
/// When something cannot be started, or a client that means well is refused.
pub fn run(plan: Plan) -> anyhow::Result<Finding> {
    let bombs = oddities::bombs()?;
    let rig = Rig::start()?;
    let runtime = Runtime::new().context("start a runtime")?;
    let friend = rig.app_named(&runtime, "bench", "friend")?;
    let victim = rig.app_named(&runtime, "bench", "victim")?;
    friend.await_ready()?;
    let alone = Alone::measure(&victim, rig.http(), plan.length / 3)?;
    let calm = mean_well(&friend, plan)?;
    let is_over = AtomicBool::new(false);
    let (attacked, seen) = thread::scope(|scope| {
        let (victim, address, is_over) = (&victim, rig.http(), &is_over);
        let attack = scope.spawn(move || attack(victim, address, plan, (is_over, &bombs)));
        let attacked = mean_well(&friend, plan);
        is_over.store(true, Ordering::Relaxed);
        (attacked, joined(attack))
    });
    Ok(Finding {
        plan,
        seen: seen?,
        alone,
        calm,
        attacked: attacked.context("a client that means well")?,
        peak_bytes: rig.peak_resident_bytes()?,
    })
}

fn mean_well(target: &Target, plan: Plan) -> anyhow::Result<Acks> {
    let load = Load {
        connections: CLIENTS,
        batch: BATCH,
        length: plan.length,
    };
    load::at_rate(target, load, plan.events_per_s.into())
}

type Bombs = [(&'static str, Vec<u8>); 2];

fn attack(
    victim: &Target,
    address: SocketAddr,
    plan: Plan,
    (is_over, bombs): (&AtomicBool, &Bombs),
) -> anyhow::Result<Seen> {
    thread::scope(|scope| {
        let rate = plan.forged_per_s.into();
        let forgers = scope.spawn(move || forge(victim, address, rate, plan.length));
        let dawdlers = scope.spawn(move || {
            dawdlers::dawdle((victim, address), plan.dawdlers, is_over).context("a dawdler")
        });
        let mut seen = Seen::default();
        let odd = send_oddities(victim, address, (is_over, bombs), &mut seen);
        seen.forged = joined(forgers)?;
        seen.shut = joined(dawdlers)?;
        odd.map(|()| seen)
    })
}

/// Guesses the victim's secret so many times a second, over all connections; the requests that were
/// refused.
fn forge(victim: &Target, address: SocketAddr, rate: f64, length: Duration) -> anyhow::Result<u64> {
    let forger = Forger {
        target: victim,
        address,
        rate: rate / f64::from(FORGERS),
    };
    let forger = &forger;
    thread::scope(|scope| {
        let forgers: Vec<_> = (0..FORGERS)
            .map(|_| scope.spawn(move || forger.work(length)))
            .collect();
        let refused = forgers.into_iter().map(joined);
        refused.sum()
    })
}

/// Forged requests that are refused in a second while nobody else comes, as many as can be sent.
#[derive(Debug, Clone, Copy)]
struct Alone {
    per_s: f64,
    /// By a server that does nothing else.
    floor_per_s: f64,
}

impl Alone {
    fn measure(victim: &Target, gateway: SocketAddr, length: Duration) -> anyhow::Result<Self> {
        let per_s = |address| {
            let refused = forge(victim, address, f64::INFINITY, length)?;
            anyhow::Ok(refused as f64 / length.as_secs_f64())
        };
        let floor = Floor::start()?;
        Ok(Self {
            per_s: per_s(gateway)?,
            floor_per_s: per_s(floor.address).context("the floor")?,
        })
    }
}

/// One of each kind after another, until it is over; all kinds once at least.
fn send_oddities(
    victim: &Target,
    address: SocketAddr,
    (is_over, bombs): (&AtomicBool, &Bombs),
    seen: &mut Seen,
) -> anyhow::Result<()> {
    loop {
        for oddity in oddities::all(victim, bombs) {
            let outcome = oddity.send(address).context(oddity.name)?;
            seen.odd += 1;
            if !outcome.is_right {
                seen.wrong.insert(oddity.name);
            }
            if outcome.tells {
                seen.telling.insert(oddity.name);
            }
        }
        if is_over.load(Ordering::Relaxed) {
            return Ok(());
        }
    }
}
