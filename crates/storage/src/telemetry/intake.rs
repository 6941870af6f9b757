//! Events come in, many in one transaction, with the sums of them.

use std::collections::BTreeMap;

use model::UnixMillis;
use uuid::Uuid;

use super::number;
use crate::{Error, Pool, Transaction};

/// An event.
#[derive(Debug, Clone, PartialEq)]
pub struct Event {
    /// Whose.
    pub app_id: i32,
    /// The app's own number of it.
    pub id: Uuid,
    /// When it happened, Unix microseconds.
    pub ts_us: i64,
    /// Its [`Context`].
    pub context_id: i64,
    /// What happened.
    pub event_type: String,
    /// Which kind of that.
    pub category: Option<String>,
    /// The rest, as JSON that `jsonb` can hold.
    pub data: Option<String>,
}

/// What events share: the program, its machine and its user.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Context {
    /// Whose.
    pub app_id: i32,
    /// A hash of all that follows.
    pub id: i64,
    /// Which program.
    pub service: String,
    /// Its version.
    pub service_version: String,
    /// What it is written in.
    pub language: String,
    /// In which version of that.
    pub language_version: Option<String>,
    /// Which version of the SDK sent it.
    pub sdk_version: Option<String>,
    /// The operating system.
    pub os: String,
    /// Its version.
    pub os_version: Option<String>,
    /// The processor's architecture.
    pub arch: Option<String>,
    /// Whether it ran for a build.
    pub ci: Option<bool>,
    /// Which shell it ran in.
    pub shell: Option<String>,
    /// Whose device, as the SDK hashes it.
    pub user_id: String,
    /// Which session of it.
    pub session_id: Option<String>,
}

/// What was sent as an event and is none.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refused {
    /// Whose.
    pub app_id: i32,
    /// SHA-256 of all of it.
    pub digest: [u8; 32],
    /// What it calls itself.
    pub event_id: Option<String>,
    /// Why it is none.
    pub reason: &'static str,
    /// Its first bytes.
    pub event: String,
}

/// What is written together.
#[derive(Debug)]
pub struct Flush<'a> {
    /// Who writes: no two at the same time have the same.
    pub shard: i16,
    /// When.
    pub now: UnixMillis,
    /// In an order that is the same for every writer, so that none waits in a circle.
    pub events: Vec<&'a Event>,
    /// Those of the events, each once, by app and id.
    pub contexts: Vec<&'a Context>,
    /// Those of `contexts` that may not be kept yet.
    pub new_contexts: Vec<&'a Context>,
    /// What is to be looked into.
    pub refused: Vec<&'a Refused>,
    /// Types of which it is told which events were new.
    pub watched_types: &'a [&'a str],
}

/// What an event is known by.
pub type Key = (i32, Uuid, i64);

/// What came of a flush.
#[derive(Debug, Default)]
pub struct Outcome {
    /// Of each app, by app.
    pub kept: Vec<Kept>,
    /// Events of the watched types that were not there before.
    pub watched: Vec<Key>,
}

impl Event {
    /// What it is known by: the app, its number, its time.
    #[must_use]
    pub const fn key(&self) -> Key {
        (self.app_id, self.id, self.ts_us)
    }
}

/// What came of one app's part.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Kept {
    /// Whose.
    pub app_id: i32,
    /// Events that were not there before.
    pub events: u64,
    /// Events that were.
    pub duplicates: u64,
    /// What was no event.
    pub refused: u64,
}

/// Keeps all of it or nothing.
///
/// # Errors
/// When the database is away or refuses some of it; nothing is kept then, or, when the
/// connection ended in the last moment, all.
pub async fn keep(pool: &Pool, flush: &Flush<'_>) -> Result<Outcome, Error> {
    let mut transaction = crate::begin(pool).await?;
    keep_contexts(&mut transaction, flush).await?;
    let fresh = keep_events(&mut transaction, flush).await?;
    keep_refused(&mut transaction, flush).await?;
    let kept = tally(flush, &fresh);
    count(&mut transaction, flush, &kept).await?;
    crate::commit(transaction).await?;
    let watched = fresh.into_iter().flat_map(|it| it.watched).collect();
    Ok(Outcome { kept, watched })
}

