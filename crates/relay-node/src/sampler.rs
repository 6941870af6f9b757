//! Asks the data thread each second, once for everyone who wants to know.

use std::sync::Arc;
use std::time::Duration;

use model::UnixMillis;
use model::clock::Clock;
use tokio::sync::watch;
use tokio::time::{Instant, MissedTickBehavior};

use crate::metrics;
use crate::shard::{Gone, ShardHandle};
use crate::snapshot::Snapshot;

const PERIOD: Duration = Duration::from_secs(1);

/// The last second of the data thread.
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
    shard: ShardHandle,
    clock: Arc<dyn Clock>,
    samples: watch::Sender<Sampled>,
) -> Gone {
    let mut ticks = tokio::time::interval(PERIOD);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut before = (Instant::now(), Duration::ZERO);
    loop {
        ticks.tick().await;
        let snapshot = match shard.snapshot().await {
            Ok(snapshot) => snapshot,
            Err(gone) => return gone,
        };
        let now = (Instant::now(), snapshot.busy);
        let load_ratio = load_ratio(now.1.saturating_sub(before.1), now.0 - before.0);
        before = now;
        metrics::publish(&snapshot, load_ratio);
        samples.send_replace(Sampled {
            snapshot: Arc::new(snapshot),
            load_ratio,
            observed_at: clock.now(),
        });
    }
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
    }
}
