//! A link goes and comes back: the stream stays whole, and the dock shows it all.

use std::time::Duration;

use anyhow::Context;
use e2e::media;
use e2e::transport_stream::{self, whole_packets};
use testkit::linksim::Impairment;
use testkit::srtla_sender::Uplink;

use super::{Case, links};
use crate::carriers::uplink;
use crate::findings::Findings;
use crate::node_stats::Links;
use crate::sight::Card;
use crate::stage::{Connection, PATIENCE, Stage};

pub(super) const CASE: Case = Case {
    id: "TC-RELAY-002",
    about: "a link that drops out of three and returns",
    run,
};

const CARRIERS: [&str; 3] = ["T-Mobile", "Verizon", "Cox"];
const DROPPED: usize = 1;
const LEFT: [&str; 2] = ["T-Mobile", "Cox"];
const LINK_RATE_BPS: u64 = 3_000_000;
/// Until shares and windows have found their place.
const SETTLING: Duration = Duration::from_secs(8);
/// From the fade to a look at everything else, so that the node's samples are past it.
const FADED_FOR: Duration = Duration::from_secs(2);
/// Between the link's end in the dock and its return.
const GONE_FOR: Duration = Duration::from_secs(2);

/// The dock fades what is silent for three seconds; nothing fades before.
const FADE_MS: std::ops::RangeInclusive<u64> = 2800..=4000;
/// It drops what is silent for ten, at the next look.
const GONE_MS: std::ops::RangeInclusive<u64> = 9500..=11_500;
const RETURN_MS_MAX: u64 = 2000;
/// What a link must carry after its return, of what it carried before.
const RETURNED_SHARE_MIN: f64 = 0.2;
const STATS_SHARE_SUM_PCT: std::ops::RangeInclusive<f64> = 99.0..=101.0;
const SECOND_BYTES: usize = 6_000_000 / 8;
/// What was sent before the player joined; the link drops later.
const HEAD_BYTES: usize = 10 * SECOND_BYTES;
/// What may have holes: a sender that closes sends nothing again, and what its slower
/// links still carry comes after its goodbye.
const TAIL_BYTES: usize = 2 * SECOND_BYTES;

fn uplinks() -> Vec<Uplink> {
    let ways = [20, 35, 50]
        .map(|ms| Impairment::delayed(Duration::from_millis(ms)).with_rate(LINK_RATE_BPS));
    let carriers = CARRIERS.iter().zip(ways);
    carriers
        .map(|(carrier, way)| uplink(carrier, way))
        .collect()
}

/// What was done, when, and what was seen of it.
#[derive(Debug, Clone)]
struct Observation {
    before: Card,
    during: Card,
    after: Card,
    dropped_ms: u64,
    faded_ms: Option<u64>,
    gone_ms: Option<u64>,
    restored_ms: u64,
    returned_ms: Option<u64>,
    stats_before: Links,
    stats_during: Links,
    picture: Picture,
}

/// What the player received of what was sent.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Picture {
    sent_bytes: usize,
    received_bytes: usize,
    continuity_errors: usize,
    /// What is missing or different, if anything.
    wrong: Option<String>,
}

fn run(stage: &mut Stage) -> anyhow::Result<Findings> {
    let connection = stage.connection("phone")?;
    let name = connection.name.as_str();
    let phone = stage.large_phone(&connection, uplinks())?;
    stage.wait_live(name, CARRIERS.len())?;
    let (mut player, received) = stage.player(&connection)?;
    stage.dock.watch(SETTLING)?;
    let before = shown(stage, name)?;
    let stats_before = stats(stage, &connection)?;

    let dropped_ms = phone.black_out(DROPPED);
    let faded_ms = stage
        .dock
        .wait_from(
            dropped_ms,
            name,
            "the dropped link fades",
            PATIENCE,
            is_faded,
        )
        .ok();
    stage.dock.watch(FADED_FOR)?;
    let during = shown(stage, name)?;
    let stats_during = stats(stage, &connection)?;
    let gone_ms = stage
        .dock
        .wait_from(dropped_ms, name, "the dropped link goes", PATIENCE, is_gone)
        .ok();
    stage.dock.watch(GONE_FOR)?;

    let restored_ms = phone.restore(DROPPED);
    let returned_ms = stage
        .dock
        .wait_from(restored_ms, name, "the link returns", PATIENCE, is_back)
        .ok();
    stage.dock.watch(SETTLING)?;
    let after = shown(stage, name)?;

    let sent = phone.sent().to_owned();
    phone.hang_up()?;
    media::settle(&received)?;
    stage.stop(name)?;
    player.wait(PATIENCE)?;
    let observation = Observation {
        before,
        during,
        after,
        dropped_ms,
        faded_ms,
        gone_ms,
        restored_ms,
        returned_ms,
        stats_before,
        stats_during,
        picture: Picture::of(&whole_packets(&sent)?, &whole_packets(&received)?)?,
    };
    Ok(observation.judge())
}

