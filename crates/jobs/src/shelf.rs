//! Retired tables of telemetry go into the archive and are dropped, each step by itself: whoever is
//! killed between two of them is followed by another who begins where they were.
//!
//! ```text
//! export: rows ─▶ an object ─▶ written down     prove: its manifest, read back ─▶ drop
//! ```

use std::sync::Arc;
use std::time::Duration;

use backup::{Archive, Error, Part, Written};
use bytes::Bytes;
use futures_util::{Stream, stream};
use jiff::Timestamp;
use jiff::civil::Date;
use model::UnixMillis;
use model::clock::Clock;
use storage::Pool;
use storage::telemetry::retired::{self, Dropped, Place, Retired, Stored};
use uuid::Uuid;

use crate::metrics::telemetry as metrics;

/// How long a table is in the hands of somebody who is silent.
const CLAIM: Duration = Duration::from_secs(300);
/// Between two signs of life.
const HOLD_INTERVAL: Duration = Duration::from_secs(60);
/// Rows that are read at a time, in bytes.
const LINES_BYTES: u64 = 1 << 20;

/// What is done with retired tables.
#[derive(Clone)]
pub struct Shelf {
    pool: Pool,
    clock: Arc<dyn Clock>,
    /// None: they are dropped.
    archive: Option<Archive>,
}

/// A retired table in our hands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Held {
    /// What it is.
    pub table: Retired,
    holder: Uuid,
}

/// Why a table is not dropped yet.
#[derive(Debug, thiserror::Error)]
pub enum Unfinished {
    /// The archive did not do its part, or what it has is not to be trusted.
    #[error(transparent)]
    Archive(#[from] Error),
    /// The database did not do its part.
    #[error(transparent)]
    Database(#[from] storage::Error),
    /// Rows came into the table after it was stored.
    #[error("the table has changed since it was stored; it will be stored again")]
    Changed,
    /// Somebody else has it.
    #[error("the table is in other hands")]
    Lost,
}

impl Unfinished {
    /// Every [`reason`](Self::reason).
    pub fn reasons() -> impl Iterator<Item = &'static str> {
        Error::REASONS.into_iter().chain(["changed", "lost"])
    }

    /// What kind it is, as a metric's label.
    #[must_use]
    pub const fn reason(&self) -> &'static str {
        match self {
            Self::Archive(error) => error.reason(),
            Self::Database(_) => "database",
            Self::Changed => "changed",
            Self::Lost => "lost",
        }
    }
}

impl Shelf {
    /// A shelf in front of an archive; of none: what retires is dropped.
    #[must_use]
    pub fn new(pool: Pool, clock: Arc<dyn Clock>, archive: Option<Archive>) -> Self {
        Self {
            pool,
            clock,
            archive,
        }
    }

    /// The first retired table after one, if there is one that nobody has.
    ///
    /// # Errors
    /// When the database is away.
    pub async fn take(&self, holder: Uuid, after: i64) -> Result<Option<Held>, Unfinished> {
        let now = self.clock.now();
        let table = retired::claim(&self.pool, holder, after, now, now.plus(CLAIM)).await?;
        Ok(table.map(|table| Held { table, holder }))
    }

    /// Lets go of a table.
    ///
    /// # Errors
    /// When the database is away: then it is let go of later.
    pub async fn put_back(&self, held: &Held) -> Result<(), Unfinished> {
        let now = self.clock.now();
        retired::hold(&self.pool, held.table.id, held.holder, now).await?;
        Ok(())
    }

    /// All that is left to do with a table; how many rows it had.
    ///
    /// # Errors
    /// See [`Unfinished`]: the table is there still.
    pub async fn finish(&self, held: &Held) -> Result<u64, Unfinished> {
        let Some(archive) = &self.archive else {
            return self.drop_table(held, false).await;
        };
        let stored = match &held.table.stored {
            Some(stored) => stored.clone(),
            None => self.export(archive, held).await?,
        };
        self.prove(archive, held, &stored).await?;
        match self.drop_table(held, true).await {
            Err(Unfinished::Changed) => {
                self.forget(archive, held, &stored).await?;
                Err(Unfinished::Changed)
            }
            dropped => dropped,
        }
    }

