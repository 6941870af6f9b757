//! Carriers: every bar has its carrier's name, under its own connection.

use std::collections::BTreeSet;
use std::time::Duration;

use anyhow::Context;
use serde_json::Value;
use testkit::linksim::Impairment;
use testkit::srtla_sender::Uplink;

use super::{Case, links};
use crate::carriers::uplink;
use crate::findings::Findings;
use crate::sight::Card;
use crate::stage::{PATIENCE, Stage};

pub(super) const CASE: Case = Case {
    id: "TC-CONN-004",
    about: "bars with carriers' names, nested under their connection",
    run,
};

const FIRST: [&str; 2] = ["T-Mobile", "Cox"];
const SECOND: [&str; 2] = ["Verizon", "Starlink"];
const DROPPED: usize = 1;
const LEFT: [&str; 1] = ["T-Mobile"];
const SETTLING: Duration = Duration::from_secs(5);
/// The dock fades what is silent for three seconds; nothing fades before.
const FADE_MS: std::ops::RangeInclusive<u64> = 2800..=4000;

fn uplinks(carriers: [&str; 2]) -> Vec<Uplink> {
    let way = |ms| Impairment::delayed(Duration::from_millis(ms)).with_rate(4_000_000);
    vec![uplink(carriers[0], way(25)), uplink(carriers[1], way(45))]
}

/// What was seen of both connections, and what the API says of the carriers.
#[derive(Debug, Clone)]
struct Observation {
    both: [Card; 2],
    reported: [BTreeSet<String>; 2],
    dropped_ms: u64,
    faded_ms: Option<u64>,
    during: [Card; 2],
}

fn run(stage: &mut Stage) -> anyhow::Result<Findings> {
    let [first, second] = [stage.connection("first")?, stage.connection("second")?];
    let phone = stage.small_phone(&first, uplinks(FIRST))?;
    let _other = stage.small_phone(&second, uplinks(SECOND))?;
    stage.wait_live(&first.name, FIRST.len())?;
    stage.wait_live(&second.name, SECOND.len())?;
    stage.dock.watch(SETTLING)?;
    let both = [shown(stage, &first.name)?, shown(stage, &second.name)?];
    let reported = [
        reported(stage, &first.name)?,
        reported(stage, &second.name)?,
    ];
    let dropped_ms = phone.black_out(DROPPED);
    let faded_ms = stage
        .dock
        .wait_from(
            dropped_ms,
            &first.name,
            "the dropped link fades",
            PATIENCE,
            |card| {
                let bar = card.and_then(|card| card.bar(FIRST[DROPPED]));
                bar.is_some_and(|bar| bar.faded)
            },
        )
        .ok();
    let observation = Observation {
        both,
        reported,
        dropped_ms,
        faded_ms,
        during: [shown(stage, &first.name)?, shown(stage, &second.name)?],
    };
    Ok(observation.judge())
}

fn shown(stage: &mut Stage, name: &str) -> anyhow::Result<Card> {
    let card = stage.dock.look()?.card(name);
    card.cloned()
        .context("the dock does not show the connection")
}

/// The carriers that `/api/v1/relay/active` has for a connection.
fn reported(stage: &Stage, name: &str) -> anyhow::Result<BTreeSet<String>> {
    let path = format!("/api/v1/relay/active?connection_id={name}");
    let active = stage.instance.client().fetch(&path)?.success()?;
    let links = active
        .pointer("/per_link/connections")
        .and_then(Value::as_array);
    let links = links.context("/relay/active has no per_link.connections")?;
    let carriers = links.iter().filter_map(|link| link["asn_org"].as_str());
    Ok(carriers.map(str::to_owned).collect())
}

impl Observation {
    fn judge(&self) -> Findings {
        let mut findings = Findings::default();
        let expected = [FIRST, SECOND];
        for (index, name) in ["first", "second"].into_iter().enumerate() {
            let (card, carriers) = (&self.both[index], expected[index]);
            links::check(&mut findings, card, &carriers, name);
            findings.figure(&format!("labels_{name}"), card.labels());
            let reported = &self.reported[index];
            findings.expect(
                reported
                    .iter()
                    .eq(&BTreeSet::from(carriers.map(str::to_owned))),
                || format!("{name}: /relay/active has the carriers {reported:?}"),
            );
        }
        let fade = self
            .faded_ms
            .map(|at_ms| at_ms.saturating_sub(self.dropped_ms));
        findings.took("fade_ms", fade, FADE_MS);
        links::check(&mut findings, &self.during[0], &LEFT, "first_faded");
        links::check(&mut findings, &self.during[1], &SECOND, "second_meanwhile");
        findings
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cases::links::fake::{bar, live};
    use crate::sight::Bar;

    fn good() -> Observation {
        let bars = |carriers: [&str; 2]| carriers.map(|name| bar(name, 0.8, 50.0)).to_vec();
        let set = |carriers: [&str; 2]| carriers.map(str::to_owned).into();
        let faded = Bar {
            faded: true,
            ..bar(FIRST[1], 0.0, 0.0)
        };
        Observation {
            both: [live("a", 0, bars(FIRST)), live("b", 0, bars(SECOND))],
            reported: [set(FIRST), set(SECOND)],
            dropped_ms: 1000,
            faded_ms: Some(4200),
            during: [
                live("a", 0, vec![bar(FIRST[0], 1.5, 100.0), faded]),
                live("b", 0, bars(SECOND)),
            ],
        }
    }

    #[test]
    fn carriers_under_their_connections_pass() {
        let findings = good().judge();
        assert!(findings.pass(), "{findings:?}");
        assert_eq!(findings.figures()["labels_first"][0], "T-Mobile");
    }

    #[test]
    fn what_is_elsewhere_or_has_no_name_fails() {
        for change in [
            |observation: &mut Observation| observation.both.swap(0, 1),
            |observation: &mut Observation| observation.both[0].links[0].name = "Link 1".into(),
            |observation: &mut Observation| observation.reported[1].clear(),
            |observation: &mut Observation| observation.faded_ms = Some(9000),
            |observation: &mut Observation| observation.during.swap(0, 1),
        ] {
            let mut observation = good();
            change(&mut observation);
            assert!(!observation.judge().pass(), "{observation:?}");
        }
    }
}
