//! Tables of telemetry that nobody writes any more, on their way into an archive.
//!
//! ```text
//! collecting ─▶ retired ─▶ stored ─▶ dropped
//!                  ▲          │
//!                  └──────────┘ what was stored is not what is there
//! ```

use std::time::Duration;

use model::UnixMillis;
use uuid::Uuid;

use super::{number, within};
use crate::{Error, Pool};

/// What a retired table has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// Events of apps.
    Events,
    /// Sessions in steps of ten seconds.
    SessionTenSeconds,
    /// Sessions in steps of a minute.
    SessionMinutes,
}

/// A table of one kind and day.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Retired {
    /// Its number: the later, the higher.
    pub id: i64,
    /// What it has.
    pub kind: Kind,
    /// Of which day (since 1970, UTC).
    pub day: i32,
    /// When it retired.
    pub retired_at: UnixMillis,
    /// What an archive was given of it.
    pub stored: Option<Stored>,
}

/// An object that an archive was given.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stored {
    /// Its name there.
    pub object: String,
    /// Rows in it.
    pub rows: u64,
    /// Its size.
    pub bytes: u64,
    /// Its size uncompressed.
    pub plain_bytes: u64,
    /// Its SHA-256, 64 hexadecimal digits.
    pub sha256: String,
    /// When it was given.
    pub at: UnixMillis,
}

/// The place of a row in a table's file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place(String);

/// Some lines of a table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lines {
    /// Each a JSON object with a newline.
    pub text: String,
    /// The last one's place.
    pub last: Place,
}

/// What became of a table that was to be dropped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Dropped {
    /// It is gone, with so many rows.
    Gone(u64),
    /// It has not the rows any more that were stored.
    Changed,
    /// It is in other hands.
    Lost,
}

/// What waits to be stored and dropped.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Waiting {
    /// Tables.
    pub tables: u64,
    /// Since when the oldest waits.
    pub since: Option<UnixMillis>,
}

/// Counting the rows of a day may take long, and nobody waits for it.
const DROP_TIMEOUT: Duration = Duration::from_secs(3600);

impl Kind {
    /// Every one.
    pub const ALL: [Self; 3] = [Self::Events, Self::SessionTenSeconds, Self::SessionMinutes];

    /// Its name: the table's that it was a day of.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Events => "events",
            Self::SessionTenSeconds => "session_10s",
            Self::SessionMinutes => "session_1m",
        }
    }
}

impl std::str::FromStr for Kind {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        let found = Self::ALL.into_iter().find(|kind| kind.as_str() == text);
        found.ok_or(())
    }
}

impl Place {
    /// Before the first row.
    #[must_use]
    pub fn start() -> Self {
        Self("(0,0)".to_owned())
    }
}

struct Row {
    id: i64,
    kind: String,
    day: i32,
    retired_at: i64,
    object: Option<String>,
    rows: Option<i64>,
    bytes: Option<i64>,
    plain_bytes: Option<i64>,
    sha256: Option<String>,
    stored_at: Option<i64>,
}

impl TryFrom<Row> for Retired {
    type Error = Error;

    fn try_from(row: Row) -> Result<Self, Error> {
        let count = |name, value: Option<i64>| number(name, value.unwrap_or(0));
        let stored = match (row.object, row.sha256) {
            (Some(object), Some(sha256)) => Some(Stored {
                object,
                rows: count("rows", row.rows)?,
                bytes: count("bytes", row.bytes)?,
                plain_bytes: count("plain_bytes", row.plain_bytes)?,
                sha256,
                at: UnixMillis(row.stored_at.unwrap_or(0)),
            }),
            _ => None,
        };
        Ok(Self {
            id: row.id,
            kind: super::column("kind", &row.kind)?,
            day: row.day,
            retired_at: UnixMillis(row.retired_at),
            stored,
        })
    }
}

/// Takes the first table after `after` that waits and is in nobody's hands; it is in those of `holder`
/// until `until`.
///
/// # Errors
/// When the database is away.
pub async fn claim(
    pool: &Pool,
    holder: Uuid,
    after: i64,
    now: UnixMillis,
    until: UnixMillis,
) -> Result<Option<Retired>, Error> {
    let row = sqlx::query_as!(
        Row,
        "UPDATE telemetry.retired SET claim = $1, claimed_until = $4
         WHERE id = (
             SELECT id FROM telemetry.retired
             WHERE state IN ('retired', 'stored') AND id > $2
                 AND (claimed_until IS NULL OR claimed_until <= $3 OR claim = $1)
             ORDER BY id LIMIT 1 FOR UPDATE SKIP LOCKED)
         RETURNING id, kind, day, retired_at, object, rows, bytes, plain_bytes, sha256, stored_at",
        holder,
        after,
        now.0,
        until.0
    )
    .fetch_optional(pool)
    .await?;
    row.map(TryInto::try_into).transpose()
}

