//! What a node has left: its outlook, and what is held for sessions that are placed.

use std::time::Duration;

use model::UnixMillis;
use serde::{Deserialize, Serialize};

use crate::counter::Traffic;
use crate::gate::Restriction;
use crate::policy::{After, BandwidthPolicy, Confidence};

/// However long a live session has lasted, it is expected to go on for so long.
pub const TAIL: Duration = Duration::from_secs(3600);

/// A node's prospects. Computed about once a minute; what was placed since is in [`Held`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Outlook {
    /// What is left of the allowance.
    pub quota: Quota,
    /// What the provider does to the node at present.
    pub restriction: Restriction,
    /// Bytes used of the allowance, as the provider counts them.
    pub used_bytes: u64,
    /// Bytes that still cost nothing, where bytes have a price.
    pub free_bytes: u64,
    /// What went through the node of late.
    pub measured: Rate,
}

/// A rate as the provider counts it and as the port feels it, bits a second.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rate {
    /// What is counted of both directions.
    pub counted_bps: u64,
    /// The busier direction.
    pub port_bps: u64,
}

/// What is left of an allowance. Limits are what is planned with, not what was offered.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Quota {
    /// Nothing to run out of.
    Unlimited,
    /// So many bytes, looked at for one or more moments to come.
    Bytes {
        /// Bytes that may be used.
        limit_bytes: u64,
        /// The moments: a month's end, or several within a rolling span.
        horizons: Vec<Horizon>,
    },
    /// A bucket that refills at the fair share.
    Bucket {
        /// The fair share, bits a second.
        refill_bps: u64,
        /// What may be used beyond it, bytes.
        depth_bytes: u64,
        /// What of that is used.
        deficit_bytes: u64,
    },
    /// Intervals that may be above the commitment.
    Bursts {
        /// The rate that is paid for anyway, bits a second.
        commit_bps: u64,
        /// Price of each Mbit/s above it, if too many intervals are.
        price_per_mbps: f64,
        /// Intervals of the month that may be above it.
        allowed: u32,
        /// Those that were.
        used: u32,
    },
}

/// A moment that an allowance must last until.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Horizon {
    /// When.
    pub until: UnixMillis,
    /// Bytes of today's that still count then.
    pub used_bytes: u64,
    /// Bytes expected by then from the node's usual week, sessions that run included.
    pub forecast_bytes: u64,
}

/// What a session will take, as its rate and for how long.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Demand {
    /// The stream's rate, bits a second.
    pub stream_bps: u64,
    /// How many players pull it.
    pub players: u32,
    /// How long it is expected to last.
    pub duration: Duration,
}

impl Default for Demand {
    /// A mobile stream of 6 Mbit/s with one player, for four hours.
    fn default() -> Self {
        Self {
            stream_bps: 6_000_000,
            players: 1,
            duration: Duration::from_secs(4 * 3600),
        }
    }
}

/// What is kept for sessions on a node; of one session, or the sum of all.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Held {
    /// Bytes that are still to come, as the provider counts them.
    pub bytes: u64,
    /// The rate that they come at, bits a second.
    pub counted_bps: u64,
    /// The rate in the port's busier direction, bits a second.
    pub port_bps: u64,
}

/// Retransmissions on top of a stream's rate.
const RETRANSMIT_RATIO: f64 = 1.05;

impl Demand {
    /// What to hold for it on a node with this offer.
    #[must_use]
    pub fn on(&self, policy: &BandwidthPolicy) -> Held {
        let wire = self.stream_bps as f64 * RETRANSMIT_RATIO * policy.overhead_ratio;
        let egress = wire * f64::from(self.players);
        let counted_bps = policy.counts.of(Traffic {
            ingress_bytes: wire as u64,
            egress_bytes: egress as u64,
        });
        Held {
            bytes: bytes_in(counted_bps, self.duration),
            counted_bps,
            port_bps: wire.max(egress) as u64,
        }
    }
}

impl Held {
    /// Both together.
    #[must_use]
    pub const fn and(self, other: Self) -> Self {
        Self {
            bytes: self.bytes.saturating_add(other.bytes),
            counted_bps: self.counted_bps.saturating_add(other.counted_bps),
            port_bps: self.port_bps.saturating_add(other.port_bps),
        }
    }

    /// What is left without `other`.
    #[must_use]
    pub const fn without(self, other: Self) -> Self {
        Self {
            bytes: self.bytes.saturating_sub(other.bytes),
            counted_bps: self.counted_bps.saturating_sub(other.counted_bps),
            port_bps: self.port_bps.saturating_sub(other.port_bps),
        }
    }

    /// What comes of it until `until`.
    #[must_use]
    pub fn bytes_until(&self, now: UnixMillis, until: UnixMillis) -> u64 {
        self.bytes.min(bytes_in(self.counted_bps, until.since(now)))
    }
}

/// What was reserved for one session, less what it used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Hold {
    /// What it was at the start.
    pub reserved: Held,
    /// Real bytes that came, as the provider counts them.
    pub settled_bytes: u64,
}

