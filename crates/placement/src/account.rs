//! What a node has used of its allowance, and how it will go on.

use std::collections::VecDeque;

use model::UnixMillis;
use serde::{Deserialize, Serialize};

use crate::budget::{Horizon, Outlook, Quota, Rate};
use crate::counter::{Meter, Reading};
use crate::forecast::Profile;
use crate::gate::Gate;
use crate::policy::{Allowance, BandwidthPolicy, Counts, Tariff};
use crate::window::Window;

/// How finely a rolling span and a 95th percentile are counted.
const INTERVAL_MS: i64 = 300_000;
/// Spans of the future that a rolling cap is looked at for, minutes.
const ROLLING_HORIZONS: [i64; 10] = [15, 60, 120, 180, 240, 360, 480, 720, 960, 1440];
const MINUTE_MS: i64 = 60_000;
const HOUR_MS: i64 = 3_600_000;
/// The shortest time that a rate is taken over, ms.
const RATE_MS_MIN: u64 = 15_000;

/// A node's account with its provider. Plain data: whoever keeps it stores it whole.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Account {
    meter: Meter,
    counted_at: UnixMillis,
    /// The month, for allowances that have months.
    month: Option<Window>,
    /// Bytes as the provider counts them, since the month began.
    used_bytes: u64,
    /// The last intervals, the oldest first, for a rolling cap.
    intervals: VecDeque<Interval>,
    /// What was used faster than a fair share refills.
    deficit_bytes: u64,
    /// The interval that is being counted, and this month's above the commitment.
    bursts: Bursts,
    profile: Profile,
    measured: Rate,
    gate: Gate,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
struct Interval {
    number: i64,
    bytes: u64,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
struct Bursts {
    number: i64,
    bytes: u64,
    above: u32,
}

impl Account {
    /// A new account: nothing used.
    #[must_use]
    pub fn open(now: UnixMillis) -> Self {
        Self {
            meter: Meter::default(),
            counted_at: now,
            month: None,
            used_bytes: 0,
            intervals: VecDeque::new(),
            deficit_bytes: 0,
            bursts: Bursts::default(),
            profile: Profile::default(),
            measured: Rate::default(),
            gate: Gate::default(),
        }
    }

    /// When it was last brought up to date.
    #[must_use]
    pub const fn counted_at(&self) -> UnixMillis {
        self.counted_at
    }

    /// Whether the node's port is open, throttled or closed.
    #[must_use]
    pub const fn gate(&self) -> &Gate {
        &self.gate
    }

    /// A human says that the provider lifted a restriction.
    pub const fn lift(&mut self) {
        self.gate = Gate::OPEN;
    }

    /// A human says that the provider restricts the node.
    pub fn restrict(&mut self, policy: &BandwidthPolicy) {
        self.gate = Gate::restricted(policy, self.month);
    }

    /// Bytes used of the allowance, as the provider counts them: of the month, of the
    /// rolling span, or beyond a fair share.
    #[must_use]
    pub fn used_bytes(&self, policy: &BandwidthPolicy, now: UnixMillis) -> u64 {
        match policy.allowance {
            Allowance::RollingCap { hours, .. } => self.rolling_bytes(hours, now),
            Allowance::FairShare { .. } => self.deficit_bytes,
            _ => self.used_bytes,
        }
    }

    /// Goes on under another offer: what was counted stays, the month is the offer's.
    pub fn adopt(&mut self, policy: &BandwidthPolicy, now: UnixMillis) {
        let anchor = policy.allowance.anchor();
        self.month = anchor.and_then(|anchor| anchor.window(now));
    }

    /// Books a reading: settles with real bytes. Returns the bytes that the provider
    /// counts for it. What went through since the last reading is booked as of `now`, so
    /// bytes from around a month's border fall into the new month.
    pub fn settle(&mut self, policy: &BandwidthPolicy, reading: &Reading, now: UnixMillis) -> u64 {
        let now = now.max(self.counted_at);
        let traffic = self.meter.advance(reading);
        let wire = |payload: u64| (payload as f64 * policy.overhead_ratio).ceil() as u64;
        let bytes = wire(policy.counts.of(traffic));
        self.measure(bytes, wire(Counts::Max.of(traffic)), now);
        self.turn_month(policy, now);
        self.book(policy, bytes, now);
        self.profile.observe(self.counted_at, now, bytes);
        self.counted_at = now;
        let used = self.used_bytes(policy, now);
        self.gate.look(policy, used, self.month);
        bytes
    }

