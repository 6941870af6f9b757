//! Figures of several steps together.

use storage::telemetry::session_steps::Figures;

/// As [`Figures`], with means that can be added to.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Sums {
    pub(super) samples: u32,
    pub(super) live_samples: u32,
    pub(super) bytes: u64,
    pub(super) egress_bytes: u64,
    pub(super) packets: u64,
    pub(super) lost: u64,
    pub(super) dropped: u64,
    pub(super) retransmitted: u64,
    pub(super) players_max: u32,
    rtt: Mean,
    rtt_us_max: Option<u32>,
    jitter: Mean,
}

/// Of values, each with the weight of the seconds that it stands for.
#[derive(Debug, Clone, Copy, Default)]
struct Mean {
    sum: u128,
    weight: u64,
}

impl Sums {
    /// Adds a step.
    pub(super) fn add(&mut self, figures: &Figures) {
        let weigh = |value: Option<u32>| Mean::of(value, figures.samples);
        self.join(&Self {
            samples: figures.samples,
            live_samples: figures.live_samples,
            bytes: figures.bytes,
            egress_bytes: figures.egress_bytes,
            packets: figures.packets,
            lost: figures.lost,
            dropped: figures.dropped,
            retransmitted: figures.retransmitted,
            players_max: figures.players_max,
            rtt: weigh(figures.rtt_us),
            rtt_us_max: figures.rtt_us_max,
            jitter: weigh(figures.jitter_us),
        });
    }

    /// Adds what was added up already.
    pub(super) fn join(&mut self, other: &Self) {
        self.samples = self.samples.saturating_add(other.samples);
        self.live_samples = self.live_samples.saturating_add(other.live_samples);
        self.bytes = self.bytes.saturating_add(other.bytes);
        self.egress_bytes = self.egress_bytes.saturating_add(other.egress_bytes);
        self.packets = self.packets.saturating_add(other.packets);
        self.lost = self.lost.saturating_add(other.lost);
        self.dropped = self.dropped.saturating_add(other.dropped);
        self.retransmitted = self.retransmitted.saturating_add(other.retransmitted);
        self.players_max = self.players_max.max(other.players_max);
        self.rtt.join(other.rtt);
        self.rtt_us_max = self.rtt_us_max.max(other.rtt_us_max);
        self.jitter.join(other.jitter);
    }

    /// Packets seen missing, of those that there should have been.
    pub(super) fn loss_pct(&self) -> Option<f64> {
        percent(self.lost, self.packets.saturating_add(self.dropped))
    }

    /// Packets given up, of those that there should have been.
    pub(super) fn given_up_pct(&self) -> Option<f64> {
        percent(self.dropped, self.packets.saturating_add(self.dropped))
    }

    pub(super) fn rtt_ms(&self) -> Option<f64> {
        self.rtt.ms()
    }

    pub(super) fn rtt_ms_max(&self) -> Option<f64> {
        self.rtt_us_max.map(|us| tenths(f64::from(us) / 1000.0))
    }

    pub(super) fn jitter_ms(&self) -> Option<f64> {
        self.jitter.ms()
    }
}

impl Mean {
    fn of(value: Option<u32>, weight: u32) -> Self {
        value.map_or_else(Self::default, |value| Self {
            sum: u128::from(value) * u128::from(weight),
            weight: weight.into(),
        })
    }

    const fn join(&mut self, other: Self) {
        self.sum += other.sum;
        self.weight += other.weight;
    }

    fn ms(self) -> Option<f64> {
        (self.weight > 0).then(|| tenths(self.sum as f64 / self.weight as f64 / 1000.0))
    }
}

fn tenths(value: f64) -> f64 {
    (value * 10.0).round() / 10.0
}

/// With two digits, at most 100; none of nothing.
pub(super) fn percent(part: u64, whole: u64) -> Option<f64> {
    let percent = (whole > 0).then(|| part as f64 * 100.0 / whole as f64)?;
    Some((percent.min(100.0) * 100.0).round() / 100.0)
}
