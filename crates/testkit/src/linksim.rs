//! One direction of a network path, impaired, in virtual time.
//!
//! ```text
//! send(now, len, token) ─▶ blackout? ─▶ loss? ─▶ queue at rate_bps ─▶ delay + jitter ─▶ poll(now)
//!                             ✕            ✕          ✕ full
//! ```
//!
//! A [`Link`] holds tokens, not packets: the caller decides what travels. The
//! same seed and the same calls give the same fates. [`udp::UdpPath`] puts two
//! links between real programs.

pub mod udp;

use std::collections::BinaryHeap;
use std::ops::Range;
use std::time::{Duration, Instant};

use crate::random::Random;

/// How a link treats what is sent over it. The default does nothing.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Impairment {
    /// Added to every packet.
    pub delay: Duration,
    /// Added on top, evenly between zero and this; packets stay in order.
    pub jitter: Duration,
    /// Some packets are held back and overtaken.
    pub reorder: Option<Reorder>,
    /// The share of packets lost, each by itself, 0 to 1.
    pub loss: f64,
    /// Loss that comes in bursts.
    pub burst: Option<Burst>,
    /// A bottleneck with a queue in front of it.
    pub bottleneck: Option<Bottleneck>,
    /// Nothing passes in these spans, counted from the first packet sent.
    pub blackouts: Vec<Range<Duration>>,
}

/// Packets held back so that later ones overtake them.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Reorder {
    /// The share of packets held back, 0 to 1.
    pub probability: f64,
    /// For how long.
    pub delay: Duration,
}

/// Loss in bursts: a Gilbert-Elliott channel, stepped at each packet.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Burst {
    /// The chance that a good channel turns bad.
    pub enter: f64,
    /// The chance that a bad channel turns good; its inverse is the mean length.
    pub leave: f64,
    /// The share lost while bad.
    pub loss: f64,
}

/// A rate with a drop-tail queue.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bottleneck {
    /// Bits a second.
    pub rate_bps: u64,
    /// Bytes that may wait; what does not fit is dropped.
    pub queue_bytes_max: u64,
}

impl Impairment {
    /// Only a delay.
    #[must_use]
    pub fn delayed(delay: Duration) -> Self {
        Self {
            delay,
            ..Self::default()
        }
    }

    /// The same with a share of packets lost, each by itself.
    #[must_use]
    pub fn with_loss(self, loss: f64) -> Self {
        Self { loss, ..self }
    }

    /// The same with up to this much more delay.
    #[must_use]
    pub fn with_jitter(self, jitter: Duration) -> Self {
        Self { jitter, ..self }
    }

    /// The same behind a bottleneck whose queue holds a second's worth, as modems' do.
    #[must_use]
    pub fn with_rate(self, rate_bps: u64) -> Self {
        let queue_bytes_max = rate_bps / 8;
        Self {
            bottleneck: Some(Bottleneck {
                rate_bps,
                queue_bytes_max,
            }),
            ..self
        }
    }

    /// The same while nothing passes.
    #[must_use]
    pub fn blacked_out(self) -> Self {
        Self {
            blackouts: vec![Duration::ZERO..Duration::MAX],
            ..self
        }
    }
}

/// What became of the packets of a link so far.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Tally {
    /// Given to the link.
    pub sent: u64,
    /// Bytes of these.
    pub sent_bytes: u64,
    /// Handed out at the other end.
    pub delivered: u64,
    /// Lost at random or in a burst.
    pub lost: u64,
    /// Found the queue full.
    pub overflowed: u64,
    /// Sent during a blackout.
    pub blacked_out: u64,
}

/// The most packets a link holds; beyond it, packets overflow.
pub const PACKETS_MAX: usize = 65_536;

/// One direction of a path.
///
/// After [`send`](Self::send) or whenever [`poll_timeout`](Self::poll_timeout)
/// has come, take [`poll`](Self::poll) until it gives nothing.
#[derive(Debug)]
pub struct Link<T> {
    impairment: Impairment,
    random: Random,
    started: Option<Instant>,
    channel_is_bad: bool,
    busy_until: Option<Instant>,
    newest_due: Option<Instant>,
    order: u64,
    flying: BinaryHeap<Flying<T>>,
    tally: Tally,
}

impl<T> Link<T> {
    /// A link whose fates are decided by `seed`.
    #[must_use]
    pub fn new(seed: u64, impairment: Impairment) -> Self {
        Self {
            impairment,
            random: Random::new(seed),
            started: None,
            channel_is_bad: false,
            busy_until: None,
            newest_due: None,
            order: 0,
            flying: BinaryHeap::new(),
            tally: Tally::default(),
        }
    }

