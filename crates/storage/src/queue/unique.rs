//! Keys by which the same wish, made again, finds the job that it made before.

use std::time::Duration;

use model::job::Job;
use model::{JobId, UnixMillis};
use serde_json::Value;
use sha2::{Digest as _, Sha256};
use sqlx::PgConnection;

use super::{NewJob, report};
use crate::Error;

/// For how long a caller's idempotency key stands.
const IDEMPOTENCY_PERIOD: Duration = Duration::from_secs(24 * 3600);

/// A key that stands until a time, whatever becomes of its job.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Once {
    /// The key.
    pub key: String,
    /// From then on it is free again.
    pub expires_at: UnixMillis,
}

/// What makes two jobs of a kind the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Unique {
    /// The arguments too, not the kind alone.
    pub by_arguments: bool,
    /// At most one in each such period since the epoch, also when it has finished; without one,
    /// at most one that lives.
    pub period: Option<Duration>,
}

impl NewJob {
    /// This job, made at most once for a caller's `key` within a day.
    #[must_use]
    pub fn idempotent(mut self, key: &str, now: UnixMillis) -> Self {
        self.once.push(Once {
            key: format!("call:{key}"),
            expires_at: now.plus(IDEMPOTENCY_PERIOD),
        });
        self
    }

    /// This job, unless there is one like it.
    #[must_use]
    pub fn unique(mut self, unique: Unique, now: UnixMillis) -> Self {
        let arguments = unique.by_arguments.then_some(&self.arguments);
        let key = format!("{}:{}", self.kind, digest(arguments));
        match unique.period {
            None => self.unique_key = Some(format!("same:{key}")),
            Some(period) => {
                let period_ms = i64::try_from(period.as_millis()).unwrap_or(i64::MAX).max(1);
                let begun = UnixMillis(now.0 - now.0.rem_euclid(period_ms));
                self.once.push(Once {
                    key: format!("period:{key}:{period_ms}:{}", begun.0),
                    expires_at: begun.plus(period),
                });
            }
        }
        self
    }
}

/// Objects keep their fields in order, so equal arguments have equal texts.
fn digest(arguments: Option<&Value>) -> String {
    let Some(arguments) = arguments else {
        return String::from("any");
    };
    let digest = Sha256::digest(arguments.to_string());
    digest[..16]
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect()
}

/// Takes all keys for the job `id`, or says which job holds one of them.
pub(super) async fn take(
    connection: &mut PgConnection,
    id: JobId,
    keys: &[Once],
) -> Result<Option<Job>, Error> {
    for key in keys {
        if let Some(holder) = take_one(connection, id, key).await? {
            return Ok(Some(holder));
        }
    }
    Ok(None)
}

async fn take_one(
    connection: &mut PgConnection,
    id: JobId,
    once: &Once,
) -> Result<Option<Job>, Error> {
    // Waits for a transaction that is about to take the same key.
    let taken = sqlx::query!(
        "INSERT INTO queue.keys AS k (key, job_id, expires_at) \
         VALUES ($1, $2, to_timestamp($3::bigint / 1000.0)) \
         ON CONFLICT (key) DO UPDATE \
             SET job_id = EXCLUDED.job_id, expires_at = EXCLUDED.expires_at \
             WHERE k.expires_at <= now()",
        once.key,
        id.0,
        once.expires_at.0,
    )
    .execute(&mut *connection)
    .await?;
    if taken.rows_affected() > 0 {
        return Ok(None);
    }
    let holder = sqlx::query_scalar!("SELECT job_id FROM queue.keys WHERE key = $1", once.key)
        .fetch_one(&mut *connection)
        .await?;
    if let Some(job) = report::find(connection, JobId(holder)).await? {
        return Ok(Some(job));
    }
    // Its job left the history before the key did: nobody can be shown, so the key is free.
    point(connection, id, std::slice::from_ref(once)).await?;
    Ok(None)
}

/// Lets keys that this transaction holds name another job.
pub(super) async fn point(
    connection: &mut PgConnection,
    id: JobId,
    keys: &[Once],
) -> Result<(), Error> {
    let names: Vec<String> = keys.iter().map(|once| once.key.clone()).collect();
    if names.is_empty() {
        return Ok(());
    }
    sqlx::query!(
        "UPDATE queue.keys SET job_id = $1 WHERE key = ANY($2)",
        id.0,
        &names,
    )
    .execute(connection)
    .await?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const NOW: UnixMillis = UnixMillis(1_000_000_500);
    const MINUTE: Duration = Duration::from_secs(60);

    fn job(arguments: Value) -> NewJob {
        NewJob {
            arguments,
            ..NewJob::new("sweep")
        }
    }

    #[test]
    fn equal_arguments_are_the_same_in_any_order() {
        let unique = Unique {
            by_arguments: true,
            period: None,
        };
        let key = |text: &str| {
            let job = job(serde_json::from_str(text).unwrap()).unique(unique, NOW);
            job.unique_key.unwrap()
        };
        assert_eq!(key(r#"{"a":1,"b":[2]}"#), key(r#"{"b":[2],"a":1}"#));
        assert_ne!(key(r#"{"a":1}"#), key(r#"{"a":"1"}"#));
        assert!(key("{}").len() <= 200);
    }

    #[test]
    fn a_period_is_one_key_and_ends() {
        let unique = Unique {
            by_arguments: false,
            period: Some(MINUTE),
        };
        let once = |arguments, at| job(arguments).unique(unique, at).once.remove(0);
        let first = once(json!({}), NOW);
        assert_eq!(
            first,
            once(
                json!({"a": 1}),
                first.expires_at.minus(Duration::from_millis(1))
            )
        );
        assert_ne!(first, once(json!({}), first.expires_at));
        assert_eq!(first.expires_at.0 % 60_000, 0);
    }
}
