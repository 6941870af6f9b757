//! The delay that the node adds, measured while the demo runs: timestamped
//! datagrams go through the node as a stream of their own, and by the side
//! straight from socket to socket. The node's part is the difference.

use std::net::{SocketAddr, UdpSocket};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::{Duration, Instant};

use anyhow::Context;
use e2e::wait;
use testkit::srt_caller::{Caller, Role};

/// Between two datagrams; a camera's rate, not a benchmark's.
const INTERVAL: Duration = Duration::from_millis(20);
/// The newest delays that are looked at.
const KEPT_MAX: usize = 250;
const LATENCY: Duration = Duration::from_millis(20);
const PATIENCE: Duration = Duration::from_secs(5);
const PAYLOAD_BYTES: usize = 1316;

/// A running measurement; dropping it ends it.
#[derive(Debug)]
pub(crate) struct Probe {
    delays: Arc<Mutex<Delays>>,
}

#[derive(Debug, Default)]
struct Delays {
    through: Vec<Duration>,
    straight: Vec<Duration>,
}

impl Probe {
    /// Publishes to the node with one stream id and plays with the other.
    pub(crate) fn start(relay: SocketAddr, publish: &str, play: &str) -> anyhow::Result<Self> {
        let call = |stream_id: &str, role| {
            wait::until("the probe's call is answered", PATIENCE, || {
                Caller::connect(relay, stream_id, role, LATENCY).ok()
            })
        };
        let publisher = call(publish, Role::Publisher)?;
        let player = call(play, Role::Player)?;
        let delays = Arc::<Mutex<Delays>>::default();
        let pair = Pair::new()?;
        let run = Run {
            epoch: Instant::now(),
            delays: Arc::downgrade(&delays),
        };
        let (sending, receiving, straight) = (run.clone(), run.clone(), run);
        let target = pair.address;
        spawn(move || sending.send(publisher, target))?;
        spawn(move || receiving.receive(player))?;
        spawn(move || straight.receive_straight(&pair.socket))?;
        Ok(Self { delays })
    }

    /// What the node added lately: half of the datagrams less, and 99 in 100.
    pub(crate) fn added(&self) -> Option<(Duration, Duration)> {
        let delays = lock(&self.delays);
        let floor = quantile(&delays.straight, 0.5)?;
        let added = |share| Some(quantile(&delays.through, share)?.saturating_sub(floor));
        Some((added(0.5)?, added(0.99)?))
    }
}

struct Pair {
    socket: UdpSocket,
    address: SocketAddr,
}

impl Pair {
    fn new() -> anyhow::Result<Self> {
        let socket = UdpSocket::bind("127.0.0.1:0")?;
        socket.set_read_timeout(Some(Duration::from_millis(200)))?;
        let address = socket.local_addr()?;
        Ok(Self { socket, address })
    }
}

/// One thread's part.
#[derive(Clone)]
struct Run {
    epoch: Instant,
    delays: Weak<Mutex<Delays>>,
}

impl Run {
    fn send(self, mut publisher: Caller, straight: SocketAddr) -> anyhow::Result<()> {
        let socket = UdpSocket::bind("127.0.0.1:0")?;
        while self.delays.strong_count() > 0 {
            publisher.send(&self.stamped())?;
            // Apart, so that one does not wait behind the other.
            std::thread::sleep(INTERVAL / 2);
            socket.send_to(&self.stamped(), straight)?;
            std::thread::sleep(INTERVAL / 2);
        }
        Ok(publisher.shutdown()?)
    }

    fn receive(self, mut player: Caller) -> anyhow::Result<()> {
        while let Some(delays) = self.delays.upgrade() {
            let payload = player.receive(INTERVAL)?;
            if let Some(payload) = payload.filter(|payload| !payload.is_duplicate) {
                keep(
                    &mut lock(&delays).through,
                    self.age(&payload.bytes, payload.arrived),
                );
            }
        }
        Ok(player.shutdown()?)
    }

    fn receive_straight(self, socket: &UdpSocket) -> anyhow::Result<()> {
        let mut buffer = [0; 2048];
        while let Some(delays) = self.delays.upgrade() {
            if let Ok(length) = socket.recv(&mut buffer) {
                let age = self.age(&buffer[..length], Instant::now());
                keep(&mut lock(&delays).straight, age);
            }
        }
        Ok(())
    }

    fn stamped(&self) -> [u8; PAYLOAD_BYTES] {
        let mut payload = [0; PAYLOAD_BYTES];
        let elapsed_ns = u64::try_from(self.epoch.elapsed().as_nanos()).unwrap_or(u64::MAX);
        payload[..8].copy_from_slice(&elapsed_ns.to_be_bytes());
        payload
    }

    fn age(&self, payload: &[u8], arrived: Instant) -> Option<Duration> {
        let stamp: [u8; 8] = payload.get(..8)?.try_into().ok()?;
        let sent = self.epoch + Duration::from_nanos(u64::from_be_bytes(stamp));
        Some(arrived.saturating_duration_since(sent))
    }
}

fn keep(delays: &mut Vec<Duration>, delay: Option<Duration>) {
    if delays.len() >= KEPT_MAX {
        delays.remove(0);
    }
    delays.extend(delay);
}

fn quantile(delays: &[Duration], share: f64) -> Option<Duration> {
    let mut sorted = delays.to_vec();
    sorted.sort_unstable();
    let last = sorted.len().checked_sub(1)?;
    Some(sorted[(last as f64 * share).round() as usize])
}

fn lock(delays: &Mutex<Delays>) -> MutexGuard<'_, Delays> {
    delays.lock().unwrap_or_else(PoisonError::into_inner)
}

fn spawn(body: impl FnOnce() -> anyhow::Result<()> + Send + 'static) -> anyhow::Result<()> {
    let thread = std::thread::Builder::new().name("probe".into());
    thread
        .spawn(move || {
            if let Err(error) = body() {
                eprintln!("the measurement of the delay ended: {error:#}");
            }
        })
        .context("a thread for the probe")?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_are_of_the_sorted_delays() {
        let delays: Vec<_> = (0..=100).rev().map(Duration::from_micros).collect();
        assert_eq!(quantile(&delays, 0.5), Some(Duration::from_micros(50)));
        assert_eq!(quantile(&delays, 0.99), Some(Duration::from_micros(99)));
        assert_eq!(quantile(&[], 0.5), None);
    }
}
