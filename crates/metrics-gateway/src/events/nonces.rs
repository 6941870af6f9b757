//! Requests that were answered: the same again gets the same answer, and costs nothing.

use std::collections::{HashMap, VecDeque};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use model::UnixMillis;

use super::answer::Taken;

/// The answers of the last minutes, by app and nonce; bounded, the oldest go first.
pub(crate) struct Nonces {
    max: usize,
    kept_for: Duration,
    known: Mutex<Known>,
}

type Key = (i32, Box<str>);

#[derive(Default)]
struct Known {
    answers: HashMap<Key, ([u8; 32], Taken)>,
    /// When each is forgotten, the oldest first.
    ends: VecDeque<(UnixMillis, Key)>,
}

/// What is known of a nonce.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Seen {
    Never,
    /// With the same signature: the same bytes.
    Answered(Taken),
    /// With another signature.
    Otherwise,
}

impl Nonces {
    pub(crate) fn new(max: usize, kept_for: Duration) -> Self {
        Self {
            max,
            kept_for,
            known: Mutex::default(),
        }
    }

    pub(crate) fn look_up(&self, app_id: i32, nonce: &str, tag: &[u8; 32]) -> Seen {
        let known = self.known();
        match known.answers.get(&(app_id, Box::from(nonce))) {
            None => Seen::Never,
            Some((same, taken)) if same == tag => Seen::Answered(*taken),
            Some(_) => Seen::Otherwise,
        }
    }

    pub(crate) fn remember(
        &self,
        (app_id, nonce): (i32, &str),
        tag: [u8; 32],
        taken: Taken,
        now: UnixMillis,
    ) {
        let mut known = self.known();
        known.forget(now, self.max.saturating_sub(1));
        let key: Key = (app_id, Box::from(nonce));
        if known.answers.insert(key.clone(), (tag, taken)).is_none() {
            known.ends.push_back((now.plus(self.kept_for), key));
        }
    }

    fn known(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Known {
    /// Forgets what is over, and the oldest beyond `max`.
    fn forget(&mut self, now: UnixMillis, max: usize) {
        while let Some((ends_at, key)) = self.ends.front() {
            if *ends_at > now && self.ends.len() <= max {
                return;
            }
            self.answers.remove(key);
            self.ends.pop_front();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TAG: [u8; 32] = [1; 32];

    fn taken(events: u32) -> Taken {
        Taken {
            accepted: events,
            ..Taken::default()
        }
    }

    #[test]
    fn the_same_again_gets_the_same_answer_and_another_body_none() {
        let nonces = Nonces::new(10, Duration::from_secs(10));
        assert_eq!(nonces.look_up(1, "n", &TAG), Seen::Never);
        nonces.remember((1, "n"), TAG, taken(3), UnixMillis(0));
        assert_eq!(nonces.look_up(1, "n", &TAG), Seen::Answered(taken(3)));
        assert_eq!(nonces.look_up(1, "n", &[2; 32]), Seen::Otherwise);
        assert_eq!(nonces.look_up(2, "n", &TAG), Seen::Never, "another app's");
    }

    #[test]
    fn they_are_forgotten_in_time_and_bounded() {
        let nonces = Nonces::new(2, Duration::from_secs(10));
        for (at, nonce) in [(0, "a"), (1, "b"), (2, "c")] {
            nonces.remember((1, nonce), TAG, taken(1), UnixMillis(at));
        }
        assert_eq!(nonces.look_up(1, "a", &TAG), Seen::Never);
        assert_eq!(nonces.look_up(1, "c", &TAG), Seen::Answered(taken(1)));
        nonces.remember((1, "d"), TAG, taken(1), UnixMillis(10_002));
        assert_eq!(nonces.look_up(1, "c", &TAG), Seen::Never);
        assert_eq!(nonces.known().ends.len(), 1);
    }
}