    /// Takes the provider's own figure for what was used. Returns ours less theirs over
    /// theirs: how far we were off.
    pub fn reconcile(&mut self, policy: &BandwidthPolicy, theirs: u64, now: UnixMillis) -> f64 {
        let ours = self.used_bytes(policy, now);
        match policy.allowance {
            Allowance::RollingCap { .. } => self.scale_intervals(ours, theirs, now),
            Allowance::FairShare { .. } => self.deficit_bytes = theirs,
            _ => self.used_bytes = theirs,
        }
        (ours as f64 - theirs as f64) / (theirs.max(1)) as f64
    }

    /// What a placement decision must know, good for about a minute.
    #[must_use]
    pub fn outlook(&self, policy: &BandwidthPolicy, now: UnixMillis) -> Outlook {
        let used_bytes = self.used_bytes(policy, now);
        let free = |tariff: Tariff| tariff.free_bytes.saturating_sub(used_bytes);
        Outlook {
            quota: self.quota(policy, now),
            restriction: self.gate.restriction(),
            used_bytes,
            free_bytes: policy.tariff().map_or(0, free),
            measured: self.measured,
        }
    }

    fn quota(&self, policy: &BandwidthPolicy, now: UnixMillis) -> Quota {
        let usable = |amount: f64| (amount * policy.usable_ratio()) as u64;
        match &policy.allowance {
            Allowance::RollingCap { limit_bytes, hours } if policy.limit_bytes().is_some() => {
                Quota::Bytes {
                    limit_bytes: usable(*limit_bytes as f64),
                    horizons: self.rolling_horizons(*hours, now),
                }
            }
            Allowance::FairShare {
                bps_per_gib,
                gib,
                burst_hours,
            } => {
                let refill_bps = usable(*bps_per_gib as f64 * gib);
                Quota::Bucket {
                    refill_bps,
                    depth_bytes: usable(refill_bps as f64 / 8.0 * burst_hours * 3600.0),
                    deficit_bytes: self.deficit_bytes,
                }
            }
            Allowance::Percentile95 {
                commit_bps,
                price_per_mbps,
                ..
            } => self.bursts(*commit_bps, *price_per_mbps),
            _ => match (policy.limit_bytes(), self.month) {
                (Some(limit), Some(month)) => Quota::Bytes {
                    limit_bytes: usable(limit as f64),
                    horizons: vec![Horizon {
                        until: month.end,
                        used_bytes: self.used_bytes,
                        forecast_bytes: self.profile.bytes(now, month.end),
                    }],
                },
                _ => Quota::Unlimited,
            },
        }
    }

    /// A twentieth of the month's intervals may be above the commitment.
    fn bursts(&self, commit_bps: u64, price_per_mbps: f64) -> Quota {
        let length = self
            .month
            .map_or(0, |month| month.end.0.saturating_sub(month.start.0));
        let intervals = length / INTERVAL_MS;
        Quota::Bursts {
            commit_bps,
            price_per_mbps,
            allowed: u32::try_from(intervals / 20).unwrap_or(u32::MAX),
            used: self.bursts.above,
        }
    }

    /// Rates over too short a time are noise.
    fn measure(&mut self, counted: u64, busier: u64, now: UnixMillis) {
        let ms = now.since(self.counted_at).as_millis() as u64;
        if ms >= RATE_MS_MIN {
            let bps = |bytes: u64| bytes.saturating_mul(8000) / ms;
            self.measured = Rate {
                counted_bps: bps(counted),
                port_bps: bps(busier),
            };
        }
    }

