//! What sessions moved, by region and day.

use std::collections::BTreeMap;

use model::{Region, UnixMillis};

use super::{column, number};
use crate::{Error, Pool};

const DAY_MS: i64 = 86_400_000;

/// Bytes in and out of the sessions of each region on the `days` whole days (UTC) before `now`,
/// from its first session on, the oldest first. A session counts on the day that it began.
///
/// # Errors
/// When the database fails.
pub async fn by_day(
    pool: &Pool,
    days: u32,
    now: UnixMillis,
) -> Result<BTreeMap<Region, Vec<u64>>, Error> {
    let today = now.0.div_euclid(DAY_MS);
    let rows = sqlx::query!(
        r#"SELECT region, started_at / $3 AS "day!",
               sum(ingress_bytes + egress_bytes)::bigint AS "bytes!"
           FROM control.sessions WHERE started_at >= $1 AND started_at < $2
           GROUP BY 1, 2 ORDER BY 1, 2"#,
        (today - i64::from(days)) * DAY_MS,
        today * DAY_MS,
        DAY_MS
    )
    .fetch_all(pool)
    .await?;
    let mut regions: BTreeMap<Region, (i64, Vec<u64>)> = BTreeMap::new();
    for row in rows {
        let region = column("sessions.region", &row.region)?;
        let (next, bytes) = regions.entry(region).or_insert((row.day, Vec::new()));
        // Days without a session.
        bytes.extend((*next..row.day).map(|_| 0));
        bytes.push(number("bytes", row.bytes)?);
        *next = row.day + 1;
    }
    let regions = regions.into_iter().map(|(region, (next, mut bytes))| {
        bytes.extend((next..today).map(|_| 0));
        (region, bytes)
    });
    Ok(regions.collect())
}
