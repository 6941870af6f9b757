//! Where claims begin: behind it no available job waits.
//!
//! Jobs are claimed in the order in which they became available, so what lies behind is gone.
//! An index entry of a job that is gone costs nothing once it is swept up, but while any
//! transaction stays open in the database, a long report or a backup, none is. Then a claim
//! that begins at the start walks over every job that was ever done since.
//!
//! Numbers of readiness are drawn before their transaction commits, so a lower one may appear
//! after a higher one. The frontier therefore stays behind what was drawn a moment ago, and
//! now and then somebody looks from the start for what waits behind it: seldom, in proportion
//! to what a look takes, and beside the claims, which wait for no look.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use super::Claimed;

/// Priorities, from 1.
pub(super) const PRIORITIES: usize = 4;

/// A transaction that enqueues takes less than this, or its jobs wait for a full look.
const COMMITTED_AFTER: Duration = Duration::from_millis(500);
/// How often it is asked which numbers were drawn.
const SAMPLE_INTERVAL: Duration = Duration::from_millis(200);
/// Between looks from the start, at least.
const LOOK_INTERVAL: Duration = Duration::from_secs(1);
/// And this many times as long as the last one took.
const LOOK_SHARE: u32 = 100;

/// Where a claim begins, by priority.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bounds {
    pub(super) after: [i64; PRIORITIES],
}

impl Bounds {
    /// From the start.
    pub const NONE: Self = Self {
        after: [0; PRIORITIES],
    };
}

/// The first available job of a queue, by priority: its place among those that were available.
pub type Firsts = [Option<i64>; PRIORITIES];

/// What one claimer knows of one queue.
#[derive(Debug, Default)]
pub struct Frontier {
    after: [i64; PRIORITIES],
    /// The last number drawn by the time of asking, the oldest first.
    samples: VecDeque<(Instant, i64)>,
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

    /// Where the next claim should begin.
    #[must_use]
    pub fn bounds(&self) -> Bounds {
        Bounds { after: self.after }
    }

    /// A claim that began at `started` at the frontier brought `claimed` of at most `limit` jobs.
    pub fn note(&mut self, started: Instant, claimed: &[Claimed], limit: u32) {
        let committed = self.committed(started);
        let is_drained = claimed.len() < limit as usize;
        let last = claimed.iter().map(|claim| claim.job.priority).max();
        let last = last.map_or(0, usize::from);
        for (priority, after) in (1..).zip(&mut self.after) {
            // Those that come before the last one were looked at as a whole.
            if is_drained || priority < last {
                *after = (*after).max(committed);
            } else if priority == last {
                let of_last = claimed
                    .iter()
                    .filter(|claim| usize::from(claim.job.priority) == last);
                let seen = of_last.clone().map(|claim| claim.ready).max().unwrap_or(0);
                *after = (*after).max(seen.min(committed));
                if *after == 0 {
                    // One walk from the start is enough: what appears behind is for the looks.
                    *after = of_last.map(|claim| claim.ready - 1).min().unwrap_or(0);
                }
            }
        }
    }

    /// A look from the start found these: what waits behind the frontier lies ahead again.
    pub fn found(&mut self, firsts: &Firsts) -> bool {
        let mut is_behind = false;
        for (after, first) in self.after.iter_mut().zip(firsts) {
            if let Some(first) = first
                && *first <= *after
            {
                *after = first - 1;
                is_behind = true;
            }
        }
        is_behind
    }

    /// How long to wait for the next look from the start when the last one took so long.
    #[must_use]
    pub fn look_pause(took: Duration) -> Duration {
        LOOK_INTERVAL.max(took * LOOK_SHARE)
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

    fn drained(frontier: &mut Frontier, at: Instant) {
        frontier.note(at, &[], 10);
    }

    #[test]
    fn the_first_claim_is_from_the_start_and_the_next_from_the_frontier() {
        let (mut frontier, start) = (Frontier::default(), Instant::now());
        assert_eq!(frontier.bounds(), Bounds::NONE);
        frontier.sample(start, 100);
        drained(&mut frontier, start + LATER);
        assert_eq!(frontier.bounds().after, [100; PRIORITIES]);
    }

    #[test]
    fn numbers_drawn_a_moment_ago_are_never_behind() {
        let (mut frontier, start) = (Frontier::default(), Instant::now());
        frontier.sample(start, 100);
        drained(&mut frontier, start + COMMITTED_AFTER / 2);
        assert_eq!(frontier.bounds(), Bounds::NONE);
        frontier.sample(start + LATER, 200);
        frontier.note(start + LATER, &[claim(2, 150)], 1);
        assert_eq!(frontier.bounds().after, [100, 100, 0, 0]);
    }

    #[test]
    fn only_one_claim_walks_from_the_start() {
        let (mut frontier, start) = (Frontier::default(), Instant::now());
        let claims = [claim(2, 40), claim(3, 9), claim(3, 12)];
        frontier.note(start, &claims, 3);
        assert_eq!(frontier.bounds().after, [0, 0, 8, 0]);
        frontier.note(start, &[claim(3, 30)], 1);
        assert_eq!(frontier.bounds().after, [0, 0, 8, 0]);
    }

    #[test]
    fn a_claim_that_took_all_it_could_moves_only_as_far_as_it_came() {
        let (mut frontier, start) = (Frontier::default(), Instant::now());
        frontier.sample(start, 1000);
        let claims = [claim(1, 10), claim(1, 30), claim(3, 7)];
        frontier.note(start + LATER, &claims, 3);
        assert_eq!(frontier.bounds().after, [1000, 1000, 7, 0]);
    }

    #[test]
    fn a_claim_never_moves_the_frontier_back() {
        let (mut frontier, start) = (Frontier::default(), Instant::now());
        frontier.sample(start, 1000);
        drained(&mut frontier, start + LATER);
        frontier.note(start + LATER, &[claim(2, 5)], 1);
        assert_eq!(frontier.bounds().after, [1000; PRIORITIES]);
    }

    #[test]
    fn a_look_finds_what_was_skipped() {
        let (mut frontier, start) = (Frontier::default(), Instant::now());
        frontier.sample(start, 1000);
        drained(&mut frontier, start + LATER);
        assert!(!frontier.found(&[None, Some(1001), None, None]));
        assert!(frontier.found(&[None, Some(5), Some(2000), Some(1000)]));
        assert_eq!(frontier.bounds().after, [1000, 4, 1000, 999]);
    }

    #[test]
    fn looks_take_a_hundredth_of_the_time_at_most() {
        assert_eq!(Frontier::look_pause(Duration::ZERO), LOOK_INTERVAL);
        let took = Duration::from_millis(300);
        assert_eq!(Frontier::look_pause(took), Duration::from_secs(30));
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
