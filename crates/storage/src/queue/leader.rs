//! One replica does what only one may do.
//!
//! The row says who, until when, and in which epoch; the epoch grows with every change of
//! holder. A leader that slept past its time is not one any more, whatever it believes: what it
//! writes names its epoch, in the statement that writes it.

use std::time::Duration;

use super::{Queue, wake};
use crate::Error;

/// Proof of leadership.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lead {
    /// Of what.
    pub name: String,
    /// Who leads.
    pub holder: String,
    /// Grows with every change of holder.
    pub epoch: i64,
}

impl Queue {
    /// Makes `holder` the leader for `lasting`, or leaves it that for as long from now; none
    /// while another one is.
    ///
    /// # Errors
    /// When the database is away.
    pub async fn elect(
        &self,
        name: &str,
        holder: &str,
        lasting: Duration,
    ) -> Result<Option<Lead>, Error> {
        let epoch = sqlx::query_scalar!(
            "WITH clock AS ( \
                 SELECT coalesce(to_timestamp($4::bigint / 1000.0), now()) AS now) \
             INSERT INTO queue.leaders AS l (name, holder, epoch, elected_at, expires_at) \
             SELECT $1, $2, 1, now, now + make_interval(secs => $3) FROM clock \
             ON CONFLICT (name) DO UPDATE SET \
                 holder = EXCLUDED.holder, \
                 epoch = l.epoch + CASE WHEN l.holder = EXCLUDED.holder \
                                         AND l.expires_at > EXCLUDED.elected_at THEN 0 ELSE 1 END, \
                 elected_at = CASE WHEN l.holder = EXCLUDED.holder THEN l.elected_at \
                                   ELSE EXCLUDED.elected_at END, \
                 expires_at = greatest(l.expires_at, EXCLUDED.expires_at) \
             WHERE l.holder = EXCLUDED.holder OR l.expires_at <= EXCLUDED.elected_at \
             RETURNING epoch",
            name,
            holder,
            lasting.as_secs_f64(),
            self.own_now_ms(),
        )
        .fetch_optional(&self.pool)
        .await?;
        Ok(epoch.map(|epoch| Lead {
            name: name.to_owned(),
            holder: holder.to_owned(),
            epoch,
        }))
    }

    /// Gives leadership up, so that nobody has to wait for its end; says whether it was held.
    ///
    /// # Errors
    /// When the database is away.
    pub async fn resign(&self, lead: &Lead) -> Result<bool, Error> {
        let mut transaction = self.pool.begin().await?;
        let done = sqlx::query!(
            "UPDATE queue.leaders SET expires_at = '-infinity', epoch = epoch + 1 \
             WHERE name = $1 AND holder = $2 AND epoch = $3",
            lead.name,
            lead.holder,
            lead.epoch,
        )
        .execute(&mut *transaction)
        .await?;
        wake::notify_resigned(&mut transaction).await?;
        transaction.commit().await?;
        Ok(done.rows_affected() == 1)
    }
}
