//! Makes the jobs of schedules, each slot once: one replica leads and looks after them, and the
//! database refuses the slots of one that was deposed, and those that were made before.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use model::UnixMillis;
use storage::queue::{Lead, NewJob, Occurrence, ScheduleState, SlotJob};

use super::Core;
use super::cadence::Cadence;
use super::outage::Outage;
use crate::job::Registry;
use crate::metrics;

/// How long to wait when the database does not tell the time.
const RETRY_INTERVAL: Duration = Duration::from_secs(1);
/// No pause is longer: a clock may be set.
const PAUSE_MAX: Duration = Duration::from_secs(60);
/// Past the beginning of a slot, so that waking a little early is not an extra turn.
const SLOT_MARGIN: Duration = Duration::from_millis(5);
/// A slot that began longer ago counts as missed; a change of leader is shorter.
const FRESH: Duration = Duration::from_secs(60);
/// The most slots that are made up for in one turn.
const CATCH_UP_MAX: usize = 100;

/// A job that runs by itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Schedule {
    /// Its name.
    pub name: &'static str,
    /// The kind of its jobs.
    pub kind: &'static str,
    /// When its slots are.
    pub cadence: Cadence,
    /// What becomes of slots that nobody was there for.
    pub catch_up: CatchUp,
}

/// What becomes of slots that nobody was there for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CatchUp {
    /// They are left out.
    None,
    /// The last one is made up for.
    Last,
    /// All are, in their order.
    All,
}

impl CatchUp {
    /// Its name.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Last => "last",
            Self::All => "all",
        }
    }
}

impl Schedule {
    /// A schedule of the name of its jobs' kind, which runs at the multiples of `every` since
    /// the epoch. Of the slots that nobody was there for, it makes the current one's job.
    #[must_use]
    pub const fn every(kind: &'static str, every: Duration) -> Self {
        Self {
            name: kind,
            kind,
            cadence: Cadence::Every(every),
            catch_up: CatchUp::Last,
        }
    }

    /// The slots to deal with now, in their order, after the `last` one that was. A schedule that
    /// never had a slot owes none from before it was there.
    #[must_use]
    pub fn owed(&self, last: Option<UnixMillis>, now: UnixMillis) -> Vec<UnixMillis> {
        let current = self.cadence.slot(now);
        let is_fresh = now.since(current) <= self.fresh();
        let Some(last) = last else {
            return if is_fresh { vec![current] } else { Vec::new() };
        };
        if current <= last {
            return Vec::new();
        }
        match self.catch_up {
            CatchUp::None if !is_fresh => Vec::new(),
            CatchUp::None | CatchUp::Last => vec![current],
            CatchUp::All => {
                let following = |slot: &UnixMillis| Some(self.cadence.next(*slot));
                let after = std::iter::successors(Some(self.cadence.next(last)), following);
                let due = after.take_while(|slot| *slot <= now);
                due.take(CATCH_UP_MAX).collect()
            }
        }
    }

    /// For how long by `now` a slot has been due that nobody made.
    #[must_use]
    pub fn lag(&self, last: Option<UnixMillis>, now: UnixMillis) -> Duration {
        match self.owed(last, now).first() {
            Some(first) => now.since(*first),
            None => Duration::ZERO,
        }
    }

    fn fresh(&self) -> Duration {
        match self.cadence {
            Cadence::Every(every) => every,
            Cadence::Calendar(_) => FRESH,
        }
    }

    /// The job of a slot.
    #[must_use]
    pub fn job(&self, registry: &Registry, slot: UnixMillis) -> SlotJob {
        SlotJob {
            schedule: self.name.to_owned(),
            slot,
            may_overlap: self.catch_up == CatchUp::All,
            job: new_job(registry, self.kind),
        }
    }
}

/// A job as its kind wants it.
pub(crate) fn new_job(registry: &Registry, kind: &str) -> NewJob {
    let Some(job) = registry.find(kind) else {
        return NewJob::new(kind);
    };
    NewJob {
        queue: job.queue().to_owned(),
        priority: job.priority(),
        attempts_max: job.policy().attempts_max,
        ..NewJob::new(kind)
    }
}

pub(super) async fn run(core: Arc<Core>) {
    let mut outage = Outage::new("schedules");
    let mut elected = core.leadership.watch();
    while !core.stopping.is_cancelled() {
        let pause = match core.leadership.held() {
            Some(lead) => outage
                .note(turn(&core, &lead).await)
                .unwrap_or(RETRY_INTERVAL),
            None => PAUSE_MAX,
        };
        tokio::select! {
            () = core.stopping.cancelled() => {}
            _ = elected.changed() => {}
            () = tokio::time::sleep(pause) => {}
        }
    }
}

/// Makes the jobs of the slots that are due; returns how long the next slot is away.
async fn turn(core: &Core, lead: &Lead) -> Result<Duration, storage::Error> {
    let known = last_slots(core.queue.schedules().await?);
    let now = core.queue.now().await?;
    for schedule in &core.settings.schedules {
        for slot in schedule.owed(known.get(schedule.name).copied(), now) {
            make(core, lead, schedule, slot).await?;
        }
    }
    let now = core.queue.now().await?;
    let schedules = core.settings.schedules.iter();
    let next = schedules.map(|schedule| schedule.cadence.next(now).since(now));
    let pause = next.min().map_or(PAUSE_MAX, |pause| pause + SLOT_MARGIN);
    Ok(pause.min(PAUSE_MAX))
}

