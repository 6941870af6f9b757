//! Asks the data threads each second, once for everyone who wants to know.

use std::sync::Arc;
use std::time::Duration;

use model::UnixMillis;
use model::clock::Clock;
use tokio::sync::watch;
use tokio::time::{Instant, MissedTickBehavior};

use crate::carriers::Carriers;
use crate::metrics;
use crate::shards::{Gone, Shards};
use crate::snapshot::Snapshot;

const PERIOD: Duration = Duration::from_secs(1);

/// The last second of the data threads.
#[derive(Debug, Clone)]
pub(crate) struct Sampled {
    /// What it said.
    pub(crate) snapshot: Arc<Snapshot>,
    /// Share of one core it used since the sample before.
    pub(crate) load_ratio: f64,
    /// The node's clock.
    pub(crate) observed_at: UnixMillis,
}

impl Sampled {
    /// Before the first sample.
    pub(crate) fn nothing(now: UnixMillis) -> Self {
        Self {
            snapshot: Arc::default(),
            load_ratio: 0.0,
            observed_at: now,
        }
    }
}

/// Samples until the data thread ends.
pub(crate) async fn run(
    shards: Shards,
    mut carriers: Carriers,
    clock: Arc<dyn Clock>,
    samples: watch::Sender<Sampled>,
) -> Gone {
    let mut ticks = tokio::time::interval(PERIOD);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut before = (Instant::now(), Vec::new());
    loop {
        ticks.tick().await;
        let mut snapshot = match shards.snapshot().await {
            Ok(snapshot) => snapshot,
            Err(gone) => return gone,
        };
        carriers.name(&mut snapshot.samples);
        let now = (Instant::now(), snapshot.busy.clone());
        let load_ratios = load_ratios(&before.1, &now.1, now.0 - before.0);
        before = now;
        metrics::publish(&snapshot, &load_ratios);
        samples.send_replace(Sampled {
            snapshot: Arc::new(snapshot),
            load_ratio: load_ratios.into_iter().fold(0.0, f64::max),
            observed_at: clock.now(),
        });
    }
}

/// For each thread the share of its core, from how long all of them were busy.
fn load_ratios(before: &[Duration], now: &[Duration], passed: Duration) -> Vec<f64> {
    let before = before
        .iter()
        .copied()
        .chain(std::iter::repeat(Duration::ZERO));
    let busy = now
        .iter()
        .zip(before)
        .map(|(now, before)| now.saturating_sub(before));
    busy.map(|busy| load_ratio(busy, passed)).collect()
}

fn load_ratio(busy: Duration, passed: Duration) -> f64 {
    if passed.is_zero() {
        return 0.0;
    }
    (busy.as_secs_f64() / passed.as_secs_f64()).min(1.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn load_is_a_ratio() {
        let second = Duration::from_secs(1);
        assert!(load_ratio(second / 4, second) == 0.25);
        assert!(load_ratio(second * 2, second) == 1.0);
        assert!(load_ratio(second, Duration::ZERO) == 0.0);
        let threads = load_ratios(&[second], &[second * 2, second / 2], second * 2);
        assert_eq!(threads, [0.5, 0.25]);
    }
}
