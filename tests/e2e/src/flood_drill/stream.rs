//! A running stream whose payloads are numbered, so that one that is missing or
//! changed shows.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use model::session::Role as KeyRole;
use testkit::linksim::Impairment;
use testkit::random::Random;
use testkit::srt_caller::{Caller, Role, Traffic};
use testkit::srtla_sender::udp::UdpSender;
use testkit::srtla_sender::{KeepAlives, Uplink};

use super::speech::Speech;
use crate::{plane, wait};

/// What both ends ask for.
const LATENCY: Duration = Duration::from_secs(1);
const RATE_BPS: f64 = 6e6;
const PAYLOAD_BYTES: usize = 1316;
/// How long callers look after what is under way when the stream is over.
const LINGER: Duration = Duration::from_secs(2);
/// The publisher's links, and how long they may take to register.
const LINK_DELAYS_MS: [u64; 3] = [5, 20, 45];
const SEED: u64 = 20_261_121;
const PATIENCE: Duration = Duration::from_secs(20);
/// How long a player waits for something to do.
const LOOK: Duration = Duration::from_millis(20);

/// What came of a stream.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Carried {
    /// Payloads published since the first one that was played.
    pub sent: u64,
    /// Those that came in time, as they were sent.
    pub received: u64,
    /// Payloads that came, but changed.
    pub damaged: u64,
    /// What the publisher was asked to send again.
    pub retransmitted: u64,
    /// Links of the publisher that were not registered at the end.
    pub links_lost: u64,
    /// What the two ends exchanged with the node.
    pub(super) traffic: Traffic,
}

/// A publisher and a player, each in a thread of its own.
#[derive(Debug)]
pub(super) struct Stream {
    stop: Arc<AtomicBool>,
    publisher: JoinHandle<anyhow::Result<Published>>,
    player: JoinHandle<anyhow::Result<Played>>,
}

#[derive(Debug)]
struct Published {
    payloads: u64,
    retransmitted: u64,
    links_lost: u64,
    traffic: Traffic,
}

#[derive(Debug, Default)]
struct Played {
    /// By number, whether it came.
    came: Vec<bool>,
    damaged: u64,
    traffic: Traffic,
}

impl Stream {
    /// Connects both ends of the plane's first session and starts to publish: over
    /// links when that is what is flooded.
    ///
    /// # Errors
    /// When the node does not let one in.
    pub(super) fn start(node: SocketAddr, speech: Speech) -> anyhow::Result<Self> {
        let connect = |to, role, key_role| {
            let stream_id = plane::stream_id(0, key_role);
            Caller::connect(to, &stream_id, role, LATENCY)
                .with_context(|| format!("the {role:?} is not let in"))
        };
        let bond = match speech {
            Speech::Srt => None,
            Speech::Srtla => Some(bond(node)?),
        };
        let publish_to = bond.as_ref().map_or(node, UdpSender::address);
        let publisher = connect(publish_to, Role::Publisher, KeyRole::Publish)?;
        let player = connect(node, Role::Player, KeyRole::Play)?;
        let stop = Arc::new(AtomicBool::new(false));
        let (stop_publisher, stop_player) = (Arc::clone(&stop), Arc::clone(&stop));
        Ok(Self {
            stop,
            publisher: thread::spawn(move || publish(publisher, bond, &stop_publisher)),
            player: thread::spawn(move || play(player, &stop_player)),
        })
    }

    /// Ends the stream when everything published had the time to arrive.
    ///
    /// # Errors
    /// When one of the ends was cut, or its socket failed.
    pub(super) fn finish(self) -> anyhow::Result<Carried> {
        self.stop.store(true, Ordering::Relaxed);
        let joined = |_| anyhow::anyhow!("a caller's thread panicked");
        let published = self.publisher.join().map_err(joined)??;
        let played = self.player.join().map_err(joined)??;
        Ok(judge(&published, &played))
    }
}

fn judge(published: &Published, played: &Played) -> Carried {
    let first = played.came.iter().position(|came| *came);
    let joined = first.map_or(0, |first| first as u64);
    Carried {
        sent: published.payloads.saturating_sub(joined),
        received: played.came.iter().filter(|came| **came).count() as u64,
        damaged: played.damaged,
        retransmitted: published.retransmitted,
        links_lost: published.links_lost,
        traffic: published.traffic + played.traffic,
    }
}

fn publish(
    mut caller: Caller,
    bond: Option<UdpSender>,
    stop: &AtomicBool,
) -> anyhow::Result<Published> {
    let interval = Duration::from_secs_f64(PAYLOAD_BYTES as f64 * 8.0 / RATE_BPS);
    let started = Instant::now();
    let mut payloads = 0;
    while !stop.load(Ordering::Relaxed) {
        caller.send(&payload(payloads))?;
        payloads += 1;
        let next_at = started + interval.mul_f64(payloads as f64);
        caller.receive(next_at.saturating_duration_since(Instant::now()))?;
        ensure!(!caller.is_closed(), "the publisher was cut");
    }
    let until = Instant::now() + LINGER;
    while Instant::now() < until {
        caller.receive(LOOK)?;
    }
    let links_lost = bond.as_ref().map_or(0, links_lost);
    let retransmitted = caller.sent().retransmitted;
    let left = leave(caller)?;
    Ok(Published {
        payloads,
        retransmitted,
        links_lost,
        traffic: bond.map_or(left, |bond| traffic_of(&bond)),
    })
}

