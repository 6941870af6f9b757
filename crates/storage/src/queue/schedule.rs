//! Periodic jobs: at most one per (schedule, slot), whoever asks and however often.

use model::{JobId, UnixMillis};

use super::{Enqueued, Lead, NewJob, Queue, enqueue, wake};
use crate::Error;

/// One slot of one schedule.
#[derive(Debug, Clone, PartialEq)]
pub struct SlotJob {
    /// The schedule.
    pub schedule: String,
    /// The slot's beginning.
    pub slot: UnixMillis,
    /// Whether it has its job also while an earlier slot's lives.
    pub may_overlap: bool,
    /// What to run; its keys and its time are the slot's.
    pub job: NewJob,
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
    /// The caller does not lead any more.
    Deposed,
}

/// What is known of a schedule.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ScheduleState {
    /// Its name.
    pub name: String,
    /// The last slot that was dealt with.
    pub last_slot: UnixMillis,
    /// When a job of it last completed.
    pub last_success: Option<UnixMillis>,
}

impl Queue {
    /// What is known of every schedule that ever had a slot, or was run.
    ///
    /// # Errors
    /// When the database is away.
    pub async fn schedules(&self) -> Result<Vec<ScheduleState>, Error> {
        let rows = sqlx::query!(
            "SELECT name, (extract(epoch FROM last_slot) * 1000)::bigint AS \"last_slot_ms!\", \
                    (extract(epoch FROM last_success_at) * 1000)::bigint AS last_success_ms \
             FROM queue.schedules ORDER BY name"
        )
        .fetch_all(&self.pool)
        .await?;
        let states = rows.into_iter().map(|row| ScheduleState {
            name: row.name,
            last_slot: UnixMillis(row.last_slot_ms),
            last_success: row.last_success_ms.map(UnixMillis),
        });
        Ok(states.collect())
    }

    /// Makes the job of a slot, unless the caller leads no more, the slot is taken, or the last
    /// job still lives.
    ///
    /// # Errors
    /// When the database is away.
    pub async fn enqueue_slot(&self, lead: &Lead, slot: &SlotJob) -> Result<Occurrence, Error> {
        let mut transaction = self.pool.begin().await?;
        // The lock holds a new leader up until this slot is dealt with.
        let leads = sqlx::query_scalar!(
            "SELECT epoch FROM queue.leaders \
             WHERE name = $1 AND holder = $2 AND epoch = $3 \
               AND expires_at > coalesce(to_timestamp($4::bigint / 1000.0), clock_timestamp()) \
             FOR SHARE",
            lead.name,
            lead.holder,
            lead.epoch,
            self.own_now_ms(),
        )
        .fetch_optional(&mut *transaction)
        .await?;
        if leads.is_none() {
            return Ok(Occurrence::Deposed);
        }
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
        let unique_key = if slot.may_overlap {
            format!("schedule:{}:{}", slot.schedule, slot.slot.0)
        } else {
            unique_key(&slot.schedule)
        };
        let id = sqlx::query_scalar!(
            "INSERT INTO queue.jobs \
                 (kind, state, attempts_max, run_at, unique_key, schedule, slot, queue, priority, \
                  arguments) \
             VALUES ($1, 'available', $2, now(), $3, $4, to_timestamp($5::bigint / 1000.0), \
                     $6, $7, $8) \
             ON CONFLICT DO NOTHING RETURNING id",
            slot.job.kind,
            i32::try_from(slot.job.attempts_max).unwrap_or(i32::MAX),
            unique_key,
            slot.schedule,
            slot.slot.0,
            slot.job.queue,
            i16::from(slot.job.priority),
            slot.job.arguments,
        )
        .fetch_optional(&mut *transaction)
        .await?;
        if id.is_some() {
            wake::notify(&mut transaction, &slot.job.queue).await?;
        }
        transaction.commit().await?;
        Ok(id.map_or(Occurrence::Overlapped, |id| Occurrence::Created(JobId(id))))
    }

    /// Makes a job of a schedule that somebody asked for beside its slots, or finds the one that
    /// still lives. Until the schedule has a slot, it stands for the `current` one's.
    ///
    /// # Errors
    /// When the database is away or refuses the job.
    pub async fn enqueue_run(
        &self,
        schedule: &str,
        current: UnixMillis,
        job: NewJob,
    ) -> Result<Enqueued, Error> {
        let mut transaction = self.pool.begin().await?;
        // What the job does is written down here, so the row must be there when it is done.
        sqlx::query!(
            "INSERT INTO queue.schedules (name, last_slot) \
             VALUES ($1, to_timestamp($2::bigint / 1000.0)) ON CONFLICT DO NOTHING",
            schedule,
            current.0,
        )
        .execute(&mut *transaction)
        .await?;
        let job = NewJob {
            unique_key: Some(unique_key(schedule)),
            ..job
        };
        let mut enqueued = enqueue(&mut transaction, &job).await?;
        if let Enqueued::Created(made) = &mut enqueued {
            sqlx::query!(
                "UPDATE queue.jobs SET schedule = $2 WHERE id = $1",
                made.id.0,
                schedule,
            )
            .execute(&mut *transaction)
            .await?;
            made.schedule = Some(schedule.to_owned());
        }
        transaction.commit().await?;
        Ok(enqueued)
    }
}

/// Held by the one job of a schedule, unless its slots may overlap.
fn unique_key(schedule: &str) -> String {
    format!("schedule:{schedule}")
}