    fn turn_month(&mut self, policy: &BandwidthPolicy, now: UnixMillis) {
        let is_in = |month: Window| month.start <= now && now < month.end;
        if self.month.is_some_and(is_in) {
            return;
        }
        let month = policy
            .allowance
            .anchor()
            .and_then(|anchor| anchor.window(now));
        // The first month that is known at all keeps what a provider's reading said.
        if self.month.is_some() {
            self.used_bytes = 0;
            self.bursts.above = 0;
        }
        self.month = month;
    }

    fn book(&mut self, policy: &BandwidthPolicy, bytes: u64, now: UnixMillis) {
        self.used_bytes = self.used_bytes.saturating_add(bytes);
        match policy.allowance {
            Allowance::RollingCap { hours, .. } => self.book_interval(hours, bytes, now),
            Allowance::FairShare {
                bps_per_gib, gib, ..
            } => {
                let bps = bps_per_gib as f64 * gib * policy.usable_ratio();
                let seconds = now.since(self.counted_at).as_secs_f64();
                let refilled = (bps / 8.0 * seconds) as u64;
                self.deficit_bytes =
                    (self.deficit_bytes.saturating_add(bytes)).saturating_sub(refilled);
            }
            Allowance::Percentile95 { commit_bps, .. } => self.book_burst(commit_bps, bytes, now),
            _ => {}
        }
    }

    fn book_interval(&mut self, hours: u16, bytes: u64, now: UnixMillis) {
        let number = now.0.div_euclid(INTERVAL_MS);
        match self.intervals.back_mut() {
            Some(last) if last.number == number => last.bytes = last.bytes.saturating_add(bytes),
            _ => self.intervals.push_back(Interval { number, bytes }),
        }
        let first = first_interval(hours, now);
        while self
            .intervals
            .front()
            .is_some_and(|interval| interval.number < first)
        {
            self.intervals.pop_front();
        }
    }

    fn book_burst(&mut self, commit_bps: u64, bytes: u64, now: UnixMillis) {
        let number = now.0.div_euclid(INTERVAL_MS);
        if number != self.bursts.number {
            let bps = self.bursts.bytes.saturating_mul(8000) / INTERVAL_MS as u64;
            self.bursts.above += u32::from(bps > commit_bps);
            self.bursts.number = number;
            self.bursts.bytes = 0;
        }
        self.bursts.bytes = self.bursts.bytes.saturating_add(bytes);
    }

    fn rolling_bytes(&self, hours: u16, now: UnixMillis) -> u64 {
        self.bytes_since(first_interval(hours, now))
    }

    fn bytes_since(&self, first: i64) -> u64 {
        let counted = self.intervals.iter().filter(|it| it.number >= first);
        counted.fold(0, |sum, interval| sum.saturating_add(interval.bytes))
    }

    /// What rolls off is known exactly, what comes is forecast: the worst moment counts.
    fn rolling_horizons(&self, hours: u16, now: UnixMillis) -> Vec<Horizon> {
        let span = i64::from(hours) * 60;
        let ahead = ROLLING_HORIZONS.into_iter().filter(|it| *it <= span);
        ahead
            .map(|minutes| {
                let until = UnixMillis(now.0 + minutes * MINUTE_MS);
                Horizon {
                    until,
                    used_bytes: self.bytes_since(first_interval(hours, until)),
                    forecast_bytes: self.profile.bytes(now, until),
                }
            })
            .collect()
    }

    fn scale_intervals(&mut self, ours: u64, theirs: u64, now: UnixMillis) {
        if ours == 0 {
            let number = now.0.div_euclid(INTERVAL_MS);
            self.intervals.push_back(Interval {
                number,
                bytes: theirs,
            });
            return;
        }
        let factor = theirs as f64 / ours as f64;
        for interval in &mut self.intervals {
            interval.bytes = (interval.bytes as f64 * factor) as u64;
        }
    }
}

/// The oldest interval that a span which ends at `now` still touches.
fn first_interval(hours: u16, now: UnixMillis) -> i64 {
    (now.0 - i64::from(hours) * HOUR_MS).div_euclid(INTERVAL_MS)
}