/// A sender with three links of a publisher, all of them registered.
fn bond(node: SocketAddr) -> anyhow::Result<UdpSender> {
    let links = LINK_DELAYS_MS.map(|delay| Impairment::delayed(Duration::from_millis(delay)));
    let links = Uplink::numbered(links);
    let sender = UdpSender::start(node, links, KeepAlives::Extended, SEED)?;
    wait::until("all links are registered", PATIENCE, || {
        let links = sender.links();
        let all = links.len() == LINK_DELAYS_MS.len();
        (all && links.iter().all(|link| link.is_live)).then_some(())
    })?;
    Ok(sender)
}

fn links_lost(bond: &UdpSender) -> u64 {
    let links = bond.links();
    let live = links.iter().filter(|link| link.is_live).count();
    (LINK_DELAYS_MS.len() - live) as u64
}

/// What the links exchanged with the node, once all of it is there.
fn traffic_of(bond: &UdpSender) -> Traffic {
    thread::sleep(LOOK + Duration::from_millis(LINK_DELAYS_MS[2]));
    let links = 0..LINK_DELAYS_MS.len();
    links.fold(Traffic::default(), |sum, link| {
        let tallies = bond.tallies(link);
        let of_link = Traffic {
            sent_bytes: tallies.up.sent_bytes,
            received_bytes: tallies.down.sent_bytes,
        };
        sum + of_link
    })
}

fn play(mut caller: Caller, stop: &AtomicBool) -> anyhow::Result<Played> {
    let mut played = Played::default();
    let mut until = None;
    while until.is_none_or(|until| Instant::now() < until) {
        if until.is_none() && stop.load(Ordering::Relaxed) {
            until = Some(Instant::now() + LINGER);
        }
        if let Some(arrived) = caller.receive(LOOK)?
            && !arrived.is_duplicate
        {
            played.take(&arrived.bytes);
        }
        ensure!(!caller.is_closed() || until.is_some(), "the player was cut");
    }
    played.traffic = leave(caller)?;
    Ok(played)
}

/// Ends a connection politely; what it exchanged with the node.
pub(super) fn leave(mut caller: Caller) -> anyhow::Result<Traffic> {
    caller.shutdown()?;
    Ok(caller.traffic())
}

impl Played {
    fn take(&mut self, bytes: &[u8]) {
        match number_of(bytes) {
            Some(number) => {
                let place = number as usize;
                self.came.resize(self.came.len().max(place + 1), false);
                self.came[place] = true;
            }
            None => self.damaged += 1,
        }
    }
}

/// A payload that nobody could make up who does not know its number.
fn payload(number: u64) -> [u8; PAYLOAD_BYTES] {
    let mut payload = [0; PAYLOAD_BYTES];
    Random::new(number).fill(&mut payload);
    payload[..8].copy_from_slice(&number.to_be_bytes());
    payload
}

/// More payloads than a drill publishes.
const NUMBERS_MAX: u64 = 1 << 24;

/// The number of a payload that is as it was sent.
fn number_of(bytes: &[u8]) -> Option<u64> {
    let number = u64::from_be_bytes(*bytes.first_chunk()?);
    let is_whole = number < NUMBERS_MAX && payload(number) == bytes;
    is_whole.then_some(number)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn played(numbers: impl IntoIterator<Item = u64>) -> Played {
        let mut played = Played::default();
        for number in numbers {
            played.take(&payload(number));
        }
        played
    }

    fn published(payloads: u64) -> Published {
        Published {
            payloads,
            retransmitted: 0,
            links_lost: 0,
            traffic: Traffic::default(),
        }
    }

    #[test]
    fn what_is_missing_after_the_first_played_shows() {
        let whole = judge(&published(100), &played(10..100));
        assert_eq!((whole.sent, whole.received), (90, 90));
        let gap = (10..100).filter(|number| !(40..45).contains(number));
        assert_eq!(judge(&published(100), &played(gap)).received, 85);
        assert_eq!(judge(&published(100), &played(10..97)).received, 87);
        assert_eq!(judge(&published(100), &played([])).sent, 100);
    }

    #[test]
    fn a_changed_payload_is_damaged() {
        let mut changed = payload(7);
        changed[1000] ^= 1;
        let mut played = Played::default();
        played.take(&changed);
        played.take(&changed[..1315]);
        assert_eq!((played.damaged, played.came.len()), (2, 0));
    }
}
