//! One second of one session, as viewers get it.

use model::live::Link;
use model::telemetry::{NodeReport, PlayerSample, PublisherSample, SessionSample};
use model::{NodeId, UnixMillis};
use serde::Serialize;

/// The most players whose legs a point lists; the others are only counted.
const PLAYERS_LISTED_MAX: usize = 64;

/// One second of one session.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(crate) struct Point {
    /// The node's clock; also the event's id.
    pub(crate) observed_at: UnixMillis,
    pub(crate) node_id: NodeId,
    pub(crate) publishing: bool,
    /// From the publisher's byte counter; absent when there is nothing to compare with.
    pub(crate) ingress_bitrate_bps: Option<u64>,
    /// From all players' byte counters.
    pub(crate) egress_bitrate_bps: Option<u64>,
    pub(crate) publisher: Option<PublisherSample>,
    pub(crate) players_total: usize,
    pub(crate) players: Box<[PlayerSample]>,
    /// Of a publisher that bonds.
    pub(crate) links: Box<[Link]>,
}

impl Point {
    /// Makes a point; rates come from the counters of `before`, which is the
    /// point before of the same boot.
    pub(crate) fn new(report: &NodeReport, sample: &SessionSample, before: Option<&Self>) -> Self {
        let listed = sample.players.len().min(PLAYERS_LISTED_MAX);
        let known = before.map_or(&[][..], |before| &before.links);
        let links = sample.links.iter();
        let mut point = Self {
            observed_at: report.observed_at,
            node_id: report.node_id.clone(),
            publishing: sample.publishing,
            ingress_bitrate_bps: None,
            egress_bitrate_bps: None,
            publisher: sample.publisher,
            players_total: sample.players.len(),
            players: sample.players[..listed].into(),
            links: links.map(|link| Link::new(link, known)).collect(),
        };
        if let Some(before) = before {
            point.ingress_bitrate_bps = ingress(before, &point);
            point.egress_bitrate_bps = egress(before, &point);
        }
        point
    }

    /// What it takes of the memory that histories share.
    pub(crate) fn bytes(&self) -> usize {
        let lists = size_of_val(&*self.players) + size_of_val(&*self.links);
        size_of::<Self>() + self.node_id.as_str().len() + lists
    }
}

fn ingress(before: &Point, now: &Point) -> Option<u64> {
    let (old, new) = (before.publisher.as_ref()?, now.publisher.as_ref()?);
    if new.uptime_ms < old.uptime_ms {
        return None; // Another connection: its counter starts anew.
    }
    rate(new.bytes_total.checked_sub(old.bytes_total)?, before, now)
}

fn egress(before: &Point, now: &Point) -> Option<u64> {
    let mut players = before.players.iter().chain(&now.players);
    let bytes = if players.all(|player| player.player_id != 0) {
        sent_by_id(before, now)
    } else {
        sent_by_place(before, now)?
    };
    rate(bytes, before, now)
}

/// Who came in between counts whole, who went not at all.
fn sent_by_id(before: &Point, now: &Point) -> u64 {
    let elapsed_ms = now.observed_at.since(before.observed_at).as_millis();
    let sent = now.players.iter().map(|new| {
        let mut players = before.players.iter();
        match players.find(|old| old.player_id == new.player_id) {
            Some(old) => new.bytes_total.saturating_sub(old.bytes_total),
            None if u128::from(new.uptime_ms) <= elapsed_ms => new.bytes_total,
            None => 0, // It was not listed before.
        }
    });
    sent.fold(0, u64::saturating_add)
}

/// Nodes that name no players: only the same ones in the same order compare.
fn sent_by_place(before: &Point, now: &Point) -> Option<u64> {
    if before.players.len() != now.players.len() {
        return None;
    }
    let mut bytes = 0_u64;
    for (old, new) in before.players.iter().zip(&now.players) {
        if new.uptime_ms < old.uptime_ms {
            return None;
        }
        bytes = bytes.checked_add(new.bytes_total.checked_sub(old.bytes_total)?)?;
    }
    Some(bytes)
}

