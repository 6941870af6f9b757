//! The delay that a node adds, measured by timestamped datagrams.
//!
//! The same datagrams at the same rate go through a relay node and, for a floor,
//! through a bare UDP forwarder with the same socket calls; what the node takes
//! longer is its own. Both are processes of their own, and take turns.

use std::fmt;
use std::net::{SocketAddr, UdpSocket};
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use serde_json::{Value, json};
use testkit::srt_caller::{Caller, Role};

use crate::forwarder;
use crate::house::{House, READY_LIMIT};
use crate::machine;
use crate::ports::Ports;
use crate::program::Program;
use crate::wait;

/// What one SRT packet carries.
const PAYLOAD_BYTES: usize = 1316;
/// The bytes of SRT's header, so that both ways carry datagrams of one size.
const HEADER_BYTES: usize = 16;
/// The first of each turn's datagrams warm caches and are not judged.
const WARM_UP: Duration = Duration::from_millis(500);
/// How long a straggler is waited for.
const PATIENCE: Duration = Duration::from_millis(500);
/// What both callers ask for.
const LATENCY: Duration = Duration::from_millis(200);
/// How long the receiving end waits before it looks at the time.
const SLICE: Duration = Duration::from_millis(10);

/// How to measure.
#[derive(Debug, Clone, Copy)]
pub struct Plan {
    /// Payload bits a second.
    pub rate_bps: u64,
    /// How long each way is measured, all turns together.
    pub each: Duration,
    /// How often the ways take turns.
    pub turns: u32,
}

/// Delays of one way, sorted.
#[derive(Debug, Clone, Default)]
pub struct Delays {
    sorted: Vec<Duration>,
    sent: usize,
}

/// Both ways.
#[derive(Debug, Clone, Default)]
pub struct Report {
    /// Through the bare forwarder.
    pub floor: Delays,
    /// Through the node.
    pub relay: Delays,
}

impl Delays {
    /// The delay that this share of datagrams did not exceed.
    #[must_use]
    pub fn quantile(&self, share: f64) -> Duration {
        let last = self.sorted.len().saturating_sub(1);
        self.sorted
            .get((last as f64 * share).round() as usize)
            .copied()
            .unwrap_or_default()
    }

    /// Datagrams that came.
    #[must_use]
    pub const fn received(&self) -> usize {
        self.sorted.len()
    }

    fn add(&mut self, sent: usize, delays: Vec<Duration>) {
        self.sent += sent;
        self.sorted.extend(delays);
        self.sorted.sort_unstable();
    }

    fn to_json(&self) -> Value {
        let us = |share| (self.quantile(share).as_nanos() as f64 / 100.0).round() / 10.0;
        json!({
            "sent": self.sent, "received": self.received(),
            "p50_us": us(0.5), "p99_us": us(0.99), "p999_us": us(0.999),
        })
    }
}

impl Report {
    /// Measures both ways in turns.
    ///
    /// # Errors
    /// When the house does not come up or a way loses datagrams.
    pub fn measure(plan: Plan) -> anyhow::Result<Self> {
        let house = House::start()?;
        let mut report = Self::default();
        for _ in 0..plan.turns {
            let (sent, delays) = through_forwarder(&house, plan)?;
            report.floor.add(sent, delays);
            let (sent, delays) = through_node(&house, plan)?;
            report.relay.add(sent, delays);
        }
        Ok(report)
    }

    /// What the node takes longer than the floor, at one share of datagrams.
    #[must_use]
    pub fn added(&self, share: f64) -> Duration {
        self.relay
            .quantile(share)
            .saturating_sub(self.floor.quantile(share))
    }

    /// Whether the node adds no more than it may.
    #[must_use]
    pub fn meets_bars(&self) -> bool {
        self.added(0.5) < P50_LIMIT && self.added(0.99) < P99_LIMIT
    }

    /// The report for programs: what was measured against its limits, and all else.
    #[must_use]
    pub fn to_json(&self) -> Value {
        let added_us = |share| self.added(share).as_nanos() as f64 / 1000.0;
        json!({
            "bars": {"added_delay_p50_us": added_us(0.5), "added_delay_p99_us": added_us(0.99)},
            "limits": {
                "added_delay_p50_us": P50_LIMIT.as_micros() as u64,
                "added_delay_p99_us": P99_LIMIT.as_micros() as u64,
            },
            "profiles": {"floor": self.floor.to_json(), "relay": self.relay.to_json()},
            "machine": machine::describe(),
        })
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "{:<10} {:>10} {:>10} {:>10} {:>10}",
            "delay, µs", "p50", "p99", "p99.9", "datagrams"
        )?;
        for (name, delays) in [("floor", &self.floor), ("relay", &self.relay)] {
            let us = |share| delays.quantile(share).as_micros();
            writeln!(
                f,
                "{name:<10} {:>10} {:>10} {:>10} {:>10}",
                us(0.5),
                us(0.99),
                us(0.999),
                delays.received()
            )?;
        }
        let us = |share| self.added(share).as_micros();
        writeln!(
            f,
            "{:<10} {:>10} {:>10} {:>10}",
            "added",
            us(0.5),
            us(0.99),
            us(0.999)
        )
    }
}

/// What the node may add.
const P50_LIMIT: Duration = Duration::from_micros(200);
const P99_LIMIT: Duration = Duration::from_millis(2);

