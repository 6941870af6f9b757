//! Two connections live at once, each for itself.

use std::time::Duration;

use anyhow::Context;
use testkit::linksim::Impairment;
use testkit::srtla_sender::Uplink;

use super::{Case, links};
use crate::carriers::uplink;
use crate::findings::Findings;
use crate::sight::Card;
use crate::stage::{PATIENCE, Stage, is};
use crate::timeline::Timeline;

pub(super) const CASE: Case = Case {
    id: "TC-CONN-001",
    about: "two connections live at once, independent of each other",
    run,
};

const FIRST: [&str; 2] = ["T-Mobile", "Cox"];
const SECOND: [&str; 2] = ["Verizon", "Starlink"];
const WATCHED: Duration = Duration::from_secs(8);
const UPDATE_MS_MAX: u64 = 2000;

fn uplinks(carriers: [&str; 2]) -> Vec<Uplink> {
    let way = |ms| Impairment::delayed(Duration::from_millis(ms)).with_rate(4_000_000);
    vec![uplink(carriers[0], way(20)), uplink(carriers[1], way(40))]
}

/// What was seen of both while both streamed, and of the second after the first stopped.
struct Observation<'a> {
    timeline: &'a Timeline,
    names: [&'a str; 2],
    both_ms: (u64, u64),
    both: [Card; 2],
    stopped_ms: u64,
    noticed_ms: Option<u64>,
    alone_ms: (u64, u64),
    alone: Card,
}

fn run(stage: &mut Stage) -> anyhow::Result<Findings> {
    let [first, second] = [stage.connection("first")?, stage.connection("second")?];
    let phones = [
        stage.small_phone(&first, uplinks(FIRST))?,
        stage.small_phone(&second, uplinks(SECOND))?,
    ];
    stage.wait_live(&first.name, FIRST.len())?;
    stage.wait_live(&second.name, SECOND.len())?;
    let both_ms = stage.dock.watch(WATCHED)?;
    let both = [shown(stage, &first.name)?, shown(stage, &second.name)?];

    let [phone, _other] = phones;
    let stopped_ms = phone.hang_up()?;
    let noticed_ms = stage
        .dock
        .wait_from(
            stopped_ms,
            &first.name,
            "the first is not live",
            PATIENCE,
            |card| !is(card, "live"),
        )
        .ok();
    let alone_ms = stage.dock.watch(WATCHED)?;
    let alone = shown(stage, &second.name)?;
    let observation = Observation {
        timeline: stage.dock.look()?,
        names: [&first.name, &second.name],
        both_ms,
        both,
        stopped_ms,
        noticed_ms,
        alone_ms,
        alone,
    };
    Ok(observation.judge())
}

fn shown(stage: &mut Stage, name: &str) -> anyhow::Result<Card> {
    let card = stage.dock.look()?.card(name);
    card.cloned()
        .context("the dock does not show the connection")
}

impl Observation<'_> {
    fn judge(&self) -> Findings {
        let mut findings = Findings::default();
        let [first, second] = self.names;
        for (card, carriers, name) in [
            (&self.both[0], FIRST, "first"),
            (&self.both[1], SECOND, "second"),
        ] {
            links::check(&mut findings, card, &carriers, name);
            findings.expect(links::all_carry(card), || {
                format!("{name}: a bar has no bitrate")
            });
        }
        self.judge_span(&mut findings, first, self.both_ms, "first_update_ms_max");
        self.judge_span(&mut findings, second, self.both_ms, "second_update_ms_max");
        let noticed = self
            .noticed_ms
            .map(|at_ms| at_ms.saturating_sub(self.stopped_ms));
        findings.took("stop_noticed_ms", noticed, 0..=10_000);
        self.judge_span(&mut findings, second, self.alone_ms, "alone_update_ms_max");
        links::check(&mut findings, &self.alone, &SECOND, "alone");
        findings
    }

    /// A connection is live all through a span, and its figures move.
    fn judge_span(&self, findings: &mut Findings, name: &str, span_ms: (u64, u64), figure: &str) {
        let (from_ms, to_ms) = span_ms;
        let live = self
            .timeline
            .cards(name, from_ms, to_ms)
            .all(|(_, card)| card.state == "live");
        findings.expect(live, || format!("{name} was not live all the time"));
        let wait_ms = self.timeline.longest_wait_ms(name, from_ms, to_ms);
        findings.took(figure, Some(wait_ms), 0..=UPDATE_MS_MAX);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cases::links::fake::{bar, live, sight};
    use crate::sight::Bar;

    fn bars(carriers: [&str; 2]) -> Vec<Bar> {
        carriers.map(|name| bar(name, 0.8, 50.0)).to_vec()
    }

    /// Seconds 1 to 8: the first connection stops at 4.
    fn timeline(second_state: &str) -> Timeline {
        let mut timeline = Timeline::default();
        timeline.extend((1..=8).map(|second| {
            let at_ms = second * 1000;
            let mut first = live("a", at_ms, bars(FIRST));
            let mut other = live("b", at_ms, bars(SECOND));
            if second > 4 {
                first.state = "grace".into();
                other.state = second_state.into();
            }
            sight(at_ms, vec![first, other])
        }));
        timeline
    }

    fn judged(timeline: &Timeline, swap: bool) -> Findings {
        let mut both = [live("a", 0, bars(FIRST)), live("b", 0, bars(SECOND))];
        if swap {
            both.swap(0, 1);
        }
        let observation = Observation {
            timeline,
            names: ["a", "b"],
            both_ms: (1000, 4000),
            both,
            stopped_ms: 4100,
            noticed_ms: Some(5000),
            alone_ms: (5000, 8000),
            alone: live("b", 0, bars(SECOND)),
        };
        observation.judge()
    }

    #[test]
    fn one_that_stops_leaves_the_other() {
        let findings = judged(&timeline("live"), false);
        assert!(findings.pass(), "{findings:?}");
        assert!(!judged(&timeline("grace"), false).pass());
    }

    #[test]
    fn bars_under_the_wrong_connection_fail() {
        assert!(!judged(&timeline("live"), true).pass());
    }
}