impl Hold {
    /// A new one.
    #[must_use]
    pub const fn new(reserved: Held) -> Self {
        Self {
            reserved,
            settled_bytes: 0,
        }
    }

    /// Books real bytes.
    pub const fn settle(&mut self, bytes: u64) {
        self.settled_bytes = self.settled_bytes.saturating_add(bytes);
    }

    /// What is still held: never less than [`TAIL`] at its rate, for as long as it lives.
    #[must_use]
    pub fn outstanding(&self) -> Held {
        let left = self.reserved.bytes.saturating_sub(self.settled_bytes);
        Held {
            bytes: left.max(bytes_in(self.reserved.counted_bps, TAIL)),
            ..self.reserved
        }
    }
}

/// A node's offer, its prospects and what is held of them.
#[derive(Debug, Clone, PartialEq)]
pub struct Budget {
    /// The offer.
    pub policy: BandwidthPolicy,
    /// The prospects.
    pub outlook: Outlook,
    /// What is held for its sessions.
    pub held: Held,
}

/// Why nothing more can be held.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Denial {
    /// The provider lets no stream through.
    Exhausted,
    /// What a throttled port carries is taken.
    Throttled,
    /// The bytes that are left are held already.
    Spent,
    /// The port's speed is taken.
    PortFull,
}

impl Budget {
    /// What is held, or more where more was measured: streams are not what they were
    /// expected to be.
    #[must_use]
    pub fn load(&self) -> Held {
        let measured = self.outlook.measured;
        let expected = self.held.counted_bps.max(1) as f64;
        let factor = (measured.counted_bps as f64 / expected).max(1.0);
        Held {
            bytes: (self.held.bytes as f64 * factor) as u64,
            counted_bps: self.held.counted_bps.max(measured.counted_bps),
            port_bps: self.held.port_bps.max(measured.port_bps),
        }
    }

    /// Lets go of what is held for a session, and of its part of what was measured.
    pub fn release(&mut self, held: Held) {
        let before = self.held;
        self.held = before.without(held);
        let left = |before: u64, after: u64| after as f64 / before.max(1) as f64;
        let measured = &mut self.outlook.measured;
        let counted = left(before.counted_bps, self.held.counted_bps);
        measured.counted_bps = (measured.counted_bps as f64 * counted) as u64;
        let port = left(before.port_bps, self.held.port_bps);
        measured.port_bps = (measured.port_bps as f64 * port) as u64;
    }

    /// Whether `new` can be held besides what is.
    ///
    /// # Errors
    /// What it lacks.
    pub fn admit(&self, new: Held, now: UnixMillis) -> Result<(), Denial> {
        let port = self.load().and(new).port_bps as f64;
        let is_slow = port > self.policy.floor_usable_bps();
        match self.outlook.restriction {
            Restriction::Exhausted => Err(Denial::Exhausted),
            Restriction::Throttled if is_slow => Err(Denial::Throttled),
            Restriction::Open if !self.floor_carries(new) && !self.fits(new, now) => {
                Err(Denial::Spent)
            }
            _ if port > self.policy.port_usable_bps() => Err(Denial::PortFull),
            _ => Ok(()),
        }
    }

    /// Holds `new`.
    ///
    /// # Errors
    /// What it lacks; then nothing is held.
    pub fn reserve(&mut self, new: Held, now: UnixMillis) -> Result<(), Denial> {
        self.admit(new, now)?;
        self.held = self.held.and(new);
        Ok(())
    }

    /// How much of the port is taken with `new`, 1 being all that may be placed.
    #[must_use]
    pub fn port_ratio(&self, new: Held) -> f64 {
        let usable = match self.outlook.restriction {
            Restriction::Open => self.policy.port_usable_bps(),
            _ => self.policy.floor_usable_bps(),
        };
        self.load().and(new).port_bps as f64 / usable.max(1.0)
    }

    /// Whether the port carries everything even when the allowance is used up, so that
    /// none of it is needed. A port that a ticket must free again is not counted on.
    #[must_use]
    pub fn floor_carries(&self, new: Held) -> bool {
        matches!(self.policy.after, After::Floor { .. })
            && self.load().and(new).port_bps as f64 <= self.policy.floor_usable_bps()
    }

