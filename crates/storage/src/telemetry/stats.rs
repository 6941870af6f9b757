//! What people ask of events: numbers in steps of time, told apart by groups.

use super::{MINUTE_US, number, stored};
use crate::{Error, Pool};

/// What is counted, and how it is told apart.
#[derive(Debug, Clone, Copy)]
pub struct Scope<'a> {
    /// Whose.
    pub app_id: i32,
    /// From when on, minutes since 1970.
    pub from_minute: i64,
    /// How long a step is, minutes.
    pub step_minutes: u32,
    /// How many there are.
    pub steps: u32,
    /// Only events of this type.
    pub event_type: Option<&'a str>,
    /// By what events are told apart.
    pub by: By,
    /// How many groups are: those with the most. The rest is one.
    pub groups_max: u32,
}

/// By what events are told apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum By {
    /// By nothing: all are one group without a name.
    Nothing,
    /// What happened.
    Type,
    /// The program's version.
    Version,
    /// The operating system.
    Os,
}

/// Who is counted once.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Of {
    /// A device, as the SDK hashes it.
    User,
    /// One of its sessions.
    Session,
}

/// The number of one group in one step.
#[derive(Debug, Clone, PartialEq)]
pub struct Cell<T> {
    /// Which group; none: the rest.
    pub group: Option<String>,
    /// Which step; none: all of them together.
    pub step: Option<u32>,
    /// The number.
    pub value: T,
}

/// How values lie.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Quantiles {
    /// How many there are.
    pub samples: u64,
    /// The median, between two values if need be.
    pub p50: f64,
    /// What 95 % are below.
    pub p95: f64,
    /// What 99 % are below.
    pub p99: f64,
}

impl By {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Nothing => "nothing",
            Self::Type => "type",
            Self::Version => "version",
            Self::Os => "os",
        }
    }
}

/// Events, from the sums that are kept by the minute.
///
/// # Errors
/// When the database is away, or it took too long.
pub async fn counts(pool: &Pool, scope: &Scope<'_>) -> Result<Vec<Cell<u64>>, Error> {
    let rows = sqlx::query!(
        r#"WITH found AS (
               SELECT ((minute - $2::bigint) / $3::bigint)::integer AS step,
                      CASE $5::text WHEN 'type' THEN event_type WHEN 'version' THEN service_version
                                    WHEN 'os' THEN os ELSE '' END AS name,
                      sum(events) AS events
               FROM telemetry.rollups
               WHERE app_id = $1 AND minute >= $2::bigint
                   AND minute < $2::bigint + $3::bigint * $4::bigint
                   AND ($6::text IS NULL OR event_type = $6)
               GROUP BY 1, 2
           ), largest AS (
               SELECT name FROM found GROUP BY name
               ORDER BY sum(events) DESC, name COLLATE "C" LIMIT $7
           )
           SELECT largest.name AS "name?", found.step AS "step?", sum(found.events)::bigint AS "events!"
           FROM found LEFT JOIN largest USING (name)
           GROUP BY GROUPING SETS ((largest.name), (largest.name, found.step))"#,
        scope.app_id,
        scope.from_minute,
        i64::from(scope.step_minutes),
        i64::from(scope.steps),
        scope.by.as_str(),
        scope.event_type,
        i64::from(scope.groups_max)
    )
    .fetch_all(pool)
    .await?;
    rows.into_iter()
        .map(|row| cell(row.name, row.step, number("sum", row.events)?))
        .collect()
}

/// Who sent events, each counted once in a step, and once in all of them.
///
/// # Errors
/// When the database is away, or it took too long.
pub async fn uniques(pool: &Pool, scope: &Scope<'_>, of: Of) -> Result<Vec<Cell<u64>>, Error> {
    let rows = sqlx::query!(
        r#"WITH found AS (
               SELECT DISTINCT ((e.ts_us - $2::bigint) / $3::bigint)::integer AS step,
                      CASE $5::text WHEN 'type' THEN e.event_type
                                    WHEN 'version' THEN coalesce(c.service_version, '')
                                    WHEN 'os' THEN coalesce(c.os, '') ELSE '' END AS name,
                      CASE WHEN $8::boolean THEN c.user_id ELSE c.session_id END AS who
               FROM telemetry.events AS e
               LEFT JOIN telemetry.contexts AS c ON c.app_id = e.app_id AND c.id = e.context_id
               WHERE e.app_id = $1 AND e.ts_us >= $2::bigint
                   AND e.ts_us < $2::bigint + $3::bigint * $4::bigint
                   AND ($6::text IS NULL OR e.event_type = $6)
           ), largest AS (
               SELECT name FROM found WHERE who IS NOT NULL GROUP BY name
               ORDER BY count(DISTINCT who) DESC, name COLLATE "C" LIMIT $7
           )
           SELECT largest.name AS "name?", found.step AS "step?", count(DISTINCT found.who) AS "who!"
           FROM found LEFT JOIN largest USING (name)
           WHERE found.who IS NOT NULL
           GROUP BY GROUPING SETS ((largest.name), (largest.name, found.step))"#,
        scope.app_id,
        scope.begins_us(),
        scope.step_us(),
        i64::from(scope.steps),
        scope.by.as_str(),
        scope.event_type,
        i64::from(scope.groups_max),
        of == Of::User
    )
    .fetch_all(pool)
    .await?;
    rows.into_iter()
        .map(|row| cell(row.name, row.step, number("count", row.who)?))
        .collect()
}

