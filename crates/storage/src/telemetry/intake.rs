//! Events come in, many in one transaction, with the sums of them.
//!
//! ```text
//! contexts ▸ events: append what is new, or merge what may be there ▸ what was no event
//!   ▸ sums of those that are new, by the minute ▸ what each app sent, by the day ▸ COMMIT
//! ```

mod append;
mod merge;
mod sums;

use std::collections::BTreeMap;

use model::UnixMillis;
use uuid::Uuid;

use super::days::DAY_US;
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
    /// By their [`place`](Event::place), so that no writer waits for another in a circle.
    pub events: Vec<&'a Event>,
    /// Those of the events, each once, by app and id.
    pub contexts: Vec<&'a Context>,
    /// Those of `contexts` that may not be kept yet, or not as of today.
    pub new_contexts: Vec<&'a Context>,
    /// What is to be looked into.
    pub refused: Vec<&'a Refused>,
}

/// How events are added. Both end in the same rows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Way {
    /// At half the cost, as long as none of them is there already; if one is, nothing is kept.
    Append,
    /// Each is looked for first.
    Merge,
}

/// What an event is known by.
pub type Key = (i32, Uuid, i64);

/// What came of a flush.
#[derive(Debug, Default)]
pub struct Outcome<'a> {
    /// Of each app, by app.
    pub kept: Vec<Kept>,
    /// Events that were not there before.
    pub fresh: Vec<&'a Event>,
}

impl Event {
    /// What it is known by: the app, its number, its time.
    #[must_use]
    pub const fn key(&self) -> Key {
        (self.app_id, self.id, self.ts_us)
    }

    /// Where it lies: the day of its partition, and its place in the key there.
    #[must_use]
    pub const fn place(&self) -> (i64, i32, i64, Uuid) {
        let day = self.ts_us.div_euclid(DAY_US);
        (day, self.app_id, self.ts_us, self.id)
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
/// [`Error::Conflict`] when events were to be appended and one is there already; when the database
/// is away or refuses some of it. Nothing is kept then, or, when the connection ended in the last
/// moment, all.
pub async fn keep<'a>(pool: &Pool, flush: &Flush<'a>, way: Way) -> Result<Outcome<'a>, Error> {
    let mut transaction = crate::begin(pool).await?;
    keep_contexts(&mut transaction, flush).await?;
    let fresh = keep_events(&mut transaction, flush, way).await?;
    keep_refused(&mut transaction, flush).await?;
    sums::add(&mut transaction, flush, &fresh).await?;
    let kept = tally(flush, &fresh);
    count(&mut transaction, flush, &kept).await?;
    crate::commit(transaction).await?;
    Ok(Outcome { kept, fresh })
}

async fn keep_events<'a>(
    transaction: &mut Transaction,
    flush: &Flush<'a>,
    way: Way,
) -> Result<Vec<&'a Event>, Error> {
    match way {
        Way::Append => {
            append::append(transaction, &flush.events, flush.now).await?;
            Ok(flush.events.clone())
        }
        Way::Merge => merge::merge(transaction, &flush.events, flush.now).await,
    }
}

async fn keep_contexts(transaction: &mut Transaction, flush: &Flush<'_>) -> Result<(), Error> {
    let new = &flush.new_contexts;
    if new.is_empty() {
        return Ok(());
    }
    sqlx::query!(
        "INSERT INTO telemetry.contexts AS c
             (app_id, id, service, service_version, language, language_version, sdk_version, os,
              os_version, arch, ci, shell, user_id, session_id, first_seen_at, last_day)
         SELECT n.*, $15, $16
         FROM UNNEST($1::integer[], $2::bigint[], $3::text[], $4::text[], $5::text[], $6::text[],
                     $7::text[], $8::text[], $9::text[], $10::text[], $11::boolean[], $12::text[],
                     $13::text[], $14::text[])
             AS n (app_id, id, service, service_version, language, language_version, sdk_version,
                   os, os_version, arch, ci, shell, user_id, session_id)
         WHERE NOT EXISTS (SELECT FROM telemetry.contexts AS k
                           WHERE k.app_id = n.app_id AND k.id = n.id AND k.last_day >= $16)
         ON CONFLICT (app_id, id) DO UPDATE SET last_day = EXCLUDED.last_day
         WHERE c.last_day < EXCLUDED.last_day",
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
        flush.now.0,
        flush.now.day()
    )
    .execute(&mut **transaction)
    .await?;
    Ok(())
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
fn tally(flush: &Flush<'_>, fresh: &[&Event]) -> Vec<Kept> {
    let mut apps: BTreeMap<i32, Kept> = BTreeMap::new();
    for (app_id, events) in by_app(&flush.events) {
        apps.entry(app_id).or_default().duplicates += events;
    }
    for refused in &flush.refused {
        apps.entry(refused.app_id).or_default().refused += 1;
    }
    for (app_id, events) in by_app(fresh) {
        let app = apps.entry(app_id).or_default();
        app.events += events;
        app.duplicates = app.duplicates.saturating_sub(events);
    }
    let named = apps.into_iter();
    named
        .map(|(app_id, kept)| Kept { app_id, ..kept })
        .collect()
}

/// How many there are, run by run: those of an app come together.
fn by_app(events: &[&Event]) -> impl Iterator<Item = (i32, u64)> {
    let runs = events.chunk_by(|one, next| one.app_id == next.app_id);
    runs.map(|run| (run[0].app_id, run.len() as u64))
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