    /// How much of the allowance will be used when its window ends, `new` included: above
    /// 1 it does not last.
    #[must_use]
    pub fn projected_ratio(&self, new: Held, now: UnixMillis) -> f64 {
        match &self.outlook.quota {
            Quota::Unlimited => 0.0,
            Quota::Bytes {
                limit_bytes,
                horizons,
            } => {
                let at = |horizon: &Horizon| {
                    let held = self.load().bytes_until(now, horizon.until);
                    let come = held.max(horizon.forecast_bytes) as f64;
                    let new = new.bytes_until(now, horizon.until) as f64;
                    (horizon.used_bytes as f64 + come + new) / (*limit_bytes).max(1) as f64
                };
                horizons.iter().map(at).fold(0.0, f64::max)
            }
            Quota::Bucket {
                refill_bps,
                depth_bytes,
                deficit_bytes,
            } => {
                // What is faster than the refill, for as long as it lasts at that rate.
                let all = self.load().and(new);
                let above = all.counted_bps.saturating_sub(*refill_bps) as f64;
                let share = above / all.counted_bps.max(1) as f64;
                let deficit = *deficit_bytes as f64 + all.bytes as f64 * share;
                deficit / (*depth_bytes).max(1) as f64
            }
            Quota::Bursts {
                commit_bps,
                allowed,
                used,
                ..
            } => {
                if self.load().and(new).counted_bps <= *commit_bps {
                    return 0.0;
                }
                let lasts = self.load().and(new).bytes as f64 * 8.0
                    / self.load().and(new).counted_bps.max(1) as f64;
                (f64::from(*used) + lasts / 300.0) / f64::from((*allowed).max(1))
            }
        }
    }

    /// The bytes that are planned with, and how many of them are used; none where no bytes
    /// run out.
    #[must_use]
    pub const fn allowance(&self) -> Option<(u64, u64)> {
        match &self.outlook.quota {
            Quota::Bytes { limit_bytes, .. } => Some((*limit_bytes, self.outlook.used_bytes)),
            Quota::Bucket {
                depth_bytes,
                deficit_bytes,
                ..
            } => Some((*depth_bytes, *deficit_bytes)),
            Quota::Unlimited | Quota::Bursts { .. } => None,
        }
    }

    /// When the allowance is used up if all that runs goes on at its rate; none: not before
    /// it is renewed.
    #[must_use]
    pub fn exhausted_at(&self, now: UnixMillis) -> Option<UnixMillis> {
        let bps = self.load().counted_bps;
        match &self.outlook.quota {
            Quota::Unlimited | Quota::Bursts { .. } => None,
            Quota::Bytes {
                limit_bytes,
                horizons,
            } => {
                let at = |horizon: &Horizon| {
                    let left = limit_bytes.saturating_sub(horizon.used_bytes);
                    moved_at(now, left, bps).filter(|at| *at <= horizon.until)
                };
                horizons.iter().filter_map(at).min()
            }
            Quota::Bucket {
                refill_bps,
                depth_bytes,
                deficit_bytes,
            } => {
                let left = depth_bytes.saturating_sub(*deficit_bytes);
                moved_at(now, left, bps.saturating_sub(*refill_bps))
            }
        }
    }

    /// What `new` costs in money, in the operator's currency.
    #[must_use]
    pub fn money(&self, new: Held) -> f64 {
        if let Some(tariff) = self.policy.tariff() {
            let free = self.outlook.free_bytes.saturating_sub(self.load().bytes);
            return new.bytes.saturating_sub(free) as f64 / 1e12 * tariff.price_per_tb;
        }
        match self.outlook.quota {
            Quota::Bursts {
                commit_bps,
                price_per_mbps,
                allowed,
                used,
            } if used >= allowed => {
                let above = |bps: u64| bps.saturating_sub(commit_bps) as f64 / 1e6;
                let added =
                    above(self.load().and(new).counted_bps) - above(self.load().counted_bps);
                added * price_per_mbps
            }
            _ => 0.0,
        }
    }

    /// Whether the allowance lasts for what is held already and for `new`. Money denies
    /// nothing: it only costs.
    fn fits(&self, new: Held, now: UnixMillis) -> bool {
        let all = self.load().and(new);
        match &self.outlook.quota {
            Quota::Unlimited | Quota::Bursts { .. } => true,
            Quota::Bytes {
                limit_bytes,
                horizons,
            } => {
                let limit = self.deniable(*limit_bytes);
                horizons.iter().all(|horizon| {
                    let committed = all.bytes_until(now, horizon.until);
                    horizon.used_bytes.saturating_add(committed) <= limit
                })
            }
            Quota::Bucket {
                refill_bps,
                depth_bytes,
                deficit_bytes,
            } => {
                let above = all.counted_bps.saturating_sub(*refill_bps);
                deficit_bytes.saturating_add(bytes_in(above, TAIL)) <= *depth_bytes
            }
        }
    }

    /// Hearsay makes a node dear early, but denies only what it is said to be.
    fn deniable(&self, planned: u64) -> u64 {
        if self.policy.confidence == Confidence::Rumour {
            (planned as f64 / self.policy.usable_ratio()) as u64
        } else {
            planned
        }
    }
}

/// When so many bytes have moved at a rate; none: never.
fn moved_at(now: UnixMillis, bytes: u64, bps: u64) -> Option<UnixMillis> {
    if bytes == 0 {
        return Some(now);
    }
    let millis = u128::from(bytes) * 8 * 1000 / u128::from((bps > 0).then_some(bps)?);
    let millis = u64::try_from(millis).unwrap_or(u64::MAX);
    Some(now.plus(Duration::from_millis(millis)))
}

/// What a rate moves in some time.
pub(crate) fn bytes_in(bps: u64, time: Duration) -> u64 {
    (bps as f64 / 8.0 * time.as_secs_f64()) as u64
}