    /// Gives the archive all rows of a table, and writes down what it was given.
    ///
    /// # Errors
    /// See [`Unfinished`]; what was given is no part of the archive.
    pub async fn export(&self, archive: &Archive, held: &Held) -> Result<Stored, Unfinished> {
        let (id, table) = (held.table.id, &held.table);
        // A name that nobody had before: what an earlier attempt left, or a database that was
        // restored, is not written over.
        let (nonce, _) = Uuid::new_v4().as_u64_pair();
        let object = archive.object_name(&format!("{id}-{nonce:016x}"));
        let bytes = retired::bytes(&self.pool, id).await?;
        let name = (table.kind.as_str(), date(table.day));
        let lines = lines(&self.pool, id);
        let writing = archive.write(name, &object, bytes, lines);
        let written = self.hold_while(held, writing).await?;
        let stored = Stored {
            object,
            rows: written.rows,
            bytes: written.bytes,
            plain_bytes: written.plain_bytes,
            sha256: written.sha256,
            at: self.clock.now(),
        };
        if retired::mark_stored(&self.pool, id, held.holder, &stored).await? {
            return Ok(stored);
        }
        archive.remove(&part(table, &stored)).await?;
        Err(Unfinished::Lost)
    }

    /// Says in the archive what the object is, and reads all of it back. What is not as it was given is
    /// removed, and will be given again.
    ///
    /// # Errors
    /// See [`Unfinished`].
    pub async fn prove(
        &self,
        archive: &Archive,
        held: &Held,
        stored: &Stored,
    ) -> Result<(), Unfinished> {
        let part = part(&held.table, stored);
        let proving = async {
            archive.publish(&part).await?;
            archive.check(&part).await
        };
        let proven = self.hold_while(held, proving).await;
        if let Err(Unfinished::Archive(Error::Damaged { .. })) = &proven {
            self.forget(archive, held, stored).await?;
        }
        proven
    }

    async fn forget(
        &self,
        archive: &Archive,
        held: &Held,
        stored: &Stored,
    ) -> Result<(), Unfinished> {
        // Who slept for long may have lost the table to one who proved the object and dropped it.
        self.still_hold(held).await?;
        archive.remove(&part(&held.table, stored)).await?;
        retired::reopen(&self.pool, held.table.id, held.holder).await?;
        Ok(())
    }

    async fn drop_table(&self, held: &Held, is_archived: bool) -> Result<u64, Unfinished> {
        let (id, now) = (held.table.id, self.clock.now());
        match retired::drop(&self.pool, id, held.holder, is_archived, now).await? {
            Dropped::Gone(rows) => {
                metrics::dropped(rows, is_archived);
                log(&held.table, rows, is_archived);
                Ok(rows)
            }
            Dropped::Changed => Err(Unfinished::Changed),
            Dropped::Lost => Err(Unfinished::Lost),
        }
    }

    /// Works, and stops working when somebody else has the table.
    async fn hold_while<T>(
        &self,
        held: &Held,
        work: impl Future<Output = Result<T, Error>>,
    ) -> Result<T, Unfinished> {
        let mut work = std::pin::pin!(work);
        loop {
            tokio::select! {
                done = &mut work => return Ok(done?),
                () = tokio::time::sleep(HOLD_INTERVAL) => {}
            }
            self.still_hold(held).await?;
        }
    }

    async fn still_hold(&self, held: &Held) -> Result<(), Unfinished> {
        let until = self.clock.now().plus(CLAIM);
        match retired::hold(&self.pool, held.table.id, held.holder, until).await? {
            true => Ok(()),
            false => Err(Unfinished::Lost),
        }
    }
}

/// A line each of its rows.
fn lines(pool: &Pool, id: i64) -> impl Stream<Item = Result<Bytes, storage::Error>> {
    stream::try_unfold(Place::start(), move |after| async move {
        let lines = retired::lines(pool, id, &after, LINES_BYTES).await?;
        Ok(lines.map(|lines| (Bytes::from(lines.text), lines.last)))
    })
}

fn part(table: &Retired, stored: &Stored) -> Part {
    let written = Written {
        rows: stored.rows,
        bytes: stored.bytes,
        plain_bytes: stored.plain_bytes,
        sha256: stored.sha256.clone(),
    };
    Part::new(
        (table.kind.as_str(), date(table.day)),
        &stored.object,
        &written,
        (timestamp(table.retired_at), timestamp(stored.at)),
    )
}

fn log(table: &Retired, rows: u64, is_archived: bool) {
    let (kind, day) = (table.kind.as_str(), date(table.day));
    if is_archived {
        tracing::info!(kind, %day, rows, "a day of telemetry is in the archive and was dropped");
    } else {
        tracing::warn!(kind, %day, rows, "a day of telemetry was dropped, as telemetry.retention says; it is in no archive");
    }
}

fn date(day: i32) -> Date {
    let at = Timestamp::from_second(i64::from(day) * 86_400).unwrap_or_default();
    at.to_zoned(jiff::tz::TimeZone::UTC).date()
}

fn timestamp(at: UnixMillis) -> Timestamp {
    Timestamp::from_millisecond(at.0).unwrap_or_default()
}
