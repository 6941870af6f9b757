//! Bursts that come back one by one (the generic cell rate algorithm).
//!
//! What is kept of each party is one time, when its burst is whole again, and nothing
//! after that. Each replica counts for itself.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use model::UnixMillis;

/// Parties that are known at the same time; further ones share one burst.
pub(crate) const PARTIES_MAX: usize = 65_536;
/// Between two searches for parties to forget.
const SWEEP_INTERVAL: Duration = Duration::from_secs(1);

/// Who is counted, and for what.
pub(crate) trait Key: Copy + Eq + Hash {
    /// The same for all that found no place of their own.
    fn shared(self) -> Self;
}

/// A burst, and how soon one of it comes back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Rule {
    pub(crate) burst: u32,
    pub(crate) interval: Duration,
}

impl Rule {
    /// The longest that a burst takes to be whole again.
    pub(crate) fn span(&self) -> Duration {
        self.interval * self.burst
    }
}

/// What is left of a burst.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Left {
    pub(crate) remaining: u32,
    /// Until it is whole again.
    pub(crate) whole_in: Duration,
}

/// Who took something lately.
pub(crate) struct Buckets<K>(Mutex<Table<K>>);

struct Table<K> {
    /// When the burst of each is whole again.
    whole_at: HashMap<K, UnixMillis>,
    swept_at: Option<UnixMillis>,
}

impl<K> Default for Buckets<K> {
    fn default() -> Self {
        Self(Mutex::new(Table {
            whole_at: HashMap::new(),
            swept_at: None,
        }))
    }
}

impl<K: Key> Buckets<K> {
    /// Takes one of each, or none when one of them has none left.
    ///
    /// # Errors
    /// The time to wait.
    pub(crate) fn take_all(&self, of: &[(K, Rule)], now: UnixMillis) -> Result<(), Duration> {
        let mut table = self.table();
        table.sweep(now);
        let of = of.iter().map(|(key, rule)| (table.place(*key), *rule));
        let of: Vec<(K, Rule)> = of.collect();
        let after = of.iter().map(|(key, rule)| table.after(*key, *rule, now));
        let after: Vec<UnixMillis> = after.collect::<Result<_, _>>()?;
        let keys = of.into_iter().map(|(key, _)| key);
        table.whole_at.extend(keys.zip(after));
        Ok(())
    }

    /// Takes one.
    ///
    /// # Errors
    /// The time to wait.
    pub(crate) fn take(&self, key: K, rule: Rule, now: UnixMillis) -> Result<Left, Duration> {
        let mut table = self.table();
        table.sweep(now);
        let key = table.place(key);
        let whole_at = table.after(key, rule, now)?;
        table.whole_at.insert(key, whole_at);
        let whole_in = whole_at.since(now);
        let free = rule.span().saturating_sub(whole_in);
        let remaining = free.as_millis() / rule.interval.as_millis().max(1);
        Ok(Left {
            remaining: u32::try_from(remaining).unwrap_or(u32::MAX),
            whole_in,
        })
    }

    /// Whether there is one to take.
    ///
    /// # Errors
    /// The time to wait.
    pub(crate) fn look(&self, key: K, rule: Rule, now: UnixMillis) -> Result<(), Duration> {
        let mut table = self.table();
        let key = table.place(key);
        table.after(key, rule, now).map(drop)
    }

    /// Gives one back.
    pub(crate) fn give_back(&self, key: K, rule: Rule) {
        if let Some(whole_at) = self.table().whole_at.get_mut(&key) {
            *whole_at = whole_at.minus(rule.interval);
        }
    }

    fn table(&self) -> MutexGuard<'_, Table<K>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    #[cfg(test)]
    pub(crate) fn parties(&self) -> usize {
        self.table().whole_at.len()
    }
}

impl<K: Key> Table<K> {
    /// Forgets whose burst is whole, once there are many.
    fn sweep(&mut self, now: UnixMillis) {
        let is_due = self
            .swept_at
            .is_none_or(|at| now.since(at) >= SWEEP_INTERVAL || at > now);
        if self.whole_at.len() >= PARTIES_MAX / 2 && is_due {
            self.whole_at.retain(|_, whole_at| *whole_at > now);
            self.swept_at = Some(now);
        }
    }

    fn place(&self, key: K) -> K {
        let has_place = self.whole_at.len() < PARTIES_MAX || self.whole_at.contains_key(&key);
        if has_place { key } else { key.shared() }
    }

    /// When the burst is whole again after one more is taken; else how long until there
    /// is one.
    fn after(&mut self, key: K, rule: Rule, now: UnixMillis) -> Result<UnixMillis, Duration> {
        let whole_at = self.whole_at.get_mut(&key).map_or(now, |whole_at| {
            // A clock that was set back makes nobody wait for longer than a burst.
            *whole_at = (*whole_at).min(now.plus(rule.span()));
            *whole_at
        });
        let after = whole_at.max(now).plus(rule.interval);
        let wait = after.since(now).saturating_sub(rule.span());
        if wait.is_zero() { Ok(after) } else { Err(wait) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: UnixMillis = UnixMillis(1_763_700_000_000);
    const RULE: Rule = Rule {
        burst: 6,
        interval: Duration::from_secs(10),
    };

    #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
    struct Somebody(u32);

    impl Key for Somebody {
        fn shared(self) -> Self {
            Self(u32::MAX)
        }
    }

    #[test]
    fn what_is_left_is_told() {
        let buckets = Buckets::default();
        let left = |remaining, seconds| Left {
            remaining,
            whole_in: Duration::from_secs(seconds),
        };
        let take = |now| buckets.take(Somebody(1), RULE, now);
        assert_eq!(take(NOW), Ok(left(5, 10)));
        assert_eq!(take(NOW), Ok(left(4, 20)));
        for _ in 0..4 {
            take(NOW).unwrap();
        }
        assert_eq!(take(NOW), Err(Duration::from_secs(10)));
        let later = NOW.plus(Duration::from_millis(9_999));
        assert_eq!(take(later), Err(Duration::from_millis(1)));
        assert_eq!(take(NOW.plus(RULE.interval)), Ok(left(0, 60)));
    }

    #[test]
    fn a_look_takes_nothing() {
        let buckets = Buckets::default();
        for _ in 0..6 {
            assert_eq!(buckets.look(Somebody(1), RULE, NOW), Ok(()));
            buckets.take(Somebody(1), RULE, NOW).unwrap();
        }
        let wait = buckets.look(Somebody(1), RULE, NOW);
        assert_eq!(wait, Err(Duration::from_secs(10)));
        assert_eq!(buckets.look(Somebody(2), RULE, NOW), Ok(()));
        assert_eq!(buckets.parties(), 1);
    }
}
