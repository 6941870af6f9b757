//! Answers and how old they are; bounded.

use std::collections::HashMap;
use std::hash::Hash;
use std::time::{Duration, Instant};

use super::AWAY_MAX;

/// A yes is believed for this long.
const YES_FRESH: Duration = Duration::from_secs(60);
/// A no is believed for this long.
const NO_FRESH: Duration = Duration::from_secs(5);
/// Who gave no answer is left alone for this long: meanwhile an older yes counts at once,
/// so that an api which lets callers wait does not hold every report up.
const AWAY_FRESH: Duration = Duration::from_secs(5);

pub(super) struct Cache<K, V> {
    entries_max: usize,
    yes: HashMap<K, (V, Instant)>,
    /// Apart, so that guesses cannot push out who was let in.
    no: HashMap<K, Instant>,
    /// When a question last went unanswered.
    unanswered_at: Option<Instant>,
}

#[derive(Debug, PartialEq, Eq)]
pub(super) enum Known<V> {
    /// Believe it.
    Fresh(Option<V>),
    /// Ask; if nobody answers, it was a yes.
    Old(V),
    Nothing,
}

impl<K: Hash + Eq, V: Clone> Cache<K, V> {
    pub(super) fn new(entries_max: usize) -> Self {
        Self {
            entries_max,
            yes: HashMap::new(),
            no: HashMap::new(),
            unanswered_at: None,
        }
    }

    pub(super) fn look_up(&self, key: &K, now: Instant) -> Known<V> {
        if let Some((value, asked)) = self.yes.get(key) {
            let age = now.duration_since(*asked);
            if age < YES_FRESH || (age < AWAY_MAX && self.is_away(now)) {
                return Known::Fresh(Some(value.clone()));
            }
            if age < AWAY_MAX {
                return Known::Old(value.clone());
            }
        }
        match self.no.get(key) {
            Some(asked) if now.duration_since(*asked) < NO_FRESH => Known::Fresh(None),
            _ => Known::Nothing,
        }
    }

    /// Nobody answered.
    pub(super) fn remember_silence(&mut self, now: Instant) {
        self.unanswered_at = Some(now);
    }

    /// Whether a question went unanswered just now.
    pub(super) fn is_away(&self, now: Instant) -> bool {
        self.unanswered_at
            .is_some_and(|at| now.duration_since(at) < AWAY_FRESH)
    }

    pub(super) fn remember_yes(&mut self, key: K, value: V, now: Instant) {
        self.no.remove(&key);
        if self.yes.len() >= self.entries_max && !self.yes.contains_key(&key) {
            self.yes
                .retain(|_, (_, asked)| now.duration_since(*asked) < YES_FRESH);
        }
        // Still full of fresh ones: this one asks again next time.
        if self.yes.len() < self.entries_max || self.yes.contains_key(&key) {
            self.yes.insert(key, (value, now));
        }
    }

    pub(super) fn remember_no(&mut self, key: K, now: Instant) {
        self.yes.remove(&key);
        if self.no.len() >= self.entries_max {
            self.no.clear();
        }
        self.no.insert(key, now);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_age() {
        let (mut cache, start) = (Cache::new(10), Instant::now());
        cache.remember_yes("a", 1, start);
        assert_eq!(cache.look_up(&"a", start), Known::Fresh(Some(1)));
        assert_eq!(cache.look_up(&"a", start + YES_FRESH), Known::Old(1));
        assert_eq!(cache.look_up(&"a", start + AWAY_MAX), Known::Nothing);
        cache.remember_no("a", start);
        assert_eq!(cache.look_up(&"a", start), Known::Fresh(None));
        assert_eq!(cache.look_up(&"a", start + NO_FRESH), Known::Nothing);
        assert_eq!(cache.look_up(&"b", start), Known::Nothing);
    }

    #[test]
    fn an_older_yes_counts_at_once_while_nobody_answers() {
        let (mut cache, start) = (Cache::new(10), Instant::now());
        cache.remember_yes("a", 1, start);
        let later = start + YES_FRESH;
        cache.remember_silence(later);
        assert_eq!(cache.look_up(&"a", later), Known::Fresh(Some(1)));
        assert_eq!(cache.look_up(&"b", later), Known::Nothing);
        assert_eq!(cache.look_up(&"a", later + AWAY_FRESH), Known::Old(1));
        cache.remember_silence(start + AWAY_MAX);
        assert_eq!(cache.look_up(&"a", start + AWAY_MAX), Known::Nothing);
    }

    #[test]
    fn guesses_do_not_push_out_who_was_let_in() {
        let (mut cache, now) = (Cache::new(3), Instant::now());
        cache.remember_yes(0, (), now);
        for guess in 1..100 {
            cache.remember_no(guess, now);
        }
        assert!(cache.no.len() <= 3);
        assert_eq!(cache.look_up(&0, now), Known::Fresh(Some(())));
    }

    #[test]
    fn entries_are_bounded_and_old_ones_make_room() {
        let (mut cache, now) = (Cache::new(2), Instant::now());
        for key in 0..5 {
            cache.remember_yes(key, (), now);
        }
        assert_eq!(cache.yes.len(), 2);
        cache.remember_yes(9, (), now + YES_FRESH);
        assert_eq!(cache.look_up(&9, now + YES_FRESH), Known::Fresh(Some(())));
    }
}