fn shown(stage: &mut Stage, name: &str) -> anyhow::Result<Card> {
    let card = stage.dock.look()?.card(name);
    card.cloned()
        .context("the dock does not show the connection")
}

fn stats(stage: &Stage, connection: &Connection) -> anyhow::Result<Links> {
    let media = &connection.media;
    Links::fetch(&stage.instance.stats(media.host()), media.key())
}

fn is_faded(card: Option<&Card>) -> bool {
    let bar = card.and_then(|card| card.bar(CARRIERS[DROPPED]));
    bar.is_some_and(|bar| bar.faded)
}

fn is_gone(card: Option<&Card>) -> bool {
    card.is_some_and(|card| card.bar(CARRIERS[DROPPED]).is_none())
}

fn is_back(card: Option<&Card>) -> bool {
    let bar = card.and_then(|card| card.bar(CARRIERS[DROPPED]));
    bar.is_some_and(|bar| !bar.faded)
}

impl Observation {
    fn judge(&self) -> Findings {
        let mut findings = Findings::default();
        links::check(&mut findings, &self.before, &CARRIERS, "before");
        links::check(&mut findings, &self.during, &LEFT, "during");
        links::check(&mut findings, &self.after, &CARRIERS, "after");
        self.judge_times(&mut findings);
        self.judge_return(&mut findings);
        self.judge_stats(&mut findings);
        self.picture.judge(&mut findings);
        findings
    }

    fn judge_times(&self, findings: &mut Findings) {
        let since = |from_ms| move |at_ms: u64| at_ms.saturating_sub(from_ms);
        let (dropped, restored) = (since(self.dropped_ms), since(self.restored_ms));
        findings.took("fade_ms", self.faded_ms.map(dropped), FADE_MS);
        findings.took("gone_ms", self.gone_ms.map(dropped), GONE_MS);
        findings.took(
            "return_ms",
            self.returned_ms.map(restored),
            0..=RETURN_MS_MAX,
        );
    }

    /// The link carries again what it is good for.
    fn judge_return(&self, findings: &mut Findings) {
        let bitrate = |card: &Card| card.bar(CARRIERS[DROPPED])?.bitrate_bps();
        let (before, after) = (bitrate(&self.before), bitrate(&self.after));
        findings.figure("link_bps_before", before);
        findings.figure("link_bps_after", after);
        let returned = before.zip(after);
        let carries = returned.is_some_and(|(before, after)| after >= before * RETURNED_SHARE_MIN);
        findings.expect(carries, || {
            "the link returned and carries too little".to_owned()
        });
        findings.expect(links::all_carry(&self.after), || {
            "a bar has no bitrate".to_owned()
        });
    }

    /// The node says the same as the dock.
    fn judge_stats(&self, findings: &mut Findings) {
        let (before, during) = (&self.stats_before, &self.stats_during);
        findings.figure("stats_groups", before.groups.len());
        findings.figure("stats_connections", before.connections().count());
        findings.within(
            "stats_share_sum_pct",
            before.share_sum_pct(),
            STATS_SHARE_SUM_PCT,
        );
        findings.expect(before.groups.len() == 1, || {
            "not one group in /links".to_owned()
        });
        let heard = (before.heard_within(3000.0), during.heard_within(3000.0));
        findings.expect(heard == (CARRIERS.len(), LEFT.len()), || {
            format!("/links has {heard:?} links that were heard lately before and during the drop")
        });
    }
}

impl Picture {
    fn of(sent: &[u8], received: &[u8]) -> anyhow::Result<Self> {
        let judged = transport_stream::repaired(sent, received, TAIL_BYTES);
        let wrong = transport_stream::check_identical(sent, judged, HEAD_BYTES, TAIL_BYTES);
        Ok(Self {
            sent_bytes: sent.len(),
            received_bytes: received.len(),
            continuity_errors: transport_stream::continuity_errors(judged)?,
            wrong: wrong.err().map(|error| format!("{error:#}")),
        })
    }

