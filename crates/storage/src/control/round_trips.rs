//! How far regions are from a user's senders, as their own streams measured it.

use std::collections::BTreeMap;
use std::time::Duration;

use model::{Region, UnixMillis, UserId};
use sqlx::PgExecutor;

use super::heartbeats::Beat;
use super::{column, millis};
use crate::{Error, Pool};

/// The smallest round trip of this long counts: what is longer is the load of a radio
/// link, not the way. After it the next one takes its place, whatever it is.
const WINDOW: Duration = Duration::from_secs(7 * 86_400);
/// An older one says nothing: people travel, and routes change.
const AGE_MAX: Duration = Duration::from_secs(30 * 86_400);

/// Learns from what nodes say of the publishers of their sessions. What is no news locks and
/// writes nothing.
///
/// # Errors
/// When the database fails.
pub async fn learn(pool: &Pool, beats: &[Beat]) -> Result<(), Error> {
    let (mut sessions, mut nodes) = (Vec::new(), Vec::new());
    let (mut rtts_us, mut at) = (Vec::new(), Vec::new());
    for beat in beats {
        for traffic in &beat.said.traffic {
            let rtt_us = traffic.publisher_rtt_us.map(i32::try_from);
            let Some(Ok(rtt_us)) = rtt_us else { continue };
            sessions.push(traffic.session_id.as_str());
            nodes.push(beat.node.as_str());
            rtts_us.push(rtt_us);
            at.push(beat.at.0);
        }
    }
    if sessions.is_empty() {
        return Ok(());
    }
    sqlx::query!(
        "INSERT INTO control.round_trips AS known (user_id, region, rtt_us, measured_at)
         SELECT s.user_id, n.region, min(b.rtt_us), max(b.at)
         FROM unnest($1::text[], $2::text[], $3::int4[], $4::int8[])
             AS b(session_id, node_id, rtt_us, at)
         JOIN control.sessions s ON s.id = b.session_id AND s.node_id = b.node_id
         JOIN control.nodes n ON n.id = b.node_id
         LEFT JOIN control.round_trips k ON k.user_id = s.user_id AND k.region = n.region
         WHERE s.state <> 'stopped' AND (k.rtt_us IS NULL
             OR b.rtt_us < k.rtt_us OR k.measured_at < b.at - $5::int8)
         GROUP BY s.user_id, n.region
         ORDER BY s.user_id, n.region
         ON CONFLICT (user_id, region) DO UPDATE
         SET rtt_us = excluded.rtt_us, measured_at = excluded.measured_at
         WHERE excluded.rtt_us < known.rtt_us
             OR known.measured_at < excluded.measured_at - $5::int8",
        &sessions as &[&str],
        &nodes as &[&str],
        &rtts_us,
        &at,
        millis(WINDOW)
    )
    .execute(pool)
    .await?;
    Ok(())
}

/// The round trips of a user's streams, in microseconds; regions that they were not in
/// lately are absent.
///
/// # Errors
/// When the database fails.
pub async fn of_user(
    executor: impl PgExecutor<'_>,
    user: &UserId,
    now: UnixMillis,
) -> Result<BTreeMap<Region, u32>, Error> {
    let rows = sqlx::query!(
        "SELECT region, rtt_us FROM control.round_trips
         WHERE user_id = $1 AND measured_at > $2",
        user.as_str(),
        now.0 - millis(AGE_MAX)
    )
    .fetch_all(executor)
    .await?;
    rows.into_iter()
        .map(|row| {
            let region = column("round_trips.region", &row.region)?;
            Ok((region, row.rtt_us.unsigned_abs()))
        })
        .collect()
}