fn through_node(house: &House, plan: Plan) -> anyhow::Result<Turn> {
    let session = house.start_session("delay")?;
    let call = |url: &str, role| {
        anyhow::Ok(Caller::connect(
            house.relay(),
            stream_id(url)?,
            role,
            LATENCY,
        )?)
    };
    let mut publisher = call(&session.publish_url, Role::Publisher)?;
    // A player is refused until the node knows the publisher.
    let player = || call(&session.play_url, Role::Player).ok();
    let mut player = wait::until("the player is let in", READY_LIMIT, player)?;
    let send = |payload: &[u8]| publisher.send(payload).map(|_| ()).map_err(Into::into);
    let receive = || {
        let payload = player.receive(SLICE)?;
        Ok(payload.and_then(|payload| Some((payload.arrived, stamp_of(&payload.bytes)?))))
    };
    let turn = measure(plan, send, receive)?;
    house.stop_session(&session)?;
    Ok(turn)
}

fn stream_id(url: &str) -> anyhow::Result<&str> {
    let (_, query) = url.split_once('?').context("no query in the address")?;
    query
        .split('&')
        .find_map(|pair| pair.strip_prefix("streamid="))
        .context("no stream id in the address")
}

fn through_forwarder(house: &House, plan: Plan) -> anyhow::Result<Turn> {
    let any = SocketAddr::from(([127, 0, 0, 1], 0));
    let (sender, receiver) = (forwarder::bind(any)?, forwarder::bind(any)?);
    let listen = SocketAddr::from(([127, 0, 0, 1], Ports::free()?.at(0)));
    let mut command = Command::new(std::env::current_exe()?);
    command
        .arg("forward")
        .arg(listen.to_string())
        .arg(receiver.local_addr()?.to_string());
    let _forwarder = Program::start("the forwarder", &mut command, &house.file("forwarder.log"))?;
    sender.connect(listen)?;
    receiver.set_read_timeout(Some(SLICE))?;
    wait_forwarding(&sender, &receiver)?;
    let mut datagram = [0; HEADER_BYTES + PAYLOAD_BYTES];
    let send = |payload: &[u8]| {
        datagram[HEADER_BYTES..].copy_from_slice(payload);
        sender.send(&datagram)?;
        Ok(())
    };
    let mut buffer = [0; 2048];
    let receive = || {
        let Ok(length) = receiver.recv(&mut buffer) else {
            return Ok(None);
        };
        let arrived = Instant::now();
        let payload = buffer[..length].get(HEADER_BYTES..).unwrap_or_default();
        Ok(stamp_of(payload).map(|stamp| (arrived, stamp)))
    };
    measure(plan, send, receive)
}

fn wait_forwarding(sender: &UdpSocket, receiver: &UdpSocket) -> anyhow::Result<()> {
    wait::until("the forwarder forwards", READY_LIMIT, || {
        // Refused until the forwarder has bound its port.
        let _sent = sender.send(&[0]);
        receiver.recv(&mut [0; 8]).ok()
    })?;
    Ok(())
}

/// What one way gave in one turn: payloads judged, and their delays.
type Turn = (usize, Vec<Duration>);

/// Sends stamped payloads at the plan's rate and reads the stamps at the other
/// end.
fn measure(
    plan: Plan,
    send: impl FnMut(&[u8]) -> anyhow::Result<()> + Send,
    mut receive: impl FnMut() -> anyhow::Result<Option<(Instant, Duration)>>,
) -> anyhow::Result<Turn> {
    let base = Instant::now();
    let length = plan.each / plan.turns + WARM_UP;
    let (sent, delays) = std::thread::scope(|scope| {
        let sender = scope.spawn(move || send_stamped(plan, base, length, send));
        let mut delays = Vec::new();
        while base.elapsed() < length + PATIENCE {
            let received = receive()?.filter(|(_, stamp)| *stamp > WARM_UP);
            delays.extend(received.map(|(arrived, stamp)| (arrived - base).saturating_sub(stamp)));
        }
        let sent = sender
            .join()
            .map_err(|_| anyhow::anyhow!("the sender panicked"))??;
        anyhow::Ok((sent, delays))
    })?;
    ensure!(
        delays.len() * 1000 >= sent * 999,
        "{} of {sent} datagrams came",
        delays.len()
    );
    Ok((sent, delays))
}

/// Returns how many payloads are judged.
fn send_stamped(
    plan: Plan,
    base: Instant,
    length: Duration,
    mut send: impl FnMut(&[u8]) -> anyhow::Result<()>,
) -> anyhow::Result<usize> {
    // Sleep to the microsecond: the default slack of 50 would make bursts.
    nix::sys::prctl::set_timerslack(1)?;
    let interval = Duration::from_secs_f64(PAYLOAD_BYTES as f64 * 8.0 / plan.rate_bps as f64);
    let mut payload = [0x47; PAYLOAD_BYTES];
    let mut judged = 0;
    let mut due = base.elapsed();
    while base.elapsed() < length {
        std::thread::sleep(due.saturating_sub(base.elapsed()));
        let stamp = base.elapsed();
        payload[..STAMP_BYTES].copy_from_slice(&(stamp.as_nanos() as u64).to_be_bytes());
        send(&payload)?;
        judged += usize::from(stamp > WARM_UP);
        due += interval;
    }
    Ok(judged)
}

const STAMP_BYTES: usize = 8;

/// When a payload was sent, since the turn's start.
fn stamp_of(payload: &[u8]) -> Option<Duration> {
    let bytes = payload
        .first_chunk::<STAMP_BYTES>()
        .filter(|_| payload.len() == PAYLOAD_BYTES)?;
    Some(Duration::from_nanos(u64::from_be_bytes(*bytes)))
}