    fn judge(&self, findings: &mut Findings) {
        findings.figure("sent_bytes", self.sent_bytes);
        findings.figure("received_bytes", self.received_bytes);
        findings.figure("continuity_errors", self.continuity_errors);
        findings.expect(self.wrong.is_none(), || {
            let wrong = self.wrong.as_deref().unwrap_or_default();
            format!("what was received is not what was sent: {wrong}")
        });
    }
}

#[cfg(test)]
mod tests {
    use e2e::transport_stream::PACKET_BYTES;

    use super::*;
    use crate::cases::links::fake::{bar, live};
    use crate::node_stats::{Connection, Group};
    use crate::sight::Bar;

    fn stats(last_ms_ago: [f64; 3]) -> Links {
        let connection = |last_ms_ago| Connection {
            addr: "127.0.1.1:1".into(),
            share_pct: 33.3,
            last_ms_ago,
            asn_org: None,
        };
        Links {
            groups: vec![Group {
                connections: last_ms_ago.map(connection).into(),
            }],
        }
    }

    fn good() -> Observation {
        let all = || CARRIERS.map(|name| bar(name, 2.0, 33.3)).to_vec();
        let faded = Bar {
            faded: true,
            ..bar(CARRIERS[1], 0.0, 0.0)
        };
        Observation {
            before: live("phone", 0, all()),
            during: live(
                "phone",
                0,
                vec![bar(LEFT[0], 3.0, 50.0), faded, bar(LEFT[1], 3.0, 50.0)],
            ),
            after: live("phone", 0, all()),
            dropped_ms: 10_000,
            faded_ms: Some(13_200),
            gone_ms: Some(20_400),
            restored_ms: 23_000,
            returned_ms: Some(24_500),
            stats_before: stats([10.0; 3]),
            stats_during: stats([10.0, 3300.0, 10.0]),
            picture: Picture {
                sent_bytes: 1000,
                received_bytes: 1000,
                continuity_errors: 0,
                wrong: None,
            },
        }
    }

    #[test]
    fn a_link_that_fades_goes_and_returns_in_time_passes() {
        let findings = good().judge();
        assert!(findings.pass(), "{findings:?}");
        assert_eq!(findings.figures()["fade_ms"], 3200);
        assert_eq!(findings.figures()["return_ms"], 1500);
    }

    /// Ten seconds, whose packets are all different.
    fn film() -> Vec<u8> {
        let packet = |index: usize| {
            let mut packet = [0; PACKET_BYTES];
            packet[..4].copy_from_slice(&[0x47, 1, 0, 0x10 | (index % 16) as u8]);
            packet[4..12].copy_from_slice(&index.to_be_bytes());
            packet
        };
        let packets = 10 * SECOND_BYTES / PACKET_BYTES;
        (0..packets).flat_map(packet).collect()
    }

    /// The film without one packet, so many seconds before its end.
    fn without(film: &[u8], seconds: usize) -> Vec<u8> {
        let hole = (film.len() - seconds * SECOND_BYTES) / PACKET_BYTES * PACKET_BYTES;
        [&film[..hole], &film[hole + PACKET_BYTES..]].concat()
    }

    #[test]
    fn a_picture_may_have_holes_where_the_phone_hung_up_alone() {
        let film = film();
        assert_eq!(Picture::of(&film, &without(&film, 1)).unwrap().wrong, None);
        let picture = Picture::of(&film, &without(&film, 3)).unwrap();
        assert!(picture.wrong.is_some());
        assert_eq!(picture.continuity_errors, 1);
        let early = &film[..film.len() / PACKET_BYTES / 2 * PACKET_BYTES];
        assert!(Picture::of(&film, early).unwrap().wrong.is_some());
    }

    #[test]
    fn what_is_late_early_or_never_fails() {
        for change in [
            |observation: &mut Observation| observation.faded_ms = Some(14_100),
            |observation: &mut Observation| observation.faded_ms = Some(11_000),
            |observation: &mut Observation| observation.gone_ms = None,
            |observation: &mut Observation| observation.returned_ms = Some(25_100),
            |observation: &mut Observation| observation.stats_during = stats([10.0; 3]),
            |observation: &mut Observation| observation.picture.wrong = Some("a hole".into()),
            |observation: &mut Observation| observation.after.links[1].rate = "0.1 Mbit/s".into(),
            |observation: &mut Observation| observation.during.badge = Some("3 links".into()),
        ] {
            let mut observation = good();
            change(&mut observation);
            assert_eq!(observation.judge().failures().len(), 1, "{observation:?}");
        }
    }
}
