//! Where claims begin: behind it no available job waits.
//!
//! Jobs are claimed in the order in which they became available, so what lies behind is gone.
//! An index entry of a job that is gone costs nothing once it is swept up, but while any
//! transaction stays open in the database, a long report or a backup, none is. Then a claim
//! that begins at the start walks over every job that was ever done since.
//!
//! Numbers of readiness are drawn before their transaction commits, so a lower one may appear
//! after a higher one. The frontier therefore stays behind what was drawn a moment ago, and
//! now and then a claim looks from the start: seldom, in proportion to what a look takes.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use super::Claimed;

/// Priorities, from 1.
pub(super) const PRIORITIES: usize = 4;

/// A transaction that enqueues takes less than this, or its jobs wait for a full look.
const COMMITTED_AFTER: Duration = Duration::from_millis(500);
/// How often it is asked which numbers were drawn.
const SAMPLE_INTERVAL: Duration = Duration::from_millis(200);
/// Between full looks, at least.
const FULL_INTERVAL: Duration = Duration::from_secs(1);
/// And this many times as long as the last one took.
const FULL_SHARE: u32 = 100;

/// Where a claim begins, by priority.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bounds {
    pub(super) after: [i64; PRIORITIES],
    /// Whether it looks from the start.
    pub is_full: bool,
}

impl Bounds {
    /// From the start.
    pub const NONE: Self = Self {
        after: [0; PRIORITIES],
        is_full: true,
    };
}

/// What one claimer knows of one queue.
#[derive(Debug, Default)]
pub struct Frontier {
    after: [i64; PRIORITIES],
    /// The last number drawn by the time of asking, the oldest first.
    samples: VecDeque<(Instant, i64)>,
    full_due: Option<Instant>,
}

impl Frontier {
    /// Whether [`Self::sample`] should be told anew.
    #[must_use]
    pub fn wants_sample(&self, now: Instant) -> bool {
        let last = self.samples.back();
        last.is_none_or(|(at, _)| now.duration_since(*at) >= SAMPLE_INTERVAL)
    }

    /// By `now`, numbers up to `drawn` were given out.
    pub fn sample(&mut self, now: Instant, drawn: i64) {
        self.samples.push_back((now, drawn));
        while self.samples.len() > 1 && now.duration_since(self.samples[1].0) >= COMMITTED_AFTER {
            self.samples.pop_front();
        }
    }

    /// Where the claim that begins now should begin.
    #[must_use]
    pub fn bounds(&self, now: Instant) -> Bounds {
        if self.full_due.is_none_or(|due| now >= due) {
            return Bounds::NONE;
        }
        Bounds {
            after: self.after,
            is_full: false,
        }
    }

    /// A claim that began at `started` in `bounds` brought `claimed` of at most `limit` jobs.
    pub fn note(&mut self, started: Instant, bounds: Bounds, claimed: &[Claimed], limit: u32) {
        let now = Instant::now();
        let took = now.duration_since(started);
        if bounds.is_full {
            self.full_due = Some(now + FULL_INTERVAL.max(took * FULL_SHARE));
        }
        let committed = self.committed(started);
        let is_drained = claimed.len() < limit as usize;
        for (index, after) in self.after.iter_mut().enumerate() {
            let of_priority = claimed
                .iter()
                .filter(|claim| usize::from(claim.job.priority) == index + 1);
            let seen = of_priority.map(|claim| claim.ready).max();
            // All of it was looked at when there was room left, else as far as it came.
            let reached = match seen {
                _ if is_drained => Some(committed),
                seen => seen.map(|seen| seen.min(committed)),
            };
            if bounds.is_full {
                // What was skipped before, because its queue paused for instance, lies ahead again.
                *after = reached.unwrap_or(0);
            } else if let Some(reached) = reached {
                *after = (*after).max(reached);
            }
        }
    }

    /// The number below which all had committed, or failed, at `started`.
    fn committed(&self, started: Instant) -> i64 {
        match self.samples.front() {
            Some((at, drawn)) if started.duration_since(*at) >= COMMITTED_AFTER => *drawn,
            _ => 0,
        }
    }
}

#[cfg(test)]
mod tests {
    use model::job::{Job, JobState};
    use model::{JobId, UnixMillis};

    use super::*;

    const LATER: Duration = Duration::from_millis(600);

    fn claim(priority: u8, ready: i64) -> Claimed {
        let at = UnixMillis(0);
        let job = Job {
            id: JobId(1),
            kind: "k".to_owned(),
            queue: "default".to_owned(),
            priority,
            state: JobState::Running,
            arguments_json: "{}".to_owned(),
            attempt: 1,
            attempts_max: 1,
            last_error: None,
            run_at: at,
            created_at: at,
            started_at: None,
            finished_at: None,
            worker: None,
            schedule: None,
            cancel_requested: false,
        };
        Claimed {
            job,
            tries: 1,
            ready,
            trace_context: None,
        }
    }

    fn looked(frontier: &mut Frontier, at: Instant) {
        frontier.note(at, Bounds::NONE, &[], 10);
    }

    #[test]
    fn the_first_look_is_from_the_start_and_the_next_from_the_frontier() {
        let (mut frontier, start) = (Frontier::default(), Instant::now());
        assert_eq!(frontier.bounds(start), Bounds::NONE);
        frontier.sample(start, 100);
        looked(&mut frontier, start + LATER);
        let bounds = frontier.bounds(start + LATER);
        assert!(!bounds.is_full);
        assert_eq!(bounds.after, [100; PRIORITIES]);
        assert!(frontier.bounds(Instant::now() + FULL_INTERVAL * 2).is_full);
    }

    #[test]
    fn numbers_drawn_a_moment_ago_are_never_behind() {
        let (mut frontier, start) = (Frontier::default(), Instant::now());
        frontier.sample(start, 100);
        looked(&mut frontier, start + COMMITTED_AFTER / 2);
        assert_eq!(frontier.bounds(start).after, [0; PRIORITIES]);
        frontier.sample(start + LATER, 200);
        let claims = [claim(2, 150)];
        frontier.note(start + LATER, frontier.bounds(start), &claims, 1);
        assert_eq!(frontier.bounds(start).after, [0, 100, 0, 0]);
    }

    #[test]
    fn a_claim_that_took_all_it_could_moves_only_as_far_as_it_came() {
        let (mut frontier, start) = (Frontier::default(), Instant::now());
        frontier.sample(start, 1000);
        let claims = [claim(1, 10), claim(1, 30), claim(3, 7)];
        frontier.note(start + LATER, Bounds::NONE, &claims, 3);
        assert_eq!(frontier.bounds(start).after, [30, 0, 7, 0]);
    }

    #[test]
    fn a_full_look_finds_what_was_skipped() {
        let (mut frontier, start) = (Frontier::default(), Instant::now());
        frontier.sample(start, 1000);
        looked(&mut frontier, start + LATER);
        assert_eq!(frontier.bounds(start).after, [1000; PRIORITIES]);
        frontier.note(start + LATER, Bounds::NONE, &[claim(2, 5)], 1);
        assert_eq!(frontier.bounds(start).after, [0, 5, 0, 0]);
    }

    #[test]
    fn samples_are_bounded_and_keep_one_that_is_old_enough() {
        let (mut frontier, start) = (Frontier::default(), Instant::now());
        for step in 0..100_u32 {
            frontier.sample(start + SAMPLE_INTERVAL * step, i64::from(step));
        }
        assert!(frontier.samples.len() <= 5, "{:?}", frontier.samples);
        let last = start + SAMPLE_INTERVAL * 99;
        assert!(frontier.committed(last) >= 95);
    }
}
