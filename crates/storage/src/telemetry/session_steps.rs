//! What sessions and their links did, step by step.

use std::time::Duration;

use model::{NodeId, SessionId, UnixMillis};

use super::column;
use crate::{Error, Pool};

const DAY: Duration = Duration::from_secs(86_400);
/// The link of a row that is about the session as a whole.
const WHOLE: i64 = -1;

/// How long a step is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Width {
    /// Kept for days.
    TenSeconds,
    /// Kept for months.
    Minute,
}

impl Width {
    /// Both of them.
    pub const ALL: [Self; 2] = [Self::TenSeconds, Self::Minute];

    /// As a time.
    #[must_use]
    pub const fn duration(self) -> Duration {
        match self {
            Self::TenSeconds => Duration::from_secs(10),
            Self::Minute => Duration::from_secs(60),
        }
    }
}

/// What a session or one of its links did in one step, as one process saw it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Step {
    /// The session.
    pub session_id: SessionId,
    /// The link; none: the session as a whole.
    pub link: Option<u64>,
    /// When the step began, by the node's clock.
    pub at: UnixMillis,
    /// The node that reported it.
    pub node_id: NodeId,
    /// What it did.
    pub figures: Figures,
    /// What the link is.
    pub identity: Option<Identity>,
}

/// What was counted and measured in a step.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Figures {
    /// Seconds that were seen.
    pub samples: u32,
    /// Those of them with a publisher; of a link: with data.
    pub live_samples: u32,
    /// Payload from the publisher.
    pub bytes: u64,
    /// Payload to all players, retransmissions included.
    pub egress_bytes: u64,
    /// Data packets received.
    pub packets: u64,
    /// Packets seen missing.
    pub lost: u64,
    /// Missing ones given up.
    pub dropped: u64,
    /// Packets that came marked as sent again.
    pub retransmitted: u64,
    /// The mean round trip, when it was measured.
    pub rtt_us: Option<u32>,
    /// The longest of the round trips.
    pub rtt_us_max: Option<u32>,
    /// The mean jitter.
    pub jitter_us: Option<u32>,
    /// The most players at once.
    pub players_max: u32,
}

/// What a link is, as far as anybody knows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Identity {
    /// Who announces its address.
    pub carrier: Option<String>,
    /// The word for what it most likely is.
    pub link_type: String,
}

struct Row {
    session_id: String,
    link: i64,
    at: i64,
    node_id: String,
    samples: i32,
    live_samples: i32,
    bytes: i64,
    egress_bytes: i64,
    packets: i64,
    lost: i64,
    dropped: i64,
    retransmitted: i64,
    rtt_us: Option<i32>,
    rtt_us_max: Option<i32>,
    jitter_us: Option<i32>,
    players_max: i32,
    carrier: Option<String>,
    link_type: Option<String>,
}

impl TryFrom<Row> for Step {
    type Error = Error;

    fn try_from(row: Row) -> Result<Self, Error> {
        let count = |count: i64| u64::try_from(count).unwrap_or(0);
        let small = |count: i32| u32::try_from(count).unwrap_or(0);
        let carrier = row.carrier;
        let identity = row
            .link_type
            .map(|link_type| Identity { carrier, link_type });
        Ok(Self {
            session_id: column("session_id", &row.session_id)?,
            link: u64::try_from(row.link).ok(),
            at: UnixMillis(row.at),
            node_id: column("node_id", &row.node_id)?,
            figures: Figures {
                samples: small(row.samples),
                live_samples: small(row.live_samples),
                bytes: count(row.bytes),
                egress_bytes: count(row.egress_bytes),
                packets: count(row.packets),
                lost: count(row.lost),
                dropped: count(row.dropped),
                retransmitted: count(row.retransmitted),
                rtt_us: row.rtt_us.map(small),
                rtt_us_max: row.rtt_us_max.map(small),
                jitter_us: row.jitter_us.map(small),
                players_max: small(row.players_max),
            },
            identity,
        })
    }
}

/// A column each.
#[derive(Default)]
struct Columns<'a> {
    session_ids: Vec<&'a str>,
    links: Vec<i64>,
    ats: Vec<i64>,
    node_ids: Vec<&'a str>,
    samples: Vec<i32>,
    live_samples: Vec<i32>,
    bytes: Vec<i64>,
    egress_bytes: Vec<i64>,
    packets: Vec<i64>,
    lost: Vec<i64>,
    dropped: Vec<i64>,
    retransmitted: Vec<i64>,
    rtt_us: Vec<Option<i32>>,
    rtt_us_max: Vec<Option<i32>>,
    jitter_us: Vec<Option<i32>>,
    players_max: Vec<i32>,
    carriers: Vec<Option<&'a str>>,
    link_types: Vec<Option<&'a str>>,
}

