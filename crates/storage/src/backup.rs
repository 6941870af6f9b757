//! What a backup asks of a live server: where its log is, that it keeps the log until it is
//! stored elsewhere, and what is in the tables at one instant.
//!
//! Every call has a connection of its own, straight to the server: a proxy that pools
//! transactions can hold neither a lock nor a snapshot.

mod census;
mod lsn;
mod mark;
mod records;
mod slot;

use std::str::FromStr;

use model::UnixMillis;
use sqlx::postgres::PgConnectOptions;
use sqlx::{Connection as _, PgConnection};

pub use census::TableCount;
pub use lsn::{InvalidLsn, Lsn};
pub use mark::Mark;
pub use records::{Made, Proof, Record, records};
pub use slot::Slot;

use crate::{Error, InvalidUrl};

/// Rows look the same as text wherever they are read.
const TEXT_FORMS: [(&str, &str); 6] = [
    ("TimeZone", "UTC"),
    ("DateStyle", "ISO"),
    ("IntervalStyle", "postgres"),
    ("extra_float_digits", "1"),
    ("bytea_output", "hex"),
    ("search_path", "pg_catalog"),
];

/// A server that backups are made of, or that was restored from one.
#[derive(Debug, Clone)]
pub struct Database {
    options: PgConnectOptions,
}

/// What a backup must know of its server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Server {
    /// Which cluster it is: the same for its replicas and for what is restored from it.
    pub system_identifier: String,
    /// Its major version.
    pub major: u32,
    /// The size of a segment of its log, in bytes.
    pub segment_bytes: u64,
    /// Which of the server's histories it writes; 0 where it is a replica.
    pub timeline: u32,
    /// The size of all its databases, in bytes.
    pub bytes: u64,
    /// The database that we are connected to.
    pub database: String,
    /// The role that we are.
    pub role: String,
    /// Whether it is a replica, which can neither mark nor switch its log.
    pub is_replica: bool,
    /// What time it is there.
    pub now: UnixMillis,
    /// The end of its log.
    pub lsn: Lsn,
}

/// What only one process does at a time, over all replicas.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exclusive {
    /// Making a base backup.
    Backup,
    /// Taking the log away.
    Log,
}

impl Exclusive {
    const fn key(self) -> i64 {
        match self {
            Self::Backup => 0x7368_6261_7365,
            Self::Log => 0x7368_7761_6c00,
        }
    }
}

/// Held for as long as it is [`Exclusive`]; its end, however it comes, lets go.
#[derive(Debug)]
pub struct Guard {
    _connection: PgConnection,
}

impl Database {
    /// The database at `url`. Connects on use.
    ///
    /// # Errors
    /// When `url` is not a PostgreSQL URL.
    pub fn new(url: &str) -> Result<Self, InvalidUrl> {
        let options = crate::pool::options("backup", url)?;
        Ok(Self {
            options: options.options(TEXT_FORMS),
        })
    }

    async fn connect(&self) -> Result<PgConnection, Error> {
        Ok(PgConnection::connect_with(&self.options).await?)
    }

    /// Looks at the server.
    ///
    /// # Errors
    /// When it is away.
    pub async fn server(&self) -> Result<Server, Error> {
        let row = sqlx::query!(
            "SELECT (SELECT system_identifier::text FROM pg_control_system()) AS \"system_identifier!\", \
                current_setting('server_version_num')::int / 10000 AS \"major!\", \
                (SELECT setting::bigint FROM pg_settings WHERE name = 'wal_segment_size') \
                    AS \"segment_bytes!\", \
                CASE WHEN pg_is_in_recovery() THEN '' \
                    ELSE pg_walfile_name(pg_current_wal_insert_lsn()) END AS \"segment!\", \
                (SELECT sum(pg_database_size(oid))::bigint FROM pg_database WHERE datallowconn) \
                    AS \"bytes!\", \
                current_database()::text AS \"database!\", current_user::text AS \"role!\", \
                pg_is_in_recovery() AS \"is_replica!\", \
                (extract(epoch FROM clock_timestamp()) * 1000)::bigint AS \"now!\", \
                CASE WHEN pg_is_in_recovery() THEN pg_last_wal_replay_lsn() \
                    ELSE pg_current_wal_insert_lsn() END::text AS \"lsn!\""
        )
        .fetch_one(&mut self.connect().await?)
        .await?;
        Ok(Server {
            system_identifier: row.system_identifier,
            major: row.major.unsigned_abs(),
            segment_bytes: row.segment_bytes.unsigned_abs(),
            timeline: timeline(&row.segment),
            bytes: row.bytes.unsigned_abs(),
            database: row.database,
            role: row.role,
            is_replica: row.is_replica,
            now: UnixMillis(row.now),
            lsn: lsn_column("lsn", &row.lsn)?,
        })
    }

    /// Takes the guard of `what`. None: another process has it.
    ///
    /// # Errors
    /// When the server is away.
    pub async fn guard(&self, what: Exclusive) -> Result<Option<Guard>, Error> {
        let mut connection = self.connect().await?;
        let taken = sqlx::query_scalar!("SELECT pg_try_advisory_lock($1) AS \"it!\"", what.key())
            .fetch_one(&mut connection)
            .await?;
        Ok(taken.then_some(Guard {
            _connection: connection,
        }))
    }
}

/// The first eight digits of a segment's name.
fn timeline(segment: &str) -> u32 {
    let digits = segment.get(..8).unwrap_or_default();
    u32::from_str_radix(digits, 16).unwrap_or(0)
}

fn lsn_column(column: &'static str, text: &str) -> Result<Lsn, Error> {
    Lsn::from_str(text).map_err(|_| Error::Row {
        column,
        value: text.to_owned(),
    })
}
