//! What the data threads say about themselves when they are asked.

use std::collections::BTreeMap;
use std::io;
use std::ops::AddAssign;
use std::time::Duration;

use model::SessionId;
use model::node::HeldLease;
use model::telemetry::{ForwardDelay, NodeSample, ReasonCount, SessionSample};
use relay_core::{Counters, DropReason, RefusalReason};

/// A drop that the shell makes before the relay sees the datagram.
const UNANSWERABLE: &str = "unanswerable";
/// Likewise, when the thread that it belongs to has too much to do.
const INBOX_FULL: &str = "inbox_full";
/// A request whose keys would wait for too many others, of all threads.
const KEY_WORKER_FULL: &str = "key_worker_full";

/// One moment of a data thread, or of all. Counters are monotonic since the start.
#[derive(Debug, Clone, Default)]
pub(crate) struct Snapshot {
    /// Every session held.
    pub(crate) held: Vec<HeldLease>,
    /// A sample of each.
    pub(crate) samples: Vec<SessionSample>,
    /// The relay's totals.
    pub(crate) counters: Counters,
    /// Publishers connected.
    pub(crate) publishers: u32,
    /// Players connected.
    pub(crate) players: u32,
    /// SRTLA groups, and the links of all.
    pub(crate) groups: u32,
    pub(crate) links: u32,
    /// What became of groups and links.
    pub(crate) srtla: srtla::Counters,
    /// Time that each thread spent working, not waiting.
    pub(crate) busy: Vec<Duration>,
    /// How long datagrams were in the node.
    pub(crate) delay: ForwardDelay,
    /// Receive calls that brought something, and those that failed.
    pub(crate) receive: ReceiveStats,
    /// Send calls and what became of them.
    pub(crate) send: SendStats,
    /// Events that nobody took in time.
    pub(crate) events_dropped: u64,
}

/// The receive side's own counters.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct ReceiveStats {
    /// Receive calls that brought datagrams.
    pub(crate) calls: u64,
    /// Receive calls that failed.
    pub(crate) errors: u64,
    /// Datagrams that cannot be answered: their source has port 0.
    pub(crate) unanswerable: u64,
    /// Datagrams for another thread that had no room for them.
    pub(crate) handovers_dropped: u64,
    /// Requests whose keys nobody had time to derive.
    pub(crate) key_work_dropped: u64,
    /// Datagrams that the kernel threw away: the receive buffer was full.
    pub(crate) kernel_drops: u64,
}

/// The send side's own counters.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct SendStats {
    /// Send calls.
    pub(crate) calls: u64,
    /// Sends refused for size.
    pub(crate) too_big: u64,
    /// Sends without a route.
    pub(crate) unreachable: u64,
    /// Sends refused by a firewall or policy.
    pub(crate) denied: u64,
    /// Sends refused for anything else.
    pub(crate) other: u64,
    /// Datagrams dropped because too much waited for full sockets.
    pub(crate) queue_full: u64,
}

impl AddAssign for ReceiveStats {
    fn add_assign(&mut self, other: Self) {
        self.calls += other.calls;
        self.errors += other.errors;
        self.unanswerable += other.unanswerable;
        self.handovers_dropped += other.handovers_dropped;
        self.key_work_dropped += other.key_work_dropped;
        self.kernel_drops += other.kernel_drops;
    }
}

impl AddAssign for SendStats {
    fn add_assign(&mut self, other: Self) {
        self.calls += other.calls;
        self.too_big += other.too_big;
        self.unreachable += other.unreachable;
        self.denied += other.denied;
        self.other += other.other;
        self.queue_full += other.queue_full;
    }
}

impl SendStats {
    /// Counts a failed send by its cause.
    pub(crate) fn failed(&mut self, error: &io::Error) {
        let counter = match error.kind() {
            io::ErrorKind::HostUnreachable
            | io::ErrorKind::NetworkUnreachable
            | io::ErrorKind::NetworkDown => &mut self.unreachable,
            io::ErrorKind::PermissionDenied => &mut self.denied,
            _ if quinn_udp::is_msg_size_err(error) => &mut self.too_big,
            _ => &mut self.other,
        };
        *counter += 1;
    }
}

impl Snapshot {
    /// What all threads said, as the node's. A session is known to every thread
    /// and lives on one.
    pub(crate) fn merge(all: impl IntoIterator<Item = Self>) -> Self {
        let mut node = Self::default();
        let mut held = BTreeMap::new();
        let mut samples = BTreeMap::new();
        for one in all {
            one.held
                .into_iter()
                .for_each(|lease| merge_held(&mut held, lease));
            let sampled = one.samples.into_iter();
            sampled.for_each(|sample| merge_sample(&mut samples, sample));
            node.counters += &one.counters;
            node.publishers += one.publishers;
            node.players += one.players;
            node.groups += one.groups;
            node.links += one.links;
            node.srtla += one.srtla;
            node.busy.extend(one.busy);
            node.delay += one.delay;
            node.receive += one.receive;
            node.send += one.send;
            node.events_dropped += one.events_dropped;
        }
        node.held = held.into_values().collect();
        node.samples = samples.into_values().collect();
        node
    }

