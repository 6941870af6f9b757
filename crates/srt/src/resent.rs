//! When packets were sent again: so that none is while it is under way.

use std::time::{Duration, Instant};

/// Places at first; twice as many whenever they do not suffice.
const PLACES_START: usize = 256;
/// Places at most, 16 bytes each: half a second of guard at 300 Mbit/s.
const PLACES_MAX: usize = 16_384;

/// Remembers when each packet was last sent again, as long as that matters.
///
/// A table by `index mod length`: a run of losses, however long, has a place for
/// each. It grows while a place is taken by another packet that is still under
/// way, up to its bound; from there on such a packet must wait.
#[derive(Debug)]
pub(crate) struct Resent {
    started_at: Instant,
    places: Box<[Place]>,
}

#[derive(Debug, Clone, Copy)]
struct Place {
    index: u64,
    /// Microseconds since `started_at`, wrapping: only a guard's time is asked of it.
    at_us: u32,
}

const FREE: Place = Place {
    index: u64::MAX,
    at_us: 0,
};

impl Resent {
    /// Takes no memory until something is sent again.
    pub(crate) fn new(now: Instant) -> Self {
        Self {
            started_at: now,
            places: Box::default(),
        }
    }

    /// Whether a packet is not under way any more, as far as we sent it again:
    /// not within `guard` of the last time.
    pub(crate) fn allows(&mut self, now: Instant, index: u64, guard: Duration) -> bool {
        if self.places.is_empty() {
            self.places = vec![FREE; PLACES_START].into_boxed_slice();
        }
        let now_us = self.micros(now);
        loop {
            let place = self.places[self.place_of(index)];
            if !place.is_guarded(now_us, guard) {
                return true;
            }
            if place.index == index || self.places.len() == PLACES_MAX {
                return false;
            }
            self.grow(now_us, guard);
        }
    }

    /// Notes that an allowed packet was sent again.
    pub(crate) fn note(&mut self, now: Instant, index: u64) {
        let at_us = self.micros(now);
        let place = self.place_of(index);
        self.places[place] = Place { index, at_us };
    }

    fn grow(&mut self, now_us: u32, guard: Duration) {
        let larger = vec![FREE; self.places.len() * 2].into_boxed_slice();
        let old = std::mem::replace(&mut self.places, larger);
        for place in old.iter().filter(|place| place.is_guarded(now_us, guard)) {
            let at = self.place_of(place.index);
            self.places[at] = *place;
        }
    }

    fn place_of(&self, index: u64) -> usize {
        index as usize & (self.places.len() - 1)
    }

    fn micros(&self, now: Instant) -> u32 {
        now.saturating_duration_since(self.started_at).as_micros() as u32
    }
}

impl Place {
    fn is_guarded(&self, now_us: u32, guard: Duration) -> bool {
        let age_us = now_us.wrapping_sub(self.at_us);
        self.index != u64::MAX && Duration::from_micros(u64::from(age_us)) < guard
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GUARD: Duration = Duration::from_millis(300);

    #[allow(
        clippy::disallowed_methods,
        reason = "tests need one instant to count from"
    )]
    fn start() -> Instant {
        Instant::now()
    }

    fn send(resent: &mut Resent, now: Instant, index: u64) -> bool {
        let is_allowed = resent.allows(now, index, GUARD);
        if is_allowed {
            resent.note(now, index);
        }
        is_allowed
    }

    #[test]
    fn a_long_loss_is_sent_again_once_in_a_guards_time() {
        let start = start();
        let mut resent = Resent::new(start);
        for round in 0..10u32 {
            let now = start + GUARD / 10 * round;
            let sent = (0..10_000).filter(|index| send(&mut resent, now, *index));
            assert_eq!(sent.count(), if round == 0 { 10_000 } else { 0 });
        }
        assert!(send(&mut resent, start + GUARD, 5000));
    }

    #[test]
    fn memory_follows_what_is_under_way_and_has_a_bound() {
        let start = start();
        let mut resent = Resent::new(start);
        for index in 0..100_000u64 {
            assert!(send(
                &mut resent,
                start + Duration::from_millis(5 * index),
                index
            ));
        }
        assert_eq!(resent.places.len(), PLACES_START);
        let later = start + Duration::from_secs(1000);
        let sent = (0..100_000).filter(|index| send(&mut resent, later, *index));
        assert_eq!(sent.count(), PLACES_MAX);
        assert_eq!(resent.places.len(), PLACES_MAX);
        assert!(send(&mut resent, later + GUARD, 99_999));
    }
}
