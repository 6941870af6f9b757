//! Periodic jobs: at most one per (schedule, slot), whoever asks and however often.

use model::{JobId, UnixMillis};

use super::{Queue, wake};
use crate::Error;

/// One slot of one schedule.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SlotJob {
    /// The schedule; also the unique key's last part.
    pub schedule: String,
    /// The slot's beginning.
    pub slot: UnixMillis,
    /// What to run.
    pub kind: String,
    /// Attempts before it is discarded.
    pub attempts_max: u32,
}

/// What became of a slot.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Occurrence {
    /// Its job is in the queue.
    Created(JobId),
    /// The previous slot's job still lives: this slot has none.
    Overlapped,
    /// Somebody already took this slot, or a later one.
    Taken,
}

impl Queue {
    /// The database's time: the clock that all replicas share.
    ///
    /// # Errors
    /// When the database is away.
    pub async fn now(&self) -> Result<UnixMillis, Error> {
        let now_ms = sqlx::query_scalar!(
            "SELECT (extract(epoch FROM clock_timestamp()) * 1000)::bigint AS \"now_ms!\""
        )
        .fetch_one(&self.pool)
        .await?;
        Ok(UnixMillis(now_ms))
    }

    /// Makes the job of a slot unless the slot is taken or the last job still lives.
    ///
    /// # Errors
    /// When the database is away.
    pub async fn enqueue_slot(&self, slot: &SlotJob) -> Result<Occurrence, Error> {
        let mut transaction = self.pool.begin().await?;
        // The row lock makes concurrent callers wait here, and the later ones find it taken.
        let advanced = sqlx::query!(
            "INSERT INTO queue.schedules AS s (name, last_slot) \
             VALUES ($1, to_timestamp($2::bigint / 1000.0)) \
             ON CONFLICT (name) DO UPDATE SET last_slot = EXCLUDED.last_slot, updated_at = now() \
             WHERE s.last_slot < EXCLUDED.last_slot",
            slot.schedule,
            slot.slot.0,
        )
        .execute(&mut *transaction)
        .await?;
        if advanced.rows_affected() == 0 {
            return Ok(Occurrence::Taken);
        }
        let id = sqlx::query_scalar!(
            "INSERT INTO queue.jobs \
                 (kind, state, attempts_max, run_at, unique_key, schedule, slot) \
             VALUES ($1, 'available', $2, now(), 'schedule:' || $3, $3, \
                     to_timestamp($4::bigint / 1000.0)) \
             ON CONFLICT DO NOTHING RETURNING id",
            slot.kind,
            i32::try_from(slot.attempts_max).unwrap_or(i32::MAX),
            slot.schedule,
            slot.slot.0,
        )
        .fetch_optional(&mut *transaction)
        .await?;
        if id.is_some() {
            wake::notify(&mut transaction).await?;
        }
        transaction.commit().await?;
        Ok(id.map_or(Occurrence::Overlapped, |id| Occurrence::Created(JobId(id))))
    }
}
