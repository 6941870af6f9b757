//! What sessions carry, by the month.
//!
//! A session's row has its totals and what they were when the month began. A session that
//! sees a month begin is closed for the one before: what it carried in that goes to
//! `session_cycles`, and what lies across the border is divided at it.

use std::time::Duration;

use model::UnixMillis;
use model::cycle::month_began;
use sqlx::PgExecutor;

use super::heartbeats::Held;
use super::millis;
use crate::{Error, Transaction};

/// The longest time between two words of a node that counts as published when both say
/// so; what was in between is not known when the node was silent for longer.
pub(super) const COUNTED_MAX: Duration = Duration::from_secs(60);
/// No session lives without its node's word for as long as this, so nothing is left to
/// close when the month is as old.
const CLOSING: Duration = Duration::from_secs(24 * 3600);

/// Closes the last month for those of the sessions that were counted in it: counts them up to
/// its end. What comes after is counted from there.
pub(super) async fn turn(executor: impl PgExecutor<'_>, held: &Held<'_>) -> Result<(), Error> {
    let now = UnixMillis(held.at.iter().copied().max().unwrap_or_default());
    let month = month_began(now);
    if now.since(month) > CLOSING {
        return Ok(());
    }
    sqlx::query!(
        "WITH due AS (
             SELECT s.id, t.boot_id, s.last_published_at < $3 AND s.publishing AS crosses,
                 CASE WHEN s.publishing
                     THEN least(greatest($3 - s.last_published_at, 0), $5) ELSE 0 END AS ms,
                 CASE WHEN s.publishing AND s.last_published_at < $3
                     THEN ($3 - s.last_published_at)::float8 / (t.at - s.last_published_at)
                     ELSE 0 END AS share,
                 t.ingress IS NOT NULL AS is_read,
                 CASE WHEN s.counted_boot_id = t.boot_id THEN s.counted_ingress_bytes ELSE 0 END
                     AS ingress_from,
                 CASE WHEN s.counted_boot_id = t.boot_id THEN s.counted_egress_bytes ELSE 0 END
                     AS egress_from,
                 t.ingress, t.egress, s.cycle_base_ms, s.cycle_base_ingress_bytes,
                 s.cycle_base_egress_bytes,
                 coalesce(s.cycle_began_at, (extract(epoch FROM date_trunc('month',
                     to_timestamp(s.started_at / 1000.0) AT TIME ZONE 'UTC')
                     AT TIME ZONE 'UTC') * 1000)::bigint) AS began_at
             FROM unnest($1::text[], $2::text[], $4::bigint[], $6::text[], $7::bigint[], $8::bigint[])
                 AS t(id, node_id, at, boot_id, ingress, egress)
             JOIN control.sessions s ON s.id = t.id AND s.node_id = t.node_id
             WHERE s.state <> 'stopped' AND t.at >= $3
               AND coalesce(s.cycle_began_at, s.started_at) < $3
             ORDER BY s.id FOR NO KEY UPDATE OF s
         ), part AS (
             SELECT *,
                 (greatest(coalesce(ingress - ingress_from, 0), 0) * share)::bigint AS ingress_part,
                 (greatest(coalesce(egress - egress_from, 0), 0) * share)::bigint AS egress_part
             FROM due
         ), turned AS (
             UPDATE control.sessions s
             SET published_ms = s.published_ms + part.ms,
                 last_published_at = CASE WHEN part.crosses THEN $3 ELSE s.last_published_at END,
                 ingress_bytes = s.ingress_bytes + part.ingress_part,
                 egress_bytes = s.egress_bytes + part.egress_part,
                 counted_boot_id = CASE WHEN part.is_read THEN part.boot_id ELSE s.counted_boot_id END,
                 counted_ingress_bytes = CASE WHEN part.is_read
                     THEN part.ingress_from + part.ingress_part ELSE s.counted_ingress_bytes END,
                 counted_egress_bytes = CASE WHEN part.is_read
                     THEN part.egress_from + part.egress_part ELSE s.counted_egress_bytes END,
                 cycle_began_at = $3,
                 cycle_base_ms = s.published_ms + part.ms,
                 cycle_base_ingress_bytes = s.ingress_bytes + part.ingress_part,
                 cycle_base_egress_bytes = s.egress_bytes + part.egress_part
             FROM part WHERE s.id = part.id
             RETURNING s.id, s.user_id, part.began_at,
                 s.cycle_base_ms - part.cycle_base_ms AS published_ms,
                 s.cycle_base_ingress_bytes - part.cycle_base_ingress_bytes AS ingress_bytes,
                 s.cycle_base_egress_bytes - part.cycle_base_egress_bytes AS egress_bytes
         )
         INSERT INTO control.session_cycles
             (session_id, user_id, cycle_began_at, published_ms, ingress_bytes, egress_bytes)
         SELECT id, user_id, began_at, published_ms, ingress_bytes, egress_bytes FROM turned
         ON CONFLICT DO NOTHING",
        &held.sessions as &[&str],
        &held.nodes as &[&str],
        month.0,
        &held.at,
        millis(COUNTED_MAX),
        &held.boots as &[&str],
        &held.ingress_bytes as &[Option<i64>],
        &held.egress_bytes as &[Option<i64>]
    )
    .execute(executor)
    .await?;
    Ok(())
}

/// Counts sessions that are about to end up to now, in each month by what fell in it: they
/// were published until then, unless their node was silent for longer than is counted.
pub(super) async fn finish(
    transaction: &mut Transaction,
    held: &Held<'_>,
    now: UnixMillis,
) -> Result<(), Error> {
    turn(&mut **transaction, held).await?;
    sqlx::query!(
        "UPDATE control.sessions
         SET published_ms = published_ms + greatest($2 - last_published_at, 0),
             last_published_at = greatest($2, last_published_at)
         WHERE id = ANY($1) AND publishing AND last_published_at > $3",
        &held.sessions as &[&str],
        now.0,
        now.minus(COUNTED_MAX).0
    )
    .execute(&mut **transaction)
    .await?;
    Ok(())
}