    /// Changes how the link treats packets from now on.
    pub fn set_impairment(&mut self, impairment: Impairment) {
        self.impairment = impairment;
    }

    /// How the link treats packets.
    #[must_use]
    pub const fn impairment(&self) -> &Impairment {
        &self.impairment
    }

    /// Sends a packet of `len` bytes; `token` comes out at the other end unless
    /// the packet is lost. Returns whether it was taken.
    pub fn send(&mut self, now: Instant, len: usize, token: T) -> bool {
        self.tally.sent += 1;
        self.tally.sent_bytes += len as u64;
        let started = *self.started.get_or_insert(now);
        // Draw in every case, so that one fate does not shift the later ones.
        let lost = self.is_lost();
        let extra = self.extra_delay();
        if self.is_blacked_out(now.saturating_duration_since(started)) {
            self.tally.blacked_out += 1;
            return false;
        }
        if lost {
            self.tally.lost += 1;
            return false;
        }
        let Some(departure) = self.departure(now, len) else {
            self.tally.overflowed += 1;
            return false;
        };
        let due = self.arrival(departure, extra);
        self.order += 1;
        self.flying.push(Flying {
            due,
            order: self.order,
            token,
        });
        true
    }

    /// The next packet that has arrived by `now`.
    pub fn poll(&mut self, now: Instant) -> Option<T> {
        if self.flying.peek()?.due > now {
            return None;
        }
        self.tally.delivered += 1;
        self.flying.pop().map(|flying| flying.token)
    }

    /// When the next packet arrives.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Instant> {
        self.flying.peek().map(|flying| flying.due)
    }

    /// What became of the packets so far.
    #[must_use]
    pub const fn tally(&self) -> Tally {
        self.tally
    }

    fn is_lost(&mut self) -> bool {
        let alone = self.random.chance(self.impairment.loss);
        let Some(burst) = self.impairment.burst else {
            return alone;
        };
        let turn = if self.channel_is_bad {
            burst.leave
        } else {
            burst.enter
        };
        self.channel_is_bad ^= self.random.chance(turn);
        let together = self.random.chance(burst.loss) && self.channel_is_bad;
        alone || together
    }

    /// Jitter, and whether the packet is held back beyond it.
    fn extra_delay(&mut self) -> Extra {
        let jitter = self.impairment.jitter.mul_f64(self.random.ratio());
        let held = self
            .impairment
            .reorder
            .filter(|reorder| self.random.chance(reorder.probability));
        Extra {
            jitter,
            held: held.map(|reorder| reorder.delay),
        }
    }

    fn is_blacked_out(&self, since_start: Duration) -> bool {
        self.impairment
            .blackouts
            .iter()
            .any(|span| span.contains(&since_start))
    }

    /// When the packet has left the bottleneck; `None` when the queue is full.
    fn departure(&mut self, now: Instant, len: usize) -> Option<Instant> {
        if self.flying.len() >= PACKETS_MAX {
            return None;
        }
        let Some(bottleneck) = self.impairment.bottleneck else {
            return Some(now);
        };
        let begin = self.busy_until.map_or(now, |busy| busy.max(now));
        let waiting = bottleneck.bytes_in(begin.saturating_duration_since(now));
        if waiting + len as u64 > bottleneck.queue_bytes_max {
            return None;
        }
        let end = begin + bottleneck.time_of(len);
        self.busy_until = Some(end);
        Some(end)
    }

    fn arrival(&mut self, departure: Instant, extra: Extra) -> Instant {
        let due = departure + self.impairment.delay + extra.jitter;
        if let Some(held) = extra.held {
            return due + held;
        }
        let due = self.newest_due.map_or(due, |newest| newest.max(due));
        self.newest_due = Some(due);
        due
    }
}

impl Bottleneck {
    fn time_of(self, len: usize) -> Duration {
        let nanos = len as u128 * 8 * 1_000_000_000 / u128::from(self.rate_bps.max(1));
        Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX))
    }

    fn bytes_in(self, time: Duration) -> u64 {
        let bytes = time.as_nanos() * u128::from(self.rate_bps) / 8 / 1_000_000_000;
        u64::try_from(bytes).unwrap_or(u64::MAX)
    }
}

#[derive(Debug, Clone, Copy)]
struct Extra {
    jitter: Duration,
    held: Option<Duration>,
}

#[derive(Debug)]
struct Flying<T> {
    due: Instant,
    order: u64,
    token: T,
}

// The heap gives its greatest first: the packet due first, then sent first.
impl<T> Ord for Flying<T> {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        (other.due, other.order).cmp(&(self.due, self.order))
    }
}

