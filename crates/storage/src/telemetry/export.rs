//! Events as they are kept, a page after another.
//!
//! A page is found by the key of events, so that none is longer under way than the others, and no
//! snapshot stays open while somebody reads. Whoever reads page after page has each event that
//! was there from the first to the last once, in the order of the key.

use futures_util::TryStreamExt as _;
use model::UnixMillis;
use uuid::Uuid;

use crate::{Error, Pool};

/// Which events.
#[derive(Debug, Clone, Copy)]
pub struct Slice<'a> {
    /// Whose.
    pub app_id: i32,
    /// From when on, Unix microseconds.
    pub from_us: i64,
    /// Until when, without it.
    pub to_us: i64,
    /// Only events of this type.
    pub event_type: Option<&'a str>,
}

/// After which event a page begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Place {
    /// Its number.
    pub event_id: Uuid,
    /// When it happened, Unix microseconds.
    pub ts_us: i64,
}

impl Place {
    /// Before any event.
    pub const START: Self = Self {
        event_id: Uuid::nil(),
        ts_us: i64::MIN,
    };
}

/// What one page may have.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Events.
    pub events: u32,
    /// Bytes of data, but for the last event's.
    pub bytes: usize,
}

/// Some events.
#[derive(Debug, Default)]
pub struct Page {
    /// In the order of the key.
    pub events: Vec<Exported>,
    /// Whether the limit of bytes ended it.
    pub is_cut: bool,
}

/// An event with its context.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Exported {
    /// The app's own number of it.
    pub event_id: Uuid,
    /// When it happened, Unix microseconds.
    pub ts_us: i64,
    /// When it came.
    pub received_at: UnixMillis,
    /// What happened.
    pub event_type: String,
    /// Which kind of that.
    pub category: Option<String>,
    /// The rest, as JSON.
    pub data: Option<String>,
    /// Which program.
    pub service: Option<String>,
    /// Its version.
    pub service_version: Option<String>,
    /// What it is written in.
    pub language: Option<String>,
    /// In which version of that.
    pub language_version: Option<String>,
    /// Which version of the SDK sent it.
    pub sdk_version: Option<String>,
    /// The operating system.
    pub os: Option<String>,
    /// Its version.
    pub os_version: Option<String>,
    /// The processor's architecture.
    pub arch: Option<String>,
    /// Whether it ran for a build.
    pub ci: Option<bool>,
    /// Which shell it ran in.
    pub shell: Option<String>,
    /// Whose device, as the SDK hashes it.
    pub user_id: Option<String>,
    /// Which session of it.
    pub session_id: Option<String>,
}

/// The events of a slice after a place.
///
/// # Errors
/// When the database is away, or it took too long.
pub async fn page(
    pool: &Pool,
    slice: &Slice<'_>,
    after: Place,
    limits: Limits,
) -> Result<Page, Error> {
    let mut rows = sqlx::query!(
        r#"SELECT e.event_id, e.ts_us, e.received_at, e.event_type, e.category,
                  e.data::text AS data, c.service AS "service?",
                  c.service_version AS "service_version?", c.language AS "language?",
                  c.language_version AS "language_version?", c.sdk_version AS "sdk_version?",
                  c.os AS "os?", c.os_version AS "os_version?", c.arch AS "arch?", c.ci AS "ci?",
                  c.shell AS "shell?", c.user_id AS "user_id?", c.session_id AS "session_id?"
           FROM telemetry.events AS e
           LEFT JOIN telemetry.contexts AS c ON c.app_id = e.app_id AND c.id = e.context_id
           WHERE e.app_id = $1 AND e.ts_us >= $2 AND e.ts_us < $3
               AND ($4::text IS NULL OR e.event_type = $4) AND (e.ts_us, e.event_id) > ($5, $6)
           ORDER BY e.ts_us, e.event_id LIMIT $7"#,
        slice.app_id,
        slice.from_us,
        slice.to_us,
        slice.event_type,
        after.ts_us,
        after.event_id,
        i64::from(limits.events)
    )
    .fetch(pool);
    let (mut page, mut bytes) = (Page::default(), 0);
    while let Some(row) = rows.try_next().await? {
        bytes += row.data.as_ref().map_or(0, String::len);
        page.events.push(Exported {
            event_id: row.event_id,
            ts_us: row.ts_us,
            received_at: UnixMillis(row.received_at),
            event_type: row.event_type,
            category: row.category,
            data: row.data,
            service: row.service,
            service_version: row.service_version,
            language: row.language,
            language_version: row.language_version,
            sdk_version: row.sdk_version,
            os: row.os,
            os_version: row.os_version,
            arch: row.arch,
            ci: row.ci,
            shell: row.shell,
            user_id: row.user_id,
            session_id: row.session_id,
        });
        if bytes > limits.bytes {
            page.is_cut = true;
            break;
        }
    }
    Ok(page)
}

/// Which of these days (since 1970) have a partition of their own: events of the others lie
/// together.
///
/// # Errors
/// When the database is away.
pub async fn days(pool: &Pool, first: i32, last: i32) -> Result<Vec<i32>, Error> {
    let days = sqlx::query_scalar!(
        r#"SELECT day AS "day!" FROM generate_series($1::integer, $2::integer) AS day
           WHERE to_regclass('telemetry.events_' || to_char(date '1970-01-01' + day, 'YYYYMMDD'))
               IS NOT NULL
           ORDER BY day"#,
        first,
        last
    );
    Ok(days.fetch_all(pool).await?)
}
