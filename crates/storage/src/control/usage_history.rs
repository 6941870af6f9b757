//! What users' sessions carried, by the hour and by the day (UTC): rolled up from the sessions,
//! so that a history is read without them.
//!
//! A session's row says what of it is in the history, and until when. What it carried since is
//! divided over the hours since then, by their lengths.

use model::{UnixMillis, UserId};

use super::number;
use crate::{Error, Pool, Transaction};

const HOUR_MS: i64 = 3_600_000;
const DAY_MS: i64 = 24 * HOUR_MS;

/// A time that usage is summed up over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Span {
    /// An hour.
    Hour,
    /// A day, UTC.
    Day,
}

/// What a user's sessions carried in one span. Spans without any are left out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Carried {
    /// When it began.
    pub began_at: UnixMillis,
    /// How long they were published, milliseconds.
    pub published_ms: u64,
    /// What nodes received for them.
    pub ingress_bytes: u64,
    /// What nodes sent for them.
    pub egress_bytes: u64,
}

/// Takes at most `limit` sessions that carried something since they were taken last into the
/// history. Returns how many they were.
///
/// # Errors
/// When the database fails; then none was taken.
pub async fn roll_up(
    transaction: &mut Transaction,
    now: UnixMillis,
    limit: u32,
) -> Result<u64, Error> {
    // Shares are rounded where they begin and end, so that the parts are the whole.
    let rolled = sqlx::query_scalar!(
        r#"WITH due AS MATERIALIZED (
             SELECT s.id, s.user_id, s.published_ms - s.rolled_ms AS ms,
                 s.ingress_bytes - s.rolled_ingress_bytes AS ingress,
                 s.egress_bytes - s.rolled_egress_bytes AS egress,
                 coalesce(s.rolled_at, s.started_at) AS since,
                 greatest(least(coalesce(s.stopped_at, $1), $1),
                     coalesce(s.rolled_at, s.started_at) + 1) AS until
             FROM control.sessions s WHERE s.id IN (
                 SELECT id FROM control.sessions WHERE state <> 'stopped' AND (
                     published_ms <> rolled_ms OR ingress_bytes <> rolled_ingress_bytes
                     OR egress_bytes <> rolled_egress_bytes)
                 UNION ALL
                 SELECT id FROM control.sessions WHERE state = 'stopped' AND NOT is_rolled)
             ORDER BY s.id LIMIT $2 FOR NO KEY UPDATE OF s SKIP LOCKED
         ), cut AS (
             SELECT due.*, h.hour,
                 (greatest(h.hour, since) - since)::float8 / (until - since) AS first,
                 (least(h.hour + $3, until) - since)::float8 / (until - since) AS last
             FROM due CROSS JOIN LATERAL generate_series(
                 since - since % $3, until - 1, $3) AS h(hour)
         ), part AS (
             SELECT user_id, hour,
                 sum(round(ms * last) - round(ms * first))::bigint AS ms,
                 sum(round(ingress * last) - round(ingress * first))::bigint AS ingress,
                 sum(round(egress * last) - round(egress * first))::bigint AS egress
             FROM cut GROUP BY user_id, hour
         ), hours AS (
             INSERT INTO control.usage_hours AS u
                 (user_id, began_at, published_ms, ingress_bytes, egress_bytes)
             SELECT user_id, hour, ms, ingress, egress FROM part ORDER BY user_id, hour
             ON CONFLICT (user_id, began_at) DO UPDATE
             SET published_ms = u.published_ms + excluded.published_ms,
                 ingress_bytes = u.ingress_bytes + excluded.ingress_bytes,
                 egress_bytes = u.egress_bytes + excluded.egress_bytes
         ), days AS (
             INSERT INTO control.usage_days AS u
                 (user_id, began_at, published_ms, ingress_bytes, egress_bytes)
             SELECT user_id, hour - hour % $4, sum(ms)::bigint, sum(ingress)::bigint,
                 sum(egress)::bigint
             FROM part GROUP BY 1, 2 ORDER BY 1, 2
             ON CONFLICT (user_id, began_at) DO UPDATE
             SET published_ms = u.published_ms + excluded.published_ms,
                 ingress_bytes = u.ingress_bytes + excluded.ingress_bytes,
                 egress_bytes = u.egress_bytes + excluded.egress_bytes
         ), rolled AS (
             UPDATE control.sessions s
             SET rolled_ms = s.published_ms, rolled_ingress_bytes = s.ingress_bytes,
                 rolled_egress_bytes = s.egress_bytes, rolled_at = due.until,
                 is_rolled = s.state = 'stopped'
             FROM due WHERE s.id = due.id
             RETURNING s.id
         )
         SELECT count(*) AS "count!" FROM rolled"#,
        now.0,
        i64::from(limit),
        HOUR_MS,
        DAY_MS
    )
    .fetch_one(&mut **transaction)
    .await?;
    number("count", rolled)
}

/// What a user's sessions carried from `since` on, at most `limit` spans, the oldest first.
///
/// # Errors
/// When the database fails.
pub async fn of_user(
    pool: &Pool,
    user: &UserId,
    span: Span,
    since: UnixMillis,
    limit: u32,
) -> Result<Vec<Carried>, Error> {
    let rows = match span {
        Span::Hour => {
            sqlx::query_as!(
                Row,
                "SELECT began_at, published_ms, ingress_bytes, egress_bytes
                 FROM control.usage_hours WHERE user_id = $1 AND began_at >= $2
                 ORDER BY began_at LIMIT $3",
                user.as_str(),
                since.0,
                i64::from(limit)
            )
            .fetch_all(pool)
            .await?
        }
        Span::Day => {
            sqlx::query_as!(
                Row,
                "SELECT began_at, published_ms, ingress_bytes, egress_bytes
                 FROM control.usage_days WHERE user_id = $1 AND began_at >= $2
                 ORDER BY began_at LIMIT $3",
                user.as_str(),
                since.0,
                i64::from(limit)
            )
            .fetch_all(pool)
            .await?
        }
    };
    Ok(rows.into_iter().map(Into::into).collect())
}

/// Drops at most `limit` hours that began before `before`; days stay.
///
/// # Errors
/// When the database fails.
pub async fn trim_hours(pool: &Pool, before: UnixMillis, limit: u32) -> Result<u64, Error> {
    let done = sqlx::query!(
        "DELETE FROM control.usage_hours WHERE (user_id, began_at) IN (
             SELECT user_id, began_at FROM control.usage_hours WHERE began_at < $1
             ORDER BY began_at LIMIT $2)",
        before.0,
        i64::from(limit)
    )
    .execute(pool)
    .await?;
    Ok(done.rows_affected())
}

struct Row {
    began_at: i64,
    published_ms: i64,
    ingress_bytes: i64,
    egress_bytes: i64,
}

impl From<Row> for Carried {
    /// A correction that lowered what another hour has may leave one below nothing.
    fn from(row: Row) -> Self {
        let at_least_none = |it: i64| u64::try_from(it).unwrap_or(0);
        Self {
            began_at: UnixMillis(row.began_at),
            published_ms: at_least_none(row.published_ms),
            ingress_bytes: at_least_none(row.ingress_bytes),
            egress_bytes: at_least_none(row.egress_bytes),
        }
    }
}
