//! Page after page of an app's events.

use std::collections::VecDeque;
use std::sync::Arc;

use storage::telemetry::days::DAY_US;
use storage::telemetry::export::{self, Exported, Limits, Place, Slice};

use super::Wanted;
use crate::queries::{Queries, Refusal};

/// Events of the first page, and of the largest.
const EVENTS_MIN: u32 = 64;
const EVENTS_MAX: u32 = 2000;
/// Bytes of a page's data.
const BYTES_MAX: usize = 2 << 20;

/// What pages are read by.
pub(super) struct Pages {
    queries: Arc<Queries>,
    app_id: i32,
    event_type: Option<String>,
    /// What is left of the span.
    slices: VecDeque<(i64, i64)>,
    /// How far the first of them was read.
    after: Place,
    limit: u32,
}

impl Pages {
    pub(super) async fn of(
        queries: &Arc<Queries>,
        app_id: i32,
        wanted: &Wanted,
    ) -> Result<Self, Refusal> {
        let turn = queries.turn(app_id).await?;
        let (first, last) = (day(wanted.from_us), day(wanted.to_us - 1));
        let days = export::days(&queries.pool, first, last);
        let days = queries.in_time(days).await?;
        drop(turn);
        Ok(Self {
            queries: queries.clone(),
            app_id,
            event_type: wanted.event_type.clone(),
            slices: slices((wanted.from_us, wanted.to_us), &days),
            after: Place::START,
            limit: EVENTS_MIN,
        })
    }

    /// The next events; none: there are no more.
    pub(super) async fn next(&mut self) -> Result<Vec<Exported>, Refusal> {
        while let Some(slice) = self.slices.front().copied() {
            let page = self.read(slice).await?;
            let events = page.events.len() as u32;
            let is_last = !page.is_cut && events < self.limit;
            self.limit = next_limit(self.limit, page.is_cut.then_some(events));
            match page.events.last() {
                Some(last) if !is_last => {
                    self.after = Place {
                        event_id: last.event_id,
                        ts_us: last.ts_us,
                    };
                }
                _ => {
                    self.slices.pop_front();
                    self.after = Place::START;
                }
            }
            if !page.events.is_empty() {
                return Ok(page.events);
            }
        }
        Ok(Vec::new())
    }

    async fn read(&self, (from_us, to_us): (i64, i64)) -> Result<export::Page, Refusal> {
        let slice = Slice {
            app_id: self.app_id,
            from_us,
            to_us,
            event_type: self.event_type.as_deref(),
        };
        let limits = Limits {
            events: self.limit,
            bytes: BYTES_MAX,
        };
        // Others ask as well: whoever began waits for a turn as long as it takes.
        let _turn = self.queries.turns.take(self.app_id).await?;
        let page = export::page(&self.queries.pool, &slice, self.after, limits);
        self.queries.in_time(page).await
    }
}

/// Pages grow until one has too many bytes.
fn next_limit(limit: u32, cut_after: Option<u32>) -> u32 {
    match cut_after {
        Some(events) => events.max(1),
        None => limit.saturating_mul(2).min(EVENTS_MAX),
    }
}

/// The span in pieces: each day that has a partition, and what is between such days in one.
fn slices((from_us, to_us): (i64, i64), days: &[i32]) -> VecDeque<(i64, i64)> {
    let mut slices = VecDeque::new();
    let mut at = from_us;
    for day in days {
        let begins = i64::from(*day) * DAY_US;
        let ends = (begins + DAY_US).clamp(at, to_us);
        let begins = begins.clamp(at, to_us);
        slices.extend((at < begins).then_some((at, begins)));
        slices.extend((begins < ends).then_some((begins, ends)));
        at = ends;
    }
    slices.extend((at < to_us).then_some((at, to_us)));
    slices
}

fn day(us: i64) -> i32 {
    i32::try_from(us.div_euclid(DAY_US)).unwrap_or(i32::MAX)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn pages_are_as_large_as_their_events_allow() {
        assert_eq!(next_limit(64, None), 128);
        assert_eq!(next_limit(1900, None), EVENTS_MAX);
        assert_eq!(next_limit(2000, Some(8)), 8);
        assert_eq!(next_limit(2000, Some(0)), 1);
    }

    proptest! {
        /// One after another they are the span, and no day with a partition is in two.
        #[test]
        fn slices_are_the_span(
            from in 0_i64..40 * DAY_US,
            length in 1_i64..20 * DAY_US,
            mut days in prop::collection::vec(0_i32..60, 0..30),
        ) {
            days.sort_unstable();
            days.dedup();
            let to = from + length;
            let within_span = |of: &i32| (day(from)..=day(to - 1)).contains(of);
            days.retain(within_span);
            let slices = slices((from, to), &days);
            let mut at = from;
            for (begins, ends) in &slices {
                prop_assert!(*begins == at && begins < ends);
                at = *ends;
            }
            prop_assert_eq!(at, to);
            for day in days {
                let begins = i64::from(day) * DAY_US;
                let within = |slice: &&(i64, i64)| slice.0 < begins + DAY_US && begins < slice.1;
                prop_assert_eq!(slices.iter().filter(within).count(), 1);
            }
        }
    }
}
