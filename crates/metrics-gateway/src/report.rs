//! What a session did in all of its life, from what was kept of it.

mod html;
mod interruptions;
mod plot;
mod sums;

use std::collections::BTreeMap;

use model::{NodeId, SessionId, UnixMillis};
use serde::Serialize;
use storage::Pool;
use storage::telemetry::session_steps::{self, Step, Width};

pub(crate) use html::page;
use interruptions::Interruption;
use sums::Sums;

/// Rows that are read for one report: a day of ten seconds with a link or two.
const ROWS_MAX: u32 = 30_000;
/// Points of a report; longer steps are made of more.
const POINTS_MAX: i64 = 1_500;

/// A session from its first step to its last.
#[derive(Debug, Serialize)]
pub(crate) struct Report {
    session_id: SessionId,
    from: UnixMillis,
    to: UnixMillis,
    /// Of the rows that this was made from; interruptions are not told more exactly.
    resolution_s: u64,
    nodes: Vec<NodeId>,
    totals: Totals,
    links: Vec<LinkTotals>,
    interruptions: Vec<Interruption>,
    /// How long a point is.
    point_s: u64,
    points: Vec<Point>,
}

#[derive(Debug, Serialize)]
struct Totals {
    published_s: u32,
    bytes: u64,
    egress_bytes: u64,
    packets: u64,
    packets_lost: u64,
    packets_given_up: u64,
    packets_retransmitted: u64,
    loss_pct: Option<f64>,
    given_up_pct: Option<f64>,
    bitrate_bps_mean: Option<u64>,
    bitrate_bps_max: u64,
    rtt_ms_mean: Option<f64>,
    rtt_ms_max: Option<f64>,
    players_max: u32,
}

#[derive(Debug, Serialize)]
struct LinkTotals {
    number: u64,
    carrier: Option<String>,
    link_type: String,
    from: UnixMillis,
    to: UnixMillis,
    live_s: u32,
    bytes: u64,
    share_pct: f64,
    packets: u64,
    packets_lost: u64,
    packets_retransmitted: u64,
    loss_pct: Option<f64>,
    rtt_ms_mean: Option<f64>,
    rtt_ms_max: Option<f64>,
    jitter_ms_mean: Option<f64>,
}

#[derive(Debug, Serialize)]
struct Point {
    at: UnixMillis,
    bitrate_bps: u64,
    egress_bitrate_bps: u64,
    loss_pct: Option<f64>,
    rtt_ms: Option<f64>,
    players_max: u32,
    links: Vec<LinkPoint>,
}

#[derive(Debug, Serialize)]
struct LinkPoint {
    number: u64,
    bitrate_bps: u64,
}

/// One step of a session with its links, whoever took part in it.
#[derive(Debug, Default)]
struct Moment {
    session: Sums,
    links: BTreeMap<u64, Sums>,
}

/// Steps by their beginning.
type Moments = BTreeMap<i64, Moment>;

/// The report of a session; none when nothing was kept of it.
pub(crate) async fn of_session(
    pool: &Pool,
    session: &SessionId,
) -> Result<Option<Report>, storage::Error> {
    let minutes = session_steps::of_session(pool, Width::Minute, session, ROWS_MAX).await?;
    let tens = session_steps::of_session(pool, Width::TenSeconds, session, ROWS_MAX).await?;
    Ok(if is_whole(&tens, &minutes) {
        make(session, Width::TenSeconds, &tens)
    } else {
        make(session, Width::Minute, &minutes)
    })
}

/// Whether the finer steps have all of the session: they are not kept for as long, and a long
/// session has too many.
fn is_whole(tens: &[Step], minutes: &[Step]) -> bool {
    let Some(first) = tens.first() else {
        return minutes.is_empty();
    };
    let minute_ms = Width::Minute.duration().as_millis() as i64;
    let begins_with = |minute: &Step| first.at.0 < minute.at.0 + minute_ms;
    tens.len() < ROWS_MAX as usize && minutes.first().is_none_or(begins_with)
}