async fn keep_contexts(transaction: &mut Transaction, flush: &Flush<'_>) -> Result<(), Error> {
    let new = &flush.new_contexts;
    if new.is_empty() {
        return Ok(());
    }
    sqlx::query!(
        "INSERT INTO telemetry.contexts
             (app_id, id, service, service_version, language, language_version, sdk_version, os,
              os_version, arch, ci, shell, user_id, session_id, first_seen_at)
         SELECT c.*, $15
         FROM UNNEST($1::integer[], $2::bigint[], $3::text[], $4::text[], $5::text[], $6::text[],
                     $7::text[], $8::text[], $9::text[], $10::text[], $11::boolean[], $12::text[],
                     $13::text[], $14::text[]) AS c
         ON CONFLICT DO NOTHING",
        &column(new, |it| it.app_id),
        &column(new, |it| it.id),
        &column(new, |it| &*it.service) as _,
        &column(new, |it| &*it.service_version) as _,
        &column(new, |it| &*it.language) as _,
        &column(new, |it| it.language_version.as_deref()) as _,
        &column(new, |it| it.sdk_version.as_deref()) as _,
        &column(new, |it| &*it.os) as _,
        &column(new, |it| it.os_version.as_deref()) as _,
        &column(new, |it| it.arch.as_deref()) as _,
        &column(new, |it| it.ci) as _,
        &column(new, |it| it.shell.as_deref()) as _,
        &column(new, |it| &*it.user_id) as _,
        &column(new, |it| it.session_id.as_deref()) as _,
        flush.now.0
    )
    .execute(&mut **transaction)
    .await?;
    Ok(())
}

/// Those of an app's events that were not there before.
struct Fresh {
    app_id: i32,
    events: u64,
    watched: Vec<Key>,
}

async fn keep_events(
    transaction: &mut Transaction,
    flush: &Flush<'_>,
) -> Result<Vec<Fresh>, Error> {
    let (events, contexts) = (&flush.events, &flush.contexts);
    if events.is_empty() {
        return Ok(Vec::new());
    }
    let rows = sqlx::query!(
        r#"WITH came AS (
               INSERT INTO telemetry.events
                   (ts_us, app_id, event_id, context_id, event_type, category, data, received_at)
               SELECT e.ts_us, e.app_id, e.event_id, e.context_id, e.event_type, e.category,
                      e.data::jsonb, $8
               FROM UNNEST($1::bigint[], $2::integer[], $3::uuid[], $4::bigint[], $5::text[],
                           $6::text[], $7::text[])
                    AS e (ts_us, app_id, event_id, context_id, event_type, category, data)
               ON CONFLICT DO NOTHING
               RETURNING app_id, event_id, ts_us, event_type, context_id
           ), summed AS (
               INSERT INTO telemetry.rollups AS r
                   (app_id, minute, event_type, service_version, os, shard, events)
               SELECT app_id, came.ts_us / 60000000, came.event_type, c.version, c.os, $13, count(*)
               FROM came JOIN UNNEST($9::integer[], $10::bigint[], $11::text[], $12::text[])
                    AS c (app_id, context_id, version, os) USING (app_id, context_id)
               GROUP BY 1, 2, 3, 4, 5 ORDER BY 1, 2, 3, 4, 5
               ON CONFLICT (app_id, minute, event_type, service_version, os, shard)
                   DO UPDATE SET events = r.events + excluded.events
           )
           SELECT app_id AS "app_id!", count(*) AS "events!",
                  coalesce(array_agg(event_id) FILTER (WHERE event_type = ANY($14)), '{}') AS "ids!",
                  coalesce(array_agg(ts_us) FILTER (WHERE event_type = ANY($14)), '{}') AS "times!"
           FROM came GROUP BY app_id"#,
        &column(events, |it| it.ts_us),
        &column(events, |it| it.app_id),
        &column(events, |it| it.id),
        &column(events, |it| it.context_id),
        &column(events, |it| &*it.event_type) as _,
        &column(events, |it| it.category.as_deref()) as _,
        &column(events, |it| it.data.as_deref()) as _,
        flush.now.0,
        &column(contexts, |it| it.app_id),
        &column(contexts, |it| it.id),
        &column(contexts, |it| &*it.service_version) as _,
        &column(contexts, |it| &*it.os) as _,
        flush.shard,
        flush.watched_types as _
    )
    .fetch_all(&mut **transaction)
    .await?;
    rows.into_iter()
        .map(|row| {
            let keys = row.ids.into_iter().zip(row.times);
            Ok(Fresh {
                app_id: row.app_id,
                events: number("count", row.events)?,
                watched: keys.map(|(id, ts_us)| (row.app_id, id, ts_us)).collect(),
            })
        })
        .collect()
}

