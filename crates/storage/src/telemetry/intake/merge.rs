//! Events of which some may be there already.

use std::collections::HashSet;

use model::UnixMillis;

use super::{Event, Key, column};
use crate::{Error, Transaction};

/// Adds those that are not there; these are they.
///
/// # Errors
/// When the database is away or refuses one of them.
pub(super) async fn merge<'a>(
    transaction: &mut Transaction,
    events: &[&'a Event],
    now: UnixMillis,
) -> Result<Vec<&'a Event>, Error> {
    if events.is_empty() {
        return Ok(Vec::new());
    }
    let rows = sqlx::query!(
        "INSERT INTO telemetry.events
             (ts_us, app_id, event_id, context_id, event_type, category, data, received_at)
         SELECT e.ts_us, e.app_id, e.event_id, e.context_id, e.event_type, e.category,
                e.data::jsonb, $8
         FROM UNNEST($1::bigint[], $2::integer[], $3::uuid[], $4::bigint[], $5::text[], $6::text[],
                     $7::text[])
              AS e (ts_us, app_id, event_id, context_id, event_type, category, data)
         ON CONFLICT DO NOTHING
         RETURNING app_id, event_id, ts_us",
        &column(events, |it| it.ts_us),
        &column(events, |it| it.app_id),
        &column(events, |it| it.id),
        &column(events, |it| it.context_id),
        &column(events, |it| &*it.event_type) as _,
        &column(events, |it| it.category.as_deref()) as _,
        &column(events, |it| it.data.as_deref()) as _,
        now.0
    )
    .fetch_all(&mut **transaction)
    .await?;
    let keys = rows
        .into_iter()
        .map(|it| (it.app_id, it.event_id, it.ts_us));
    let mut added: HashSet<Key> = keys.collect();
    // Of two that are the same, one was added.
    let fresh = events.iter().filter(|event| added.remove(&event.key()));
    Ok(fresh.copied().collect())
}
