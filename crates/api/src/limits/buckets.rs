//! Bursts that come back one by one (the generic cell rate algorithm).
//!
//! What is kept of each party is one time, when its burst is whole again, and nothing
//! after that. Each replica counts for itself.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use model::UnixMillis;

/// Parties of one crowd that are known at the same time; further ones share one burst.
pub(crate) const PARTIES_MAX: usize = 65_536;
/// What a network has, in bursts of one of its subscribers.
const NETWORK_SHARE: u32 = 16;
/// Between two searches for parties to forget.
const SWEEP_INTERVAL: Duration = Duration::from_secs(1);

/// Who is counted, and for what.
pub(crate) trait Key: Copy + Eq + Hash {
    /// The same for all of its crowd that found no place of their own.
    fn shared(self) -> Self;

    /// Whether it is one of ours, such as a user. Strangers can be as many as they like:
    /// they take no place of ours.
    fn is_ours(self) -> bool;
}

/// A burst, and how soon one of it comes back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Rule {
    pub(crate) burst: u32,
    pub(crate) interval: Duration,
}

impl Rule {
    /// The same for a network of many subscribers, so that nobody who has a whole one can
    /// be as many parties as it has subscribers.
    pub(crate) fn of_network(self) -> Self {
        Self {
            burst: self.burst.saturating_mul(NETWORK_SHARE),
            interval: (self.interval / NETWORK_SHARE).max(Duration::from_millis(1)),
        }
    }

    /// The longest that a burst takes to be whole again.
    pub(crate) fn span(&self) -> Duration {
        self.interval * self.burst
    }
}

/// What is left of a burst.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Left {
    pub(crate) remaining: u32,
    /// Until it is whole again.
    pub(crate) whole_in: Duration,
}

/// Who took something lately.
pub(crate) struct Buckets<K>(Mutex<Table<K>>);

struct Table<K> {
    ours: Crowd<K>,
    strangers: Crowd<K>,
}

/// When the burst of each is whole again.
struct Crowd<K> {
    whole_at: HashMap<K, UnixMillis>,
    swept_at: Option<UnixMillis>,
}

impl<K> Default for Crowd<K> {
    fn default() -> Self {
        Self {
            whole_at: HashMap::new(),
            swept_at: None,
        }
    }
}

impl<K> Default for Buckets<K> {
    fn default() -> Self {
        Self(Mutex::new(Table {
            ours: Crowd::default(),
            strangers: Crowd::default(),
        }))
    }
}

impl<K: Key> Buckets<K> {
    /// Takes one of each, or none when one of them has none left. Says what is left of the
    /// first.
    ///
    /// # Errors
    /// The time to wait.
    pub(crate) fn take(&self, of: &[(K, Rule)], now: UnixMillis) -> Result<Left, Duration> {
        let mut table = self.table();
        let mut after = Vec::with_capacity(of.len());
        for (key, rule) in of {
            let crowd = table.crowd(*key);
            crowd.sweep(now);
            let key = crowd.place(*key);
            after.push((key, crowd.after(key, *rule, now)?));
        }
        let left = after.first().zip(of.first());
        let left = left.map(|((_, whole_at), (_, rule))| Left::of(*rule, whole_at.since(now)));
        for (key, whole_at) in after {
            table.crowd(key).whole_at.insert(key, whole_at);
        }
        Ok(left.unwrap_or_default())
    }

    /// Whether there is one of each to take.
    ///
    /// # Errors
    /// The time to wait.
    pub(crate) fn look(&self, of: &[(K, Rule)], now: UnixMillis) -> Result<(), Duration> {
        let mut table = self.table();
        for (key, rule) in of {
            let crowd = table.crowd(*key);
            let key = crowd.place(*key);
            crowd.after(key, *rule, now)?;
        }
        Ok(())
    }

    /// Gives one back.
    pub(crate) fn give_back(&self, key: K, rule: Rule) {
        if let Some(whole_at) = self.table().crowd(key).whole_at.get_mut(&key) {
            *whole_at = whole_at.minus(rule.interval);
        }
    }

    fn table(&self) -> MutexGuard<'_, Table<K>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    #[cfg(test)]
    pub(crate) fn parties(&self) -> usize {
        let table = self.table();
        table.ours.whole_at.len() + table.strangers.whole_at.len()
    }
}

impl Left {
    fn of(rule: Rule, whole_in: Duration) -> Self {
        let free = rule.span().saturating_sub(whole_in);
        let remaining = free.as_millis() / rule.interval.as_millis().max(1);
        Self {
            remaining: u32::try_from(remaining).unwrap_or(u32::MAX),
            whole_in,
        }
    }
}

impl<K: Key> Table<K> {
    fn crowd(&mut self, key: K) -> &mut Crowd<K> {
        if key.is_ours() {
            &mut self.ours
        } else {
            &mut self.strangers
        }
    }
}

impl<K: Key> Crowd<K> {
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
            Self(u32::MAX - u32::from(self.is_ours()))
        }

        fn is_ours(self) -> bool {
            self.0.is_multiple_of(2)
        }
    }

    #[test]
    fn what_is_left_is_told() {
        let buckets = Buckets::default();
        let left = |remaining, seconds| Left {
            remaining,
            whole_in: Duration::from_secs(seconds),
        };
        let take = |now| buckets.take(&[(Somebody(1), RULE)], now);
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
            assert_eq!(buckets.look(&[(Somebody(1), RULE)], NOW), Ok(()));
            buckets.take(&[(Somebody(1), RULE)], NOW).unwrap();
        }
        let wait = buckets.look(&[(Somebody(1), RULE)], NOW);
        assert_eq!(wait, Err(Duration::from_secs(10)));
        assert_eq!(buckets.look(&[(Somebody(2), RULE)], NOW), Ok(()));
        assert_eq!(buckets.parties(), 1);
    }

    #[test]
    fn a_crowd_of_strangers_takes_no_place_of_ours() {
        let buckets = Buckets::default();
        let strangers = (0..u32::try_from(PARTIES_MAX).unwrap()).map(|number| 2 * number + 1);
        for stranger in strangers {
            buckets.take(&[(Somebody(stranger), RULE)], NOW).unwrap();
        }
        let burst = |key| {
            let take = || buckets.take(&[(key, RULE)], NOW).is_ok();
            (0..100).take_while(|_| take()).count()
        };
        let late = [1, 3, 5].map(|more| Somebody(1_000_000 + more));
        let shared: usize = late.map(burst).iter().sum();
        assert_eq!(shared, 6, "strangers who come late share one burst");
        for ours in [2, 4] {
            assert_eq!(burst(Somebody(ours)), 6);
        }
    }
}