    /// The node's totals as telemetry has them.
    pub(crate) fn node_sample(&self) -> NodeSample {
        NodeSample {
            ingress_bytes_total: self.counters.ingress_bytes,
            egress_bytes_total: self.counters.egress_bytes,
            ingress_datagrams_total: self.counters.ingress_datagrams,
            egress_datagrams_total: self.counters.egress_datagrams,
            dropped_datagrams_total: self.counters.drops_total(),
            publishers: self.publishers,
            players: self.players,
            sessions_held: u32::try_from(self.held.len()).unwrap_or(u32::MAX),
            admitted_total: self.counters.admitted,
            drops: counts(self.drops()),
            refusals: counts(self.refusals()),
            forward_delay: Some(self.delay),
        }
    }

    /// Datagrams dropped, those among them that the relay never saw, by reason.
    pub(crate) fn drops(&self) -> impl Iterator<Item = (&'static str, u64)> {
        let reasons = DropReason::ALL.iter();
        let relay = reasons.map(|reason| (reason.as_str(), self.counters.drops(*reason)));
        let shell = [
            (UNANSWERABLE, self.receive.unanswerable),
            (INBOX_FULL, self.receive.handovers_dropped),
            (KEY_WORKER_FULL, self.receive.key_work_dropped),
        ];
        relay.chain(shell)
    }

    /// Callers refused, by reason.
    pub(crate) fn refusals(&self) -> impl Iterator<Item = (&'static str, u64)> {
        let reasons = RefusalReason::ALL.iter();
        reasons.map(|reason| (reason.as_str(), self.counters.refusals(*reason)))
    }
}

fn counts(counts: impl Iterator<Item = (&'static str, u64)>) -> Vec<ReasonCount> {
    let counts = counts.map(|(reason, total)| ReasonCount {
        reason: reason.to_owned(),
        total,
    });
    counts.collect()
}

fn merge_held(held: &mut BTreeMap<SessionId, HeldLease>, lease: HeldLease) {
    let Some(known) = held.get_mut(&lease.session_id) else {
        held.insert(lease.session_id.clone(), lease);
        return;
    };
    known.publishing |= lease.publishing;
    known.players += lease.players;
    known.pulled |= lease.pulled;
    known.ingress_bytes += lease.ingress_bytes;
    known.egress_bytes += lease.egress_bytes;
    known.publisher_rtt_us = known.publisher_rtt_us.or(lease.publisher_rtt_us);
}

fn merge_sample(samples: &mut BTreeMap<SessionId, SessionSample>, sample: SessionSample) {
    let Some(known) = samples.get_mut(&sample.session_id) else {
        samples.insert(sample.session_id.clone(), sample);
        return;
    };
    known.publishing |= sample.publishing;
    known.publisher = known.publisher.or(sample.publisher);
    known.players.extend(sample.players);
    known.links.extend(sample.links);
}

#[cfg(test)]
mod tests {
    use model::telemetry::{PlayerSample, PublisherSample};

    use super::*;

    fn thread(publishing: bool, players: u32) -> Snapshot {
        let session_id = SessionId::from_u128(7);
        let mut delay = ForwardDelay::default();
        delay.record(Duration::from_micros(20), 4);
        Snapshot {
            held: vec![HeldLease {
                session_id: session_id.clone(),
                publishing,
                players,
                pulled: false,
                ingress_bytes: 10,
                egress_bytes: 20,
                publisher_rtt_us: publishing.then_some(40_000),
            }],
            samples: vec![SessionSample {
                session_id,
                publishing,
                publisher: publishing.then(PublisherSample::default),
                players: vec![PlayerSample::default(); players as usize],
                links: Vec::new(),
            }],
            players,
            busy: vec![Duration::from_secs(1)],
            delay,
            ..Snapshot::default()
        }
    }

    #[test]
    fn a_session_that_two_threads_know_is_one() {
        let node = Snapshot::merge([thread(false, 0), thread(true, 3)]);
        assert_eq!(node.held.len(), 1);
        assert!(node.held[0].publishing);
        assert_eq!(node.held[0].players, 3);
        assert_eq!(node.samples.len(), 1);
        assert!(node.samples[0].publisher.is_some());
        assert_eq!(node.samples[0].players.len(), 3);
        assert_eq!(node.busy.len(), 2);
        let sample = node.node_sample();
        assert_eq!(sample.sessions_held, 1);
        assert_eq!(sample.forward_delay.unwrap().counts[0], 8);
        let reasons = |counts: &[ReasonCount], reason: &str| {
            counts.iter().any(|count| count.reason == reason)
        };
        assert!(reasons(&sample.drops, "malformed") && reasons(&sample.drops, INBOX_FULL));
        assert!(reasons(&sample.refusals, "lease_expired"));
    }
}