fn make(session: &SessionId, width: Width, steps: &[Step]) -> Option<Report> {
    let (first, last) = (steps.first()?.at, steps.last()?.at);
    let width_ms = width.duration().as_millis() as i64;
    let mut nodes: Vec<NodeId> = steps.iter().map(|step| step.node_id.clone()).collect();
    nodes.sort_unstable();
    nodes.dedup();
    let moments = moments(steps, width_ms);
    let point_ms = width_ms * ((last.0 - first.0) / width_ms / POINTS_MAX + 1);
    let points = self::moments(steps, point_ms);
    let point_s = (point_ms / 1000) as u64;
    let totals = totals(&moments, width_ms);
    Some(Report {
        session_id: session.clone(),
        from: first,
        to: UnixMillis(last.0 + width_ms),
        resolution_s: width.duration().as_secs(),
        nodes,
        links: links(steps, width_ms),
        interruptions: interruptions::find(&moments, width_ms),
        totals,
        point_s,
        points: points
            .iter()
            .map(|(at, moment)| point(*at, moment, point_s))
            .collect(),
    })
}

fn moments(steps: &[Step], width_ms: i64) -> Moments {
    let mut moments = Moments::new();
    for step in steps {
        let at = step.at.0.div_euclid(width_ms) * width_ms;
        let moment = moments.entry(at).or_default();
        let sums = match step.link {
            None => &mut moment.session,
            Some(number) => moment.links.entry(number).or_default(),
        };
        sums.add(&step.figures);
    }
    moments
}

fn totals(moments: &Moments, width_ms: i64) -> Totals {
    let mut sums = Sums::default();
    let mut bitrate_bps_max = 0;
    for moment in moments.values() {
        sums.join(&moment.session);
        bitrate_bps_max = bitrate_bps_max.max(rate(moment.session.bytes, width_ms as u64 / 1000));
    }
    Totals {
        published_s: sums.live_samples,
        bytes: sums.bytes,
        egress_bytes: sums.egress_bytes,
        packets: sums.packets,
        packets_lost: sums.lost,
        packets_given_up: sums.dropped,
        packets_retransmitted: sums.retransmitted,
        loss_pct: sums.loss_pct(),
        given_up_pct: sums.given_up_pct(),
        bitrate_bps_mean: (sums.live_samples > 0)
            .then(|| rate(sums.bytes, sums.live_samples.into())),
        bitrate_bps_max,
        rtt_ms_mean: sums.rtt_ms(),
        rtt_ms_max: sums.rtt_ms_max(),
        players_max: sums.players_max,
    }
}

fn links(steps: &[Step], width_ms: i64) -> Vec<LinkTotals> {
    let mut links: BTreeMap<u64, (Sums, &Step, &Step)> = BTreeMap::new();
    for step in steps {
        let Some(number) = step.link else { continue };
        let (sums, _, last) = links
            .entry(number)
            .or_insert_with(|| (Sums::default(), step, step));
        sums.add(&step.figures);
        *last = step;
    }
    let all: u64 = links.values().map(|(sums, ..)| sums.bytes).sum();
    let links = links.into_iter().map(|(number, (sums, first, last))| {
        let identity = last.identity.as_ref();
        LinkTotals {
            number,
            carrier: identity.and_then(|identity| identity.carrier.clone()),
            link_type: identity
                .map_or("unknown", |identity| &identity.link_type)
                .to_owned(),
            from: first.at,
            to: UnixMillis(last.at.0 + width_ms),
            live_s: sums.live_samples,
            bytes: sums.bytes,
            share_pct: sums::percent(sums.bytes, all).unwrap_or(0.0),
            packets: sums.packets,
            packets_lost: sums.lost,
            packets_retransmitted: sums.retransmitted,
            loss_pct: sums.loss_pct(),
            rtt_ms_mean: sums.rtt_ms(),
            rtt_ms_max: sums.rtt_ms_max(),
            jitter_ms_mean: sums.jitter_ms(),
        }
    });
    links.collect()
}

fn point(at: i64, moment: &Moment, point_s: u64) -> Point {
    let links = moment.links.iter().map(|(number, sums)| LinkPoint {
        number: *number,
        bitrate_bps: rate(sums.bytes, point_s),
    });
    let session = &moment.session;
    Point {
        at: UnixMillis(at),
        bitrate_bps: rate(session.bytes, point_s),
        egress_bitrate_bps: rate(session.egress_bytes, point_s),
        loss_pct: session.loss_pct(),
        rtt_ms: session.rtt_ms(),
        players_max: session.players_max,
        links: links.collect(),
    }
}

fn rate(bytes: u64, seconds: u64) -> u64 {
    bytes.saturating_mul(8).checked_div(seconds).unwrap_or(0)
}