fn last_slots(states: Vec<ScheduleState>) -> HashMap<String, UnixMillis> {
    let slots = states
        .into_iter()
        .map(|state| (state.name, state.last_slot));
    slots.collect()
}

async fn make(
    core: &Core,
    lead: &Lead,
    schedule: &Schedule,
    slot: UnixMillis,
) -> Result<(), storage::Error> {
    let job = schedule.job(&core.registry, slot);
    match core.queue.enqueue_slot(lead, &job).await? {
        Occurrence::Created(_) => core.wake(Some(&job.job.queue)),
        Occurrence::Overlapped => metrics::slot_overlapped(schedule.name),
        Occurrence::Taken | Occurrence::Deposed => {}
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use jiff::civil::time;
    use jiff::tz::TimeZone;
    use proptest::prelude::*;

    use super::*;

    const MINUTE: Duration = Duration::from_secs(60);
    const DAY: Duration = Duration::from_secs(24 * 3600);

    fn daily(catch_up: CatchUp) -> Schedule {
        Schedule {
            name: "nightly",
            kind: "nightly",
            cadence: Cadence::daily(time(3, 0, 0, 0), TimeZone::UTC),
            catch_up,
        }
    }

    /// 03:00 on some day, and days after it.
    fn slot(day: u32) -> UnixMillis {
        UnixMillis(3 * 3_600_000).plus(DAY * (20_000 + day))
    }

    #[test]
    fn missed_slots_are_treated_as_the_schedule_says() {
        let now = slot(5).plus(MINUTE * 10);
        let owed = |catch_up| daily(catch_up).owed(Some(slot(2)), now);
        assert_eq!(owed(CatchUp::None), []);
        assert_eq!(owed(CatchUp::Last), [slot(5)]);
        assert_eq!(owed(CatchUp::All), [slot(3), slot(4), slot(5)]);
    }

    #[test]
    fn a_slot_that_just_began_is_not_missed() {
        let now = slot(3).plus(MINUTE / 2);
        for catch_up in [CatchUp::None, CatchUp::Last, CatchUp::All] {
            assert_eq!(daily(catch_up).owed(Some(slot(2)), now), [slot(3)]);
            assert_eq!(daily(catch_up).owed(Some(slot(3)), now), []);
        }
    }

    #[test]
    fn a_new_schedule_owes_nothing_from_before() {
        let later = slot(3).plus(MINUTE * 10);
        for catch_up in [CatchUp::None, CatchUp::Last, CatchUp::All] {
            assert_eq!(daily(catch_up).owed(None, later), []);
            assert_eq!(daily(catch_up).owed(None, slot(3)), [slot(3)]);
        }
        let often = Schedule::every("often", MINUTE);
        assert_eq!(often.owed(None, UnixMillis(90_000)), [UnixMillis(60_000)]);
    }

    #[test]
    fn making_up_is_bounded_and_goes_on_where_it_ended() {
        let all = daily(CatchUp::All);
        let now = slot(250);
        let mut last = slot(0);
        let mut made = Vec::new();
        while let [.., newest] = all.owed(Some(last), now)[..] {
            made.extend(all.owed(Some(last), now));
            assert!(made.len() <= 250);
            last = newest;
        }
        assert_eq!(made, (1..=250).map(slot).collect::<Vec<_>>());
    }

    #[test]
    fn lag_is_how_long_the_first_owed_slot_waits() {
        let now = slot(5).plus(MINUTE * 10);
        assert_eq!(daily(CatchUp::Last).lag(Some(slot(2)), now), MINUTE * 10);
        assert_eq!(
            daily(CatchUp::All).lag(Some(slot(3)), now),
            DAY + MINUTE * 10
        );
        assert_eq!(daily(CatchUp::Last).lag(Some(slot(5)), now), Duration::ZERO);
    }

    proptest! {
        #[test]
        fn owed_slots_are_new_due_and_in_order(
            last in 0..2_000_000_000_000_i64, gap in 0..2_000_000_000_i64, which in 0..3_u8, ms in 1..100_000_000_u64,
        ) {
            let catch_up = [CatchUp::None, CatchUp::Last, CatchUp::All][usize::from(which)];
            let schedule = Schedule { catch_up, ..Schedule::every("k", Duration::from_millis(ms)) };
            let last = schedule.cadence.slot(UnixMillis(last));
            let now = UnixMillis(last.0 + gap);
            let owed = schedule.owed(Some(last), now);
            prop_assert!(owed.len() <= CATCH_UP_MAX);
            prop_assert!(owed.iter().all(|slot| last < *slot && *slot <= now));
            prop_assert!(owed.is_sorted());
            prop_assert!(owed.iter().all(|slot| schedule.cadence.slot(*slot) == *slot));
        }
    }
}
