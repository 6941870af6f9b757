//! Events counted by what they are asked for by.

use std::collections::{BTreeMap, HashMap};

use super::super::MINUTE_US;
use super::{Context, Event, Flush, column};
use crate::{Error, Transaction};

/// In an order that is the same for every writer, so that none waits in a circle.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Cell<'a> {
    app_id: i32,
    minute: i64,
    event_type: &'a str,
    service_version: &'a str,
    os: &'a str,
}

/// Adds these events to the sums of their minutes.
///
/// # Errors
/// When the database is away.
pub(super) async fn add(
    transaction: &mut Transaction,
    flush: &Flush<'_>,
    fresh: &[&Event],
) -> Result<(), Error> {
    let sums: Vec<(Cell<'_>, i64)> = sums(fresh, &flush.contexts).into_iter().collect();
    if sums.is_empty() {
        return Ok(());
    }
    sqlx::query!(
        "INSERT INTO telemetry.rollups AS r
             (app_id, minute, event_type, service_version, os, events, shard)
         SELECT s.*, $7
         FROM UNNEST($1::integer[], $2::bigint[], $3::text[], $4::text[], $5::text[], $6::bigint[])
              AS s
         ON CONFLICT (app_id, minute, event_type, service_version, os, shard)
             DO UPDATE SET events = r.events + excluded.events",
        &column(&sums, |it| it.0.app_id),
        &column(&sums, |it| it.0.minute),
        &column(&sums, |it| it.0.event_type) as _,
        &column(&sums, |it| it.0.service_version) as _,
        &column(&sums, |it| it.0.os) as _,
        &column(&sums, |it| it.1),
        flush.shard
    )
    .execute(&mut **transaction)
    .await?;
    Ok(())
}

fn sums<'a>(events: &[&'a Event], contexts: &[&'a Context]) -> BTreeMap<Cell<'a>, i64> {
    let contexts: HashMap<(i32, i64), &Context> = contexts
        .iter()
        .map(|it| ((it.app_id, it.id), *it))
        .collect();
    // Those that happened together are much alike.
    let mut counts: HashMap<(i32, i64, i64, &str), i64> = HashMap::new();
    for run in events.chunk_by(|one, next| minute_of(one) == minute_of(next)) {
        *counts.entry(minute_of(run[0])).or_default() += run.len() as i64;
    }
    let mut sums = BTreeMap::new();
    for ((app_id, minute, context_id, event_type), count) in counts {
        let Some(context) = contexts.get(&(app_id, context_id)) else {
            continue;
        };
        let cell = Cell {
            app_id,
            minute,
            event_type,
            service_version: &context.service_version,
            os: &context.os,
        };
        *sums.entry(cell).or_default() += count;
    }
    sums
}

/// Which app's minute, with which context and type.
fn minute_of(event: &Event) -> (i32, i64, i64, &str) {
    let minute = event.ts_us / MINUTE_US;
    (event.app_id, minute, event.context_id, &event.event_type)
}
