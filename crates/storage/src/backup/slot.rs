//! The replication slot that keeps the log until it is stored elsewhere.

use super::{Database, Lsn, lsn_column};
use crate::Error;

/// A replication slot, as it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Slot {
    /// From here on the log is kept. None: the server gave up keeping it, because of
    /// `max_slot_wal_keep_size`.
    pub kept_from: Option<Lsn>,
    /// How much of the log is kept, in bytes.
    pub kept_bytes: u64,
}

impl Database {
    /// The slot of that name, if there is one.
    ///
    /// # Errors
    /// When the server is away.
    pub async fn slot(&self, name: &str) -> Result<Option<Slot>, Error> {
        let row = sqlx::query!(
            "SELECT CASE WHEN wal_status = 'lost' THEN NULL ELSE restart_lsn::text END AS kept_from, \
                coalesce(pg_wal_lsn_diff(CASE WHEN pg_is_in_recovery() \
                    THEN pg_last_wal_replay_lsn() ELSE pg_current_wal_insert_lsn() END, \
                    restart_lsn), 0)::bigint AS \"kept_bytes!\" \
             FROM pg_replication_slots WHERE slot_name = $1 AND slot_type = 'physical'",
            name
        )
        .fetch_optional(&mut self.connect().await?)
        .await?;
        let Some(row) = row else { return Ok(None) };
        let kept_from = row.kept_from.as_deref();
        Ok(Some(Slot {
            kept_from: kept_from
                .map(|text| lsn_column("restart_lsn", text))
                .transpose()?,
            kept_bytes: row.kept_bytes.unsigned_abs(),
        }))
    }

    /// Makes a slot that keeps the log from now on.
    ///
    /// # Errors
    /// When there is one of that name, or the role may not.
    pub async fn create_slot(&self, name: &str) -> Result<(), Error> {
        sqlx::query!(
            "SELECT lsn::text FROM pg_create_physical_replication_slot($1::text::name, true)",
            name
        )
        .fetch_one(&mut self.connect().await?)
        .await?;
        Ok(())
    }

    /// Removes a slot; the server may forget what it kept.
    ///
    /// # Errors
    /// When it is in use, or the server is away.
    pub async fn drop_slot(&self, name: &str) -> Result<(), Error> {
        sqlx::query!(
            "SELECT pg_drop_replication_slot(slot_name)::text FROM pg_replication_slots \
             WHERE slot_name = $1",
            name
        )
        .fetch_optional(&mut self.connect().await?)
        .await?;
        Ok(())
    }

    /// Lets the server forget the log before `lsn`.
    ///
    /// # Errors
    /// When there is no such slot, or the server is away.
    pub async fn advance_slot(&self, name: &str, lsn: Lsn) -> Result<(), Error> {
        sqlx::query!(
            "SELECT slot_name::text FROM pg_replication_slot_advance($1::text::name, $2::text::pg_lsn)",
            name,
            lsn.to_string()
        )
        .fetch_one(&mut self.connect().await?)
        .await?;
        Ok(())
    }

    /// Ends the log's current segment, and says where the next one begins. Something is
    /// written into it first, so that a recovery which is to stop before here finds a place.
    ///
    /// # Errors
    /// When the role may not, or the server is away.
    pub async fn end_segment(&self, segment_bytes: u64) -> Result<Lsn, Error> {
        let mut connection = self.connect().await?;
        sqlx::query!("SELECT pg_logical_emit_message(false, 'streamhaul', 'backup')::text")
            .fetch_one(&mut connection)
            .await?;
        let end = sqlx::query_scalar!("SELECT pg_switch_wal()::text AS \"it!\"")
            .fetch_one(&mut connection)
            .await?;
        Ok(lsn_column("pg_switch_wal", &end)?.round_up(segment_bytes))
    }
}
