//! Answers that are remembered: who asks the same gets the same, and of many who ask it at once
//! one has it computed.

use std::time::Duration;

use bytes::Bytes;
use moka::Expiry;
use moka::future::Cache;

use super::ask::Ask;
use super::refusal::Refusal;

/// How long an answer counts at least: what it tells of now is as old as that.
const FRESH_MIN: Duration = Duration::from_secs(5);
/// And at most: SDKs send old events when they have a network again.
const FRESH_MAX: Duration = Duration::from_secs(3600);
/// An answer counts for this share of the age that its span has.
const AGE_SHARE: i64 = 10;
/// What an answer takes beside its text, bytes.
const ENTRY_BYTES: usize = 512;

/// The app and the question.
pub(crate) type Key = (i32, Ask);

/// An answer, as it is sent.
#[derive(Debug, Clone)]
pub(crate) struct Answer {
    pub(crate) body: Bytes,
    pub(crate) fresh_for: Duration,
}

/// Those that count.
pub(crate) struct Answers(Cache<Key, Answer>);

struct Freshness;

impl Answers {
    /// Room for so many bytes.
    pub(crate) fn new(bytes_max: usize) -> Self {
        let weigh = |_: &Key, answer: &Answer| {
            u32::try_from(answer.body.len().saturating_add(ENTRY_BYTES)).unwrap_or(u32::MAX)
        };
        let cache = Cache::builder()
            .weigher(weigh)
            .max_capacity(bytes_max as u64)
            .expire_after(Freshness)
            .build();
        Self(cache)
    }

    /// The answer, and whether `compute` made it. Who asks meanwhile waits for it.
    pub(crate) async fn find(
        &self,
        key: Key,
        compute: impl Future<Output = Result<Answer, Refusal>>,
    ) -> Result<(Bytes, bool), Refusal> {
        let found = self.0.entry(key).or_try_insert_with(compute).await;
        let entry = found.map_err(|refusal| Refusal::clone(&refusal))?;
        let is_new = entry.is_fresh();
        Ok((entry.into_value().body, is_new))
    }
}

impl Expiry<Key, Answer> for Freshness {
    fn expire_after_create(
        &self,
        _key: &Key,
        answer: &Answer,
        _created_at: std::time::Instant,
    ) -> Option<Duration> {
        Some(answer.fresh_for)
    }
}

/// How long an answer counts whose span ended at `to`: the longer that is past, the fewer events
/// still come. Unix seconds.
pub(crate) fn fresh_for(to: i64, now: i64) -> Duration {
    let share = now.saturating_sub(to).max(0) / AGE_SHARE;
    let share = Duration::from_secs(share.unsigned_abs());
    share.clamp(FRESH_MIN, FRESH_MAX)
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU32, Ordering};

    use model::UnixMillis;

    use super::*;

    fn key(app_id: i32) -> Key {
        let ask = Ask::read("", UnixMillis(1_760_000_000_000)).unwrap();
        (app_id, ask)
    }

    fn answer() -> Answer {
        Answer {
            body: Bytes::from_static(b"{}"),
            fresh_for: FRESH_MAX,
        }
    }

    #[test]
    fn what_is_past_counts_longer() {
        for (to, now, seconds) in [
            (100, 50, 5),
            (100, 100, 5),
            (100, 149, 5),
            (100, 700, 60),
            (0, 864_000, 3600),
            (i64::MIN, i64::MAX, 3600),
        ] {
            assert_eq!(
                fresh_for(to, now),
                Duration::from_secs(seconds),
                "{to} {now}"
            );
        }
    }

    #[tokio::test]
    async fn many_who_ask_the_same_at_once_have_it_computed_once() {
        let (answers, computed) = (Answers::new(1 << 20), AtomicU32::new(0));
        let ask = |app_id: i32| {
            answers.find(key(app_id), async {
                tokio::task::yield_now().await;
                computed.fetch_add(1, Ordering::Relaxed);
                Ok(answer())
            })
        };
        let found = futures_util::future::join_all((0..50).map(|asker| ask(asker % 2))).await;
        let new = found
            .iter()
            .filter(|found| found.as_ref().is_ok_and(|(_, new)| *new));
        let computed = computed.load(Ordering::Relaxed);
        assert_eq!((new.count(), computed), (2, 2), "one for each app");
    }

    #[tokio::test]
    async fn a_refusal_is_not_remembered() {
        let answers = Answers::new(1 << 20);
        let refused = answers.find(key(1), async { Err(Refusal::Full) }).await;
        assert_eq!(refused.unwrap_err(), Refusal::Full);
        let found = answers.find(key(1), async { Ok(answer()) }).await;
        assert!(found.unwrap().1);
    }
}