fn rate(bytes: u64, before: &Point, now: &Point) -> Option<u64> {
    let elapsed_ms = now.observed_at.since(before.observed_at).as_millis();
    let bits_per_second = (u128::from(bytes) * 8000).checked_div(elapsed_ms)?;
    u64::try_from(bits_per_second).ok()
}

#[cfg(test)]
pub(crate) mod tests {
    use model::SessionId;
    use model::telemetry::NodeSample;

    use super::*;

    pub(crate) fn report(observed_at_ms: i64, boot_id: &str) -> NodeReport {
        NodeReport {
            node_id: NodeId::parse("nod_1").unwrap(),
            boot_id: boot_id.to_owned(),
            observed_at: UnixMillis(observed_at_ms),
            node: NodeSample::default(),
            sessions: Vec::new(),
        }
    }

    pub(crate) fn sample(session: &str, bytes_total: u64, uptime_ms: u64) -> SessionSample {
        SessionSample {
            session_id: SessionId::parse(session).unwrap(),
            publishing: true,
            publisher: Some(PublisherSample {
                bytes_total,
                uptime_ms,
                ..PublisherSample::default()
            }),
            players: vec![PlayerSample {
                bytes_total: bytes_total * 2,
                uptime_ms,
                ..PlayerSample::default()
            }],
            links: Vec::new(),
        }
    }

    fn rates(
        old: &SessionSample,
        new: &SessionSample,
        apart_ms: i64,
    ) -> (Option<u64>, Option<u64>) {
        let before = Point::new(&report(1000, "b"), old, None);
        let point = Point::new(&report(1000 + apart_ms, "b"), new, Some(&before));
        (point.ingress_bitrate_bps, point.egress_bitrate_bps)
    }

    #[test]
    fn rates_come_from_counters_and_the_nodes_clock() {
        let (old, new) = (sample("ses_1", 1000, 1000), sample("ses_1", 2000, 3000));
        assert_eq!(rates(&old, &new, 2000), (Some(4000), Some(8000)));
    }

    #[test]
    fn counters_that_began_anew_give_no_rate() {
        let old = sample("ses_1", 1000, 1000);
        assert_eq!(rates(&old, &sample("ses_1", 5000, 10), 1000), (None, None));
        assert_eq!(rates(&old, &sample("ses_1", 10, 2000), 1000), (None, None));
        assert_eq!(rates(&old, &old, 0), (None, None));
        let mut alone = sample("ses_1", 2000, 2000);
        alone.players.clear();
        assert_eq!(rates(&old, &alone, 1000), (Some(8000), None));
    }

    #[test]
    fn players_that_come_go_and_change_places_keep_their_counters() {
        let player = |player_id, bytes_total, uptime_ms| PlayerSample {
            player_id,
            bytes_total,
            uptime_ms,
            ..PlayerSample::default()
        };
        let with = |players: &[PlayerSample]| SessionSample {
            players: players.to_vec(),
            ..sample("ses_1", 0, 0)
        };
        let old = with(&[player(1, 1000, 9000), player(2, 500, 9000)]);
        let swapped = with(&[player(2, 600, 10_000), player(1, 2000, 10_000)]);
        assert_eq!(rates(&old, &swapped, 1000).1, Some(8 * 1100));
        let came = with(&[player(3, 70, 400), player(1, 2000, 10_000)]);
        assert_eq!(rates(&old, &came, 1000).1, Some(8 * 1070));
        let unlisted = with(&[player(1, 2000, 10_000), player(9, 5000, 10_000)]);
        assert_eq!(rates(&old, &unlisted, 1000).1, Some(8 * 1000));
    }

    #[test]
    fn a_points_size_is_bounded() {
        let mut crowd = sample("ses_1", 0, 0);
        crowd.players = vec![PlayerSample::default(); 1000];
        let point = Point::new(&report(1, "b"), &crowd, None);
        assert_eq!(
            (point.players_total, point.players.len()),
            (1000, PLAYERS_LISTED_MAX)
        );
        assert!(point.bytes() < 16_384);
    }
}