/// How the numbers lie that events have at `path` of their data. What is no number, or so large
/// or small that a double cannot hold it, is none.
///
/// # Errors
/// When the database is away, or it took too long.
pub async fn quantiles(
    pool: &Pool,
    scope: &Scope<'_>,
    path: &[String],
) -> Result<Vec<Cell<Quantiles>>, Error> {
    let rows = sqlx::query!(
        r#"WITH found AS (
               SELECT step, name,
                      CASE WHEN jsonb_typeof(member) = 'number' THEN
                          CASE WHEN member::numeric = 0 OR abs(member::numeric) BETWEEN 1e-300 AND 1e300
                               THEN member::double precision END
                      END AS value
               FROM (
                   SELECT ((e.ts_us - $2::bigint) / $3::bigint)::integer AS step,
                          CASE $5::text WHEN 'type' THEN e.event_type
                                        WHEN 'version' THEN coalesce(c.service_version, '')
                                        WHEN 'os' THEN coalesce(c.os, '') ELSE '' END AS name,
                          e.data #> $8::text[] AS member
                   FROM telemetry.events AS e
                   LEFT JOIN telemetry.contexts AS c ON c.app_id = e.app_id AND c.id = e.context_id
                   WHERE e.app_id = $1 AND e.ts_us >= $2::bigint
                       AND e.ts_us < $2::bigint + $3::bigint * $4::bigint
                       AND ($6::text IS NULL OR e.event_type = $6)
               ) AS members
           ), largest AS (
               SELECT name FROM found WHERE value IS NOT NULL GROUP BY name
               ORDER BY count(*) DESC, name COLLATE "C" LIMIT $7
           )
           SELECT largest.name AS "name?", found.step AS "step?", count(*) AS "samples!",
                  percentile_cont(0.50) WITHIN GROUP (ORDER BY value) AS "p50!",
                  percentile_cont(0.95) WITHIN GROUP (ORDER BY value) AS "p95!",
                  percentile_cont(0.99) WITHIN GROUP (ORDER BY value) AS "p99!"
           FROM found LEFT JOIN largest USING (name)
           WHERE value IS NOT NULL
           GROUP BY GROUPING SETS ((largest.name), (largest.name, found.step))"#,
        scope.app_id,
        scope.begins_us(),
        scope.step_us(),
        i64::from(scope.steps),
        scope.by.as_str(),
        scope.event_type,
        i64::from(scope.groups_max),
        path
    )
    .fetch_all(pool)
    .await?;
    rows.into_iter()
        .map(|row| {
            let quantiles = Quantiles {
                samples: number("count", row.samples)?,
                p50: row.p50,
                p95: row.p95,
                p99: row.p99,
            };
            cell(row.name, row.step, quantiles)
        })
        .collect()
}

/// What an app sent on one day.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Day {
    /// Days since 1970 (UTC), by when it came.
    pub day: i32,
    /// Events that were new.
    pub events: u64,
    /// Events that were there already.
    pub duplicates: u64,
    /// What was no event.
    pub quarantined: u64,
}

/// What an app sent on each day since one, the oldest first; days without anything are left out.
///
/// # Errors
/// When the database is away.
pub async fn usage(pool: &Pool, app_id: i32, since_day: i32) -> Result<Vec<Day>, Error> {
    let rows = sqlx::query!(
        r#"SELECT day, sum(events)::bigint AS "events!", sum(duplicates)::bigint AS "duplicates!",
                  sum(quarantined)::bigint AS "quarantined!"
           FROM telemetry.app_usage WHERE app_id = $1 AND day >= $2 GROUP BY day ORDER BY day"#,
        app_id,
        since_day
    )
    .fetch_all(pool)
    .await?;
    rows.into_iter()
        .map(|row| {
            Ok(Day {
                day: row.day,
                events: number("app_usage.events", row.events)?,
                duplicates: number("app_usage.duplicates", row.duplicates)?,
                quarantined: number("app_usage.quarantined", row.quarantined)?,
            })
        })
        .collect()
}

impl Scope<'_> {
    fn begins_us(&self) -> i64 {
        self.from_minute.saturating_mul(MINUTE_US)
    }

    fn step_us(&self) -> i64 {
        stored(u64::from(self.step_minutes)).saturating_mul(MINUTE_US)
    }
}

fn cell<T>(group: Option<String>, step: Option<i32>, value: T) -> Result<Cell<T>, Error> {
    let step = step.map(|step| number("step", step)).transpose()?;
    Ok(Cell { group, step, value })
}