impl<T> PartialOrd for Flying<T> {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl<T> PartialEq for Flying<T> {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}

impl<T> Eq for Flying<T> {}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    fn all(link: &mut Link<u32>, mut now: Instant) -> Vec<(Instant, u32)> {
        let mut out = Vec::new();
        while let Some(at) = link.poll_timeout() {
            now = now.max(at);
            while let Some(token) = link.poll(now) {
                out.push((now, token));
            }
        }
        out
    }

    #[test]
    fn a_plain_link_delivers_all_in_order_at_once() {
        let (now, mut link) = (Instant::now(), Link::new(1, Impairment::default()));
        for token in 0..100 {
            assert!(link.send(now, 1000, token));
        }
        let out = all(&mut link, now);
        assert_eq!(out, (0..100).map(|t| (now, t)).collect::<Vec<_>>());
    }

    #[test]
    fn delay_and_jitter_keep_order_and_bounds() {
        let impairment = Impairment {
            jitter: 30 * MS,
            ..Impairment::delayed(40 * MS)
        };
        let (now, mut link) = (Instant::now(), Link::new(2, impairment));
        for token in 0..500 {
            link.send(now + token * MS, 1000, token);
        }
        let out = all(&mut link, now);
        for (index, &(at, token)) in (0..).zip(&out) {
            assert_eq!(index, token);
            let delay = at - (now + token * MS);
            assert!((40 * MS..=70 * MS).contains(&delay), "{delay:?}");
        }
    }

    #[test]
    fn the_same_seed_loses_the_same_packets() {
        let lossy = || {
            let mut link = Link::new(3, Impairment::default().with_loss(0.02));
            let now = Instant::now();
            (0..10_000)
                .map(|token| link.send(now, 1, token))
                .collect::<Vec<_>>()
        };
        let taken = lossy();
        assert_eq!(taken, lossy());
        let lost = taken.iter().filter(|&&taken| !taken).count();
        assert!((140..260).contains(&lost), "{lost}");
    }

    #[test]
    fn bursts_lose_neighbours() {
        let burst = Burst {
            enter: 0.01,
            leave: 0.2,
            loss: 1.0,
        };
        let mut link = Link::new(
            4,
            Impairment {
                burst: Some(burst),
                ..Impairment::default()
            },
        );
        let now = Instant::now();
        let lost: Vec<bool> = (0..20_000)
            .map(|token: u32| !link.send(now, 1, token))
            .collect();
        let total = lost.iter().filter(|&&lost| lost).count();
        let pairs = lost.windows(2).filter(|pair| pair[0] && pair[1]).count();
        assert!(
            pairs * 2 > total,
            "{pairs} of {total} are followed by another"
        );
    }

    #[test]
    fn reordered_packets_are_overtaken() {
        let reorder = Some(Reorder {
            probability: 0.1,
            delay: 5 * MS,
        });
        let mut link = Link::new(
            5,
            Impairment {
                reorder,
                ..Impairment::default()
            },
        );
        let now = Instant::now();
        for token in 0..200 {
            link.send(now + token * MS, 1, token);
        }
        let order: Vec<u32> = all(&mut link, now)
            .into_iter()
            .map(|(_, token)| token)
            .collect();
        assert_eq!(order.len(), 200);
        assert!(!order.is_sorted());
    }

    #[test]
    fn a_bottleneck_spaces_packets_and_drops_the_tail() {
        let bottleneck = Some(Bottleneck {
            rate_bps: 8_000_000,
            queue_bytes_max: 10_000,
        });
        let mut link = Link::new(
            6,
            Impairment {
                bottleneck,
                ..Impairment::default()
            },
        );
        let now = Instant::now();
        let taken = (0..20).filter(|&token| link.send(now, 1000, token)).count();
        assert_eq!(taken, 10);
        let out = all(&mut link, now);
        assert_eq!(out[9].0 - now, 10 * MS);
        assert_eq!(
            link.tally(),
            Tally {
                sent: 20,
                sent_bytes: 20_000,
                delivered: 10,
                overflowed: 10,
                ..Tally::default()
            }
        );
    }

    #[test]
    fn nothing_passes_in_a_blackout() {
        let blackouts = vec![10 * MS..20 * MS];
        let mut link = Link::new(
            7,
            Impairment {
                blackouts,
                ..Impairment::default()
            },
        );
        let now = Instant::now();
        let taken: Vec<u32> = (0..30)
            .filter(|&token| link.send(now + token * MS, 1, token))
            .collect();
        assert_eq!(taken, (0..10).chain(20..30).collect::<Vec<_>>());
    }
}