async fn keep_refused(transaction: &mut Transaction, flush: &Flush<'_>) -> Result<(), Error> {
    let refused = &flush.refused;
    if refused.is_empty() {
        return Ok(());
    }
    sqlx::query!(
        "INSERT INTO telemetry.quarantine (app_id, digest, event_id, reason, event, received_at)
         SELECT q.*, $6
         FROM UNNEST($1::integer[], $2::bytea[], $3::text[], $4::text[], $5::text[]) AS q
         ON CONFLICT DO NOTHING",
        &column(refused, |it| it.app_id),
        &column(refused, |it| &it.digest[..]) as _,
        &column(refused, |it| it.event_id.as_deref()) as _,
        &column(refused, |it| it.reason) as _,
        &column(refused, |it| &*it.event) as _,
        flush.now.0
    )
    .execute(&mut **transaction)
    .await?;
    Ok(())
}

/// What came of each app, by app.
fn tally(flush: &Flush<'_>, fresh: &[Fresh]) -> Vec<Kept> {
    let mut apps: BTreeMap<i32, Kept> = BTreeMap::new();
    for event in &flush.events {
        apps.entry(event.app_id).or_default().duplicates += 1;
    }
    for refused in &flush.refused {
        apps.entry(refused.app_id).or_default().refused += 1;
    }
    for fresh in fresh {
        let app = apps.entry(fresh.app_id).or_default();
        app.events = fresh.events;
        app.duplicates = app.duplicates.saturating_sub(fresh.events);
    }
    let named = apps.into_iter();
    named
        .map(|(app_id, kept)| Kept { app_id, ..kept })
        .collect()
}

async fn count(
    transaction: &mut Transaction,
    flush: &Flush<'_>,
    kept: &[Kept],
) -> Result<(), Error> {
    let day = flush.now.day();
    sqlx::query!(
        "INSERT INTO telemetry.app_usage AS u
             (app_id, events, duplicates, quarantined, day, shard)
         SELECT k.*, $5, $6
         FROM UNNEST($1::integer[], $2::bigint[], $3::bigint[], $4::bigint[]) AS k
         ON CONFLICT (app_id, day, shard) DO UPDATE SET events = u.events + excluded.events,
             duplicates = u.duplicates + excluded.duplicates,
             quarantined = u.quarantined + excluded.quarantined",
        &column(kept, |it| it.app_id),
        &column(kept, |it| super::stored(it.events)),
        &column(kept, |it| super::stored(it.duplicates)),
        &column(kept, |it| super::stored(it.refused)),
        day,
        flush.shard
    )
    .execute(&mut **transaction)
    .await?;
    Ok(())
}

/// One column of many rows.
fn column<'a, R, T>(rows: &'a [R], of: impl Fn(&'a R) -> T) -> Vec<T> {
    rows.iter().map(of).collect()
}
