//! The aggregate of a bonded stream: what the dock shows of it is what was sent.

use std::ops::RangeInclusive;
use std::time::Duration;

use testkit::linksim::Impairment;
use testkit::srtla_sender::Uplink;

use super::{Case, links};
use crate::carriers::uplink;
use crate::findings::Findings;
use crate::sight::Card;
use crate::stage::{LATENCY, Stage};
use crate::timeline::{Timeline, mean};

pub(super) const CASE: Case = Case {
    id: "TC-RELAY-001",
    about: "the aggregate of a bonded stream, as it is now",
    run,
};

const CARRIERS: [&str; 2] = ["Cox", "T-Mobile"];
/// Until loss, which the dock shows over ten seconds, is that of the stream alone.
const SETTLING: Duration = Duration::from_secs(12);
const WATCHED: Duration = Duration::from_secs(15);
/// The dock rounds to 0.1 Mbit/s; what was sent is read from a file written in blocks.
const BITRATE_TOLERANCE: f64 = 0.08;
/// Round trips of the links, with what queues and scheduling add.
const RTT_MS: RangeInclusive<f64> = 25.0..=180.0;
/// Of the links' loss at least so much: it is random, and seen over another window.
const LOSS_SHOWN_MIN: f64 = 0.4;
/// Of what the node asked for again at most so much.
const LOSS_SHOWN_MAX: f64 = 1.5;
const UPDATE_MS_MAX: u64 = 2000;

/// Wi-Fi, and a cell that loses packets.
fn uplinks() -> Vec<Uplink> {
    let way = |ms| Impairment::delayed(Duration::from_millis(ms));
    let cell = way(40)
        .with_jitter(Duration::from_millis(5))
        .with_rate(8_000_000);
    let mut cell = uplink(CARRIERS[1], cell);
    cell.up.loss = 0.03;
    vec![uplink(CARRIERS[0], way(20).with_rate(8_000_000)), cell]
}

/// What was sent, and what was seen at the same time.
struct Observation<'a> {
    timeline: &'a Timeline,
    name: &'a str,
    span_ms: (u64, u64),
    sent_bps: f64,
    /// Packets that the links lost.
    lost_pct: f64,
    /// Packets that the node asked for again: those, and what came too late for it to wait.
    asked_pct: f64,
}

fn run(stage: &mut Stage) -> anyhow::Result<Findings> {
    let connection = stage.connection("phone")?;
    let mut phone = stage.large_phone(&connection, uplinks())?;
    stage.wait_live(&connection.name, CARRIERS.len())?;
    let start = phone.carried()?;
    stage.dock.watch(SETTLING)?;
    let before = phone.carried()?;
    let span_ms = stage.dock.watch(WATCHED)?;
    let after = phone.carried()?;
    let streams = phone.is_streaming()?;
    let (watched, all) = (after.since(before), after.since(start));
    let seconds = (span_ms.1 - span_ms.0) as f64 / 1000.0;
    let observation = Observation {
        timeline: stage.dock.look()?,
        name: &connection.name,
        span_ms,
        sent_bps: watched.bytes as f64 * 8.0 / seconds,
        lost_pct: all.percent(all.lost),
        asked_pct: all.percent(all.reported),
    };
    let mut findings = observation.judge();
    findings.expect(streams, || "the phone stopped streaming".to_owned());
    Ok(findings)
}

impl Observation<'_> {
    fn judge(&self) -> Findings {
        let mut findings = Findings::default();
        findings.measured("sent_bps", self.sent_bps);
        let tolerated = self.sent_bps * BITRATE_TOLERANCE;
        let range = self.sent_bps - tolerated..=self.sent_bps + tolerated;
        self.shown(&mut findings, "shown_bps", Card::bitrate_bps, range);
        self.shown(&mut findings, "shown_rtt_ms", Card::rtt_ms, RTT_MS);
        let latency_ms = LATENCY.as_millis() as f64;
        self.shown(
            &mut findings,
            "shown_latency_ms",
            Card::latency_ms,
            latency_ms..=latency_ms,
        );
        findings.measured("lost_pct", self.lost_pct);
        findings.measured("asked_again_pct", self.asked_pct);
        let most = self.lost_pct.max(self.asked_pct) * LOSS_SHOWN_MAX;
        let range = self.lost_pct * LOSS_SHOWN_MIN..=most;
        self.shown(&mut findings, "shown_loss_pct", Card::loss_pct, range);
        self.judge_updates(&mut findings);
        if let Some(card) = self.timeline.card(self.name) {
            links::check(&mut findings, card, &CARRIERS, "at_the_end");
        }
        findings
    }

    /// The mean over the span of what is shown.
    fn shown(
        &self,
        findings: &mut Findings,
        figure: &str,
        read: impl Fn(&Card) -> Option<f64>,
        range: RangeInclusive<f64>,
    ) {
        let (from_ms, to_ms) = self.span_ms;
        let cards = self.timeline.cards(self.name, from_ms, to_ms);
        match mean(cards, to_ms, read) {
            Some(mean) => findings.within(figure, mean, range),
            None => findings.expect(false, || format!("{figure}: the dock never showed it")),
        }
    }

    fn judge_updates(&self, findings: &mut Findings) {
        let (from_ms, to_ms) = self.span_ms;
        findings.figure("updates", self.timeline.updates(self.name, from_ms, to_ms));
        let wait_ms = self.timeline.longest_wait_ms(self.name, from_ms, to_ms);
        findings.took("update_ms_max", Some(wait_ms), 0..=UPDATE_MS_MAX);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cases::links::fake;

    fn timeline(times_ms: &[u64]) -> Timeline {
        let mut timeline = Timeline::default();
        timeline.extend(times_ms.iter().map(|at_ms| {
            let bars = vec![
                fake::bar("Cox", 4.0, 67.0),
                fake::bar("T-Mobile", 2.0, 33.0),
            ];
            fake::sight(*at_ms, vec![fake::live("phone", *at_ms, bars)])
        }));
        timeline
    }

    fn judged(timeline: &Timeline, sent_bps: f64, lost_pct: f64) -> Findings {
        let observation = Observation {
            timeline,
            name: "phone",
            span_ms: (1000, 4000),
            sent_bps,
            lost_pct,
            asked_pct: 1.2 * lost_pct,
        };
        observation.judge()
    }

    #[test]
    fn figures_near_those_of_the_stream_pass() {
        let findings = judged(&timeline(&[1000, 2000, 3000]), 6.1e6, 1.0);
        assert!(findings.pass(), "{findings:?}");
        assert_eq!(findings.figures()["shown_bps"], 6e6);
        assert_eq!(findings.figures()["update_ms_max"], 1000);
    }

    #[test]
    fn figures_far_from_those_of_the_stream_fail() {
        let timeline = timeline(&[1000, 2000, 3000]);
        assert!(!judged(&timeline, 8e6, 1.0).pass());
        assert!(!judged(&timeline, 6e6, 20.0).pass());
        assert!(!judged(&timeline, 6e6, 0.1).pass());
    }

    #[test]
    fn figures_that_stand_still_fail() {
        let findings = judged(&timeline(&[1000, 1500]), 6e6, 1.0);
        assert_eq!(findings.failures().len(), 1, "{findings:?}");
        assert_eq!(findings.figures()["update_ms_max"], 2500);
    }
}