impl<'a> Columns<'a> {
    fn of(steps: &[&'a Step]) -> Self {
        let mut columns = Self::default();
        steps.iter().for_each(|step| columns.push(step));
        columns
    }

    fn push(&mut self, step: &'a Step) {
        let count = |count: u64| i64::try_from(count).unwrap_or(i64::MAX);
        let small = |count: u32| i32::try_from(count).unwrap_or(i32::MAX);
        let figures = &step.figures;
        self.session_ids.push(step.session_id.as_str());
        self.links.push(step.link.map_or(WHOLE, count));
        self.ats.push(step.at.0);
        self.node_ids.push(step.node_id.as_str());
        self.samples.push(small(figures.samples));
        self.live_samples.push(small(figures.live_samples));
        self.bytes.push(count(figures.bytes));
        self.egress_bytes.push(count(figures.egress_bytes));
        self.packets.push(count(figures.packets));
        self.lost.push(count(figures.lost));
        self.dropped.push(count(figures.dropped));
        self.retransmitted.push(count(figures.retransmitted));
        self.rtt_us.push(figures.rtt_us.map(small));
        self.rtt_us_max.push(figures.rtt_us_max.map(small));
        self.jitter_us.push(figures.jitter_us.map(small));
        self.players_max.push(small(figures.players_max));
        let identity = step.identity.as_ref();
        self.carriers
            .push(identity.and_then(|identity| identity.carrier.as_deref()));
        self.link_types
            .push(identity.map(|identity| identity.link_type.as_str()));
    }
}

/// The statement into either table, and its columns.
macro_rules! insert {
    ($table:literal, $part:expr, $columns:expr) => {
        sqlx::query!(
            "INSERT INTO " + $table + " (session_id, link, at, part, node_id, samples, live_samples, \
                 bytes, egress_bytes, packets, lost, dropped, retransmitted, rtt_us, rtt_us_max, \
                 jitter_us, players_max, carrier, link_type) \
             SELECT session_id, link, at, $1, node_id, samples, live_samples, bytes, egress_bytes, \
                 packets, lost, dropped, retransmitted, rtt_us, rtt_us_max, jitter_us, players_max, \
                 carrier, link_type \
             FROM unnest($2::text[], $3::bigint[], $4::bigint[], $5::text[], $6::integer[], \
                 $7::integer[], $8::bigint[], $9::bigint[], $10::bigint[], $11::bigint[], \
                 $12::bigint[], $13::bigint[], $14::integer[], $15::integer[], $16::integer[], \
                 $17::integer[], $18::text[], $19::text[]) \
                 AS s (session_id, link, at, node_id, samples, live_samples, bytes, egress_bytes, \
                     packets, lost, dropped, retransmitted, rtt_us, rtt_us_max, jitter_us, \
                     players_max, carrier, link_type) \
             ON CONFLICT DO NOTHING",
            $part,
            &$columns.session_ids as &[&str],
            &$columns.links,
            &$columns.ats,
            &$columns.node_ids as &[&str],
            &$columns.samples,
            &$columns.live_samples,
            &$columns.bytes,
            &$columns.egress_bytes,
            &$columns.packets,
            &$columns.lost,
            &$columns.dropped,
            &$columns.retransmitted,
            &$columns.rtt_us as &[Option<i32>],
            &$columns.rtt_us_max as &[Option<i32>],
            &$columns.jitter_us as &[Option<i32>],
            &$columns.players_max,
            &$columns.carriers as &[Option<&str>],
            &$columns.link_types as &[Option<&str>],
        )
    };
}

/// Writes steps; those that this process (`part`) has written already stay as they are.
///
/// # Errors
/// When the database fails, or a day has no partition; then none was written.
pub async fn write(pool: &Pool, width: Width, part: i64, steps: &[&Step]) -> Result<(), Error> {
    let columns = Columns::of(steps);
    match width {
        Width::TenSeconds => {
            insert!("telemetry.session_10s", part, columns)
                .execute(pool)
                .await?
        }
        Width::Minute => {
            insert!("telemetry.session_1m", part, columns)
                .execute(pool)
                .await?
        }
    };
    Ok(())
}

/// The statement from either table.
macro_rules! select {
    ($table:literal, $session:expr, $limit:expr) => {
        sqlx::query_as!(
            Row,
            "SELECT session_id, link, at, node_id, samples, live_samples, bytes, egress_bytes, \
                 packets, lost, dropped, retransmitted, rtt_us, rtt_us_max, jitter_us, \
                 players_max, carrier, link_type \
             FROM "
                + $table
                + " WHERE session_id = $1 ORDER BY at, link, part LIMIT $2",
            $session,
            $limit
        )
    };
}

/// The steps of a session and its links, the oldest first, at most `limit` rows. A step that
/// two processes took part in comes in parts.
///
/// # Errors
/// When the database fails.
pub async fn of_session(
    pool: &Pool,
    width: Width,
    session: &SessionId,
    limit: u32,
) -> Result<Vec<Step>, Error> {
    let (session, limit) = (session.as_str(), i64::from(limit));
    let rows = match width {
        Width::TenSeconds => {
            select!("telemetry.session_10s", session, limit)
                .fetch_all(pool)
                .await?
        }
        Width::Minute => {
            select!("telemetry.session_1m", session, limit)
                .fetch_all(pool)
                .await?
        }
    };
    rows.into_iter().map(TryInto::try_into).collect()
}

/// How long steps are kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Kept {
    /// Those of ten seconds.
    pub ten_seconds: Duration,
    /// Those of a minute.
    pub minutes: Duration,
}

/// Makes room for steps from yesterday to tomorrow, as nodes' clocks have it, and drops the
/// days that need not be kept, but for those that somebody reads. Says how many were dropped.
///
/// # Errors
/// When the database is away, or another transaction is in the way.
pub async fn turn_days(pool: &Pool, kept: Kept, now: UnixMillis) -> Result<u32, Error> {
    sqlx::query!(
        "SELECT telemetry.make_session_days($1, $2)",
        now.minus(DAY).day(),
        now.plus(DAY).day()
    )
    .fetch_one(pool)
    .await?;
    let dropped = sqlx::query_scalar!(
        r#"SELECT telemetry.drop_session_days($1, $2) AS "dropped!""#,
        now.minus(kept.ten_seconds).day(),
        now.minus(kept.minutes).day()
    )
    .fetch_one(pool)
    .await?;
    Ok(u32::try_from(dropped).unwrap_or(0))
}