/// Keeps a table in `holder`'s hands, or lets go of it when `until` is now; false: it is in others'.
///
/// # Errors
/// When the database is away.
pub async fn hold(pool: &Pool, id: i64, holder: Uuid, until: UnixMillis) -> Result<bool, Error> {
    let done = sqlx::query!(
        "UPDATE telemetry.retired SET claimed_until = $3 WHERE id = $1 AND claim = $2",
        id,
        holder,
        until.0
    )
    .execute(pool)
    .await?;
    Ok(done.rows_affected() > 0)
}

/// The rows after a place, about `bytes_max` of them in bytes; none: there are no more.
///
/// # Errors
/// When the database is away.
pub async fn lines(
    pool: &Pool,
    id: i64,
    after: &Place,
    bytes_max: u64,
) -> Result<Option<Lines>, Error> {
    let rows = sqlx::query!(
        r#"SELECT place::text AS "place!", line AS "line!"
           FROM telemetry.retired_lines($1, $2::text::tid, $3)"#,
        id,
        after.0,
        super::stored(bytes_max)
    )
    .fetch_all(pool)
    .await?;
    let Some(last) = rows.last().map(|row| Place(row.place.clone())) else {
        return Ok(None);
    };
    let text = rows.iter().flat_map(|row| [row.line.as_str(), "\n"]);
    Ok(Some(Lines {
        text: text.collect(),
        last,
    }))
}

/// About how many bytes a table has.
///
/// # Errors
/// When the database is away.
pub async fn bytes(pool: &Pool, id: i64) -> Result<u64, Error> {
    let bytes = sqlx::query_scalar!(
        r#"SELECT pg_table_size(('telemetry.' || quote_ident(relation))::regclass) AS "bytes!"
           FROM telemetry.retired WHERE id = $1"#,
        id
    )
    .fetch_one(pool)
    .await?;
    number("bytes", bytes)
}

/// Writes down what an archive was given; false: the table is in other hands.
///
/// # Errors
/// When the database is away.
pub async fn mark_stored(
    pool: &Pool,
    id: i64,
    holder: Uuid,
    stored: &Stored,
) -> Result<bool, Error> {
    let done = sqlx::query!(
        "UPDATE telemetry.retired
         SET state = 'stored', object = $3, rows = $4, bytes = $5, plain_bytes = $6, sha256 = $7,
             stored_at = $8
         WHERE id = $1 AND claim = $2 AND state = 'retired'",
        id,
        holder,
        stored.object,
        super::stored(stored.rows),
        super::stored(stored.bytes),
        super::stored(stored.plain_bytes),
        stored.sha256,
        stored.at.0
    )
    .execute(pool)
    .await?;
    Ok(done.rows_affected() > 0)
}

/// Forgets what an archive was given: all of it is to be given again.
///
/// # Errors
/// When the database is away.
pub async fn reopen(pool: &Pool, id: i64, holder: Uuid) -> Result<(), Error> {
    sqlx::query!(
        "UPDATE telemetry.retired
         SET state = 'retired', object = NULL, rows = NULL, bytes = NULL, plain_bytes = NULL,
             sha256 = NULL, stored_at = NULL
         WHERE id = $1 AND claim = $2 AND state = 'stored'",
        id,
        holder
    )
    .execute(pool)
    .await?;
    Ok(())
}

/// Drops a table; with `is_archived` only if it has the rows that were stored.
///
/// # Errors
/// When somebody reads it, or the database is away.
pub async fn drop(
    pool: &Pool,
    id: i64,
    holder: Uuid,
    is_archived: bool,
    now: UnixMillis,
) -> Result<Dropped, Error> {
    let mut transaction = within(pool, DROP_TIMEOUT).await?;
    let said = sqlx::query_scalar!(
        r#"SELECT telemetry.drop_retired($1, $2, $3, $4) AS "said!""#,
        id,
        holder,
        is_archived,
        now.0
    )
    .fetch_one(&mut *transaction)
    .await?;
    let rows = sqlx::query_scalar!(
        r#"SELECT COALESCE(rows, 0) AS "rows!" FROM telemetry.retired WHERE id = $1"#,
        id
    )
    .fetch_one(&mut *transaction)
    .await?;
    crate::commit(transaction).await?;
    match said.as_str() {
        "dropped" => Ok(Dropped::Gone(number("rows", rows)?)),
        "changed" => Ok(Dropped::Changed),
        _ => Ok(Dropped::Lost),
    }
}

/// What waits.
///
/// # Errors
/// When the database is away.
pub async fn waiting(pool: &Pool) -> Result<Waiting, Error> {
    let row = sqlx::query!(
        r#"SELECT count(*) AS "tables!", min(retired_at) AS since
           FROM telemetry.retired WHERE state IN ('retired', 'stored')"#
    )
    .fetch_one(pool)
    .await?;
    Ok(Waiting {
        tables: number("count", row.tables)?,
        since: row.since.map(UnixMillis),
    })
}
