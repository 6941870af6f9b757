//! Makes the jobs of schedules, each slot once across all replicas.

use std::sync::Arc;
use std::time::Duration;

use model::UnixMillis;
use storage::queue::{Occurrence, SlotJob};

use super::Core;
use super::outage::Outage;
use crate::metrics;

/// How long to wait when the database does not tell the time.
const RETRY_INTERVAL: Duration = Duration::from_secs(1);
/// Past the beginning of a slot, so that waking a little early is not an extra turn.
const SLOT_MARGIN: Duration = Duration::from_millis(5);

/// A job that runs by itself. Its slots are the multiples of `every` since the
/// epoch. Slots missed while nobody ran are not made up for, except the current one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Schedule {
    /// The job's kind, and the schedule's name.
    pub kind: &'static str,
    /// From slot to slot.
    pub every: Duration,
}

impl Schedule {
    /// The beginning of the slot that `now` is in.
    #[must_use]
    pub fn slot(&self, now: UnixMillis) -> UnixMillis {
        let every_ms = i64::try_from(self.every.as_millis()).unwrap_or(i64::MAX);
        UnixMillis(now.0 - now.0.rem_euclid(every_ms.max(1)))
    }

    /// From `now` to the beginning of the next slot.
    #[must_use]
    pub fn until_next(&self, now: UnixMillis) -> Duration {
        self.slot(now).plus(self.every).since(now)
    }
}

pub(super) async fn run(core: Arc<Core>) {
    let mut outage = Outage::new("schedules");
    while !core.stopping.is_cancelled() {
        let pause = outage.note(turn(&core).await).unwrap_or(RETRY_INTERVAL);
        tokio::select! {
            () = core.stopping.cancelled() => {}
            () = tokio::time::sleep(pause) => {}
        }
    }
}

/// Makes the current slots' jobs; returns how long the next slot is away.
async fn turn(core: &Core) -> Result<Duration, storage::Error> {
    let now = core.queue.now().await?;
    for schedule in &core.settings.schedules {
        make(core, *schedule, schedule.slot(now)).await?;
    }
    let schedules = core.settings.schedules.iter();
    let next = schedules.map(|schedule| schedule.until_next(now)).min();
    Ok(next.map_or(Duration::from_secs(3600), |pause| pause + SLOT_MARGIN))
}

async fn make(core: &Core, schedule: Schedule, slot: UnixMillis) -> Result<(), storage::Error> {
    let attempts_max = core
        .registry
        .find(schedule.kind)
        .map_or(1, |job| job.policy().attempts_max);
    let job = SlotJob {
        schedule: schedule.kind.to_owned(),
        slot,
        kind: schedule.kind.to_owned(),
        attempts_max,
    };
    match core.queue.enqueue_slot(&job).await? {
        Occurrence::Created(_) => core.wake.notify_one(),
        Occurrence::Overlapped => metrics::slot_overlapped(schedule.kind),
        Occurrence::Taken => {}
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn every(ms: u64) -> Schedule {
        Schedule {
            kind: "sweep_nodes",
            every: Duration::from_millis(ms),
        }
    }

    #[test]
    fn slots_are_multiples_of_the_interval() {
        assert_eq!(every(5000).slot(UnixMillis(12_345)), UnixMillis(10_000));
        assert_eq!(every(5000).slot(UnixMillis(10_000)), UnixMillis(10_000));
        assert_eq!(every(5000).until_next(UnixMillis(10_000)).as_secs(), 5);
        assert_eq!(every(5000).slot(UnixMillis(-1)), UnixMillis(-5000));
    }

    proptest! {
        #[test]
        fn every_moment_has_one_slot(now in -4_000_000_000_000..4_000_000_000_000_i64, ms in 1..100_000_000_u64) {
            let schedule = every(ms);
            let now = UnixMillis(now);
            let slot = schedule.slot(now);
            prop_assert!(slot <= now && now < slot.plus(schedule.every));
            prop_assert_eq!(schedule.slot(slot), slot);
            let next = now.plus(schedule.until_next(now));
            prop_assert_eq!(schedule.slot(next), slot.plus(schedule.every));
            prop_assert_eq!(schedule.slot(next.minus(Duration::from_millis(1))), slot);
        }
    }
}
