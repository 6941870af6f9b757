//! Managed connections are always ready: adding provisions, removing deprovisions, and
//! a restart changes nothing.

use std::time::Duration;

use e2e::wait;
use testkit::linksim::Impairment;
use testkit::srt_caller::{Caller, Error, Role};
use testkit::srtla_sender::Uplink;

use super::Case;
use crate::carriers::uplink;
use crate::clock::now_ms;
use crate::findings::Findings;
use crate::stage::{Connection, LATENCY, PATIENCE, Stage, is};
use crate::url::StreamUrl;

pub(super) const CASE: Case = Case {
    id: "TC-CONN-003",
    about: "adding provisions, removing deprovisions, a restart changes nothing",
    run,
};

const CARRIERS: [&str; 1] = ["Verizon"];
const RETURN_PATIENCE: Duration = Duration::from_secs(60);
const READY_MS_MAX: u64 = 10_000;
const CUT_MS_MAX: u64 = 10_000;
/// Rejections of our own begin here (SRT 1000, application codes 2000 and more).
const REJECTIONS_FROM: u32 = 1000;

fn uplinks() -> Vec<Uplink> {
    let way = Impairment::delayed(Duration::from_millis(20)).with_rate(4_000_000);
    vec![uplink(CARRIERS[0], way)]
}

/// What became of a connection that was removed, and of one that was kept.
#[derive(Debug, Clone)]
struct Observation {
    /// The states that were shown, in order, from the click on "Add".
    states: Vec<String>,
    ready_ms: u64,
    schemes: [String; 2],
    sessions_while_there: usize,
    /// From the removal to the end of the phone's stream.
    cut_ms: Option<u64>,
    sessions_after_removal: usize,
    /// Why the node refuses the stream ids of the removed connection.
    refusals: [Option<u32>; 2],
    kept_before: Vec<String>,
    restarted: bool,
    kept_after: Vec<String>,
    cards_after: usize,
    removed_is_back: bool,
}

fn run(stage: &mut Stage) -> anyhow::Result<Findings> {
    let name = stage.name("removed");
    let added_ms = now_ms();
    stage.dock.add(&name)?;
    let ready_at_ms = stage
        .dock
        .wait_from(added_ms, &name, "it is ready", PATIENCE, |card| {
            is(card, "ready")
        })?;
    let states = states(stage, &name, added_ms, ready_at_ms)?;
    let removed = stage.urls(&name)?;
    let mut phone = stage.small_phone(&removed, uplinks())?;
    stage.wait_live(&name, CARRIERS.len())?;
    let sessions_while_there = stage.instance.sessions_of(&name)?.len();

    let removed_ms = now_ms();
    stage.dock.remove(&name)?;
    let cut_ms = wait::until("the phone is cut off", PATIENCE, || {
        matches!(phone.is_streaming(), Ok(false)).then(now_ms)
    });
    let sessions_after_removal = stage.instance.sessions_of(&name)?.len();
    let refusals = [
        refusal(&removed.sender, Role::Publisher)?,
        refusal(&removed.media, Role::Player)?,
    ];

    let kept = stage.connection("kept")?;
    let kept_before = session_ids(stage, &kept)?;
    let restarted = stage.instance.restart()?;
    stage
        .dock
        .wait(&kept.name, "it is ready again", RETURN_PATIENCE, |card| {
            is(card, "ready")
        })?;
    let cards = stage.dock.look()?.latest().map(|sight| &sight.cards);
    let cards = cards.into_iter().flatten().map(|card| card.name.as_str());
    let observation = Observation {
        states,
        ready_ms: ready_at_ms - added_ms,
        schemes: [removed.sender.scheme, removed.media.scheme],
        sessions_while_there,
        cut_ms: cut_ms.ok().map(|at_ms| at_ms - removed_ms),
        sessions_after_removal,
        refusals,
        restarted,
        cards_after: cards.clone().filter(|card| *card == kept.name).count(),
        removed_is_back: cards.clone().any(|card| card == name),
        kept_before,
        kept_after: session_ids(stage, &kept)?,
    };
    Ok(observation.judge())
}

/// The states of a connection in a span, each once in a row.
fn states(stage: &mut Stage, name: &str, from_ms: u64, to_ms: u64) -> anyhow::Result<Vec<String>> {
    let cards = stage.dock.look()?.cards(name, from_ms, to_ms);
    let mut states: Vec<String> = cards.map(|(_, card)| card.state.clone()).collect();
    states.dedup();
    Ok(states)
}

fn session_ids(stage: &Stage, connection: &Connection) -> anyhow::Result<Vec<String>> {
    let sessions = stage.instance.sessions_of(&connection.name)?;
    let ids = sessions
        .iter()
        .map(|session| session["session_id"].to_string());
    Ok(ids.collect())
}

/// The code with which the node refuses a caller; none when it takes it.
fn refusal(url: &StreamUrl, role: Role) -> anyhow::Result<Option<u32>> {
    match Caller::connect(url.address()?, url.stream_id(), role, LATENCY) {
        Ok(_caller) => Ok(None),
        Err(Error::Rejected { code }) => Ok(Some(code)),
        Err(error) => Err(error.into()),
    }
}

impl Observation {
    fn judge(&self) -> Findings {
        let mut findings = Findings::default();
        self.judge_addition(&mut findings);
        self.judge_removal(&mut findings);
        self.judge_restart(&mut findings);
        findings
    }

    fn judge_addition(&self, findings: &mut Findings) {
        findings.figure("states", self.states.clone());
        let states: Vec<&str> = self.states.iter().map(String::as_str).collect();
        let in_order = matches!(states[..], ["ready"] | ["provisioning", "ready"]);
        findings.expect(in_order, || format!("the states were {states:?}"));
        findings.took("ready_ms", Some(self.ready_ms), 0..=READY_MS_MAX);
        findings.expect(self.schemes == ["srtla", "srt"], || {
            format!("the URLs begin with {:?}", self.schemes)
        });
        findings.figure("sessions", self.sessions_while_there);
        findings.expect(self.sessions_while_there == 1, || {
            "not one session".to_owned()
        });
    }

    fn judge_removal(&self, findings: &mut Findings) {
        findings.took("cut_ms", self.cut_ms, 0..=CUT_MS_MAX);
        findings.figure("sessions_after_removal", self.sessions_after_removal);
        findings.expect(self.sessions_after_removal == 0, || {
            "the session is still there".to_owned()
        });
        for (what, code) in ["publisher", "player"].into_iter().zip(self.refusals) {
            findings.figure(&format!("{what}_refused_with"), code);
            findings.expect(code.is_some_and(|code| code >= REJECTIONS_FROM), || {
                format!("the node takes a {what} of the removed connection")
            });
        }
    }

    fn judge_restart(&self, findings: &mut Findings) {
        findings.figure("instance_restarted", self.restarted);
        if !self.restarted {
            findings.unchecked("the instance's restart: it is not ours, give --restart COMMAND");
        }
        findings.figure("sessions_after_restart", self.kept_after.len());
        let same = self.kept_before.len() == 1 && self.kept_after == self.kept_before;
        findings.expect(same, || {
            format!(
                "the sessions were {:?} and are {:?}",
                self.kept_before, self.kept_after
            )
        });
        findings.expect(self.cards_after == 1, || {
            format!("the dock shows the connection {} times", self.cards_after)
        });
        findings.expect(!self.removed_is_back, || {
            "the removed connection is back".to_owned()
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn good() -> Observation {
        Observation {
            states: vec!["provisioning".into(), "ready".into()],
            ready_ms: 300,
            schemes: ["srtla".into(), "srt".into()],
            sessions_while_there: 1,
            cut_ms: Some(900),
            sessions_after_removal: 0,
            refusals: [Some(2404), Some(1003)],
            kept_before: vec!["ses_1".into()],
            restarted: true,
            kept_after: vec!["ses_1".into()],
            cards_after: 1,
            removed_is_back: false,
        }
    }

    #[test]
    fn a_connection_that_comes_stays_and_goes_passes() {
        let findings = good().judge();
        assert!(findings.pass(), "{findings:?}");
        assert_eq!(findings.figures()["publisher_refused_with"], 2404);
    }

    #[test]
    fn every_part_can_fail() {
        for change in [
            |observation: &mut Observation| observation.states.insert(1, "error".into()),
            |observation: &mut Observation| observation.schemes[0] = "http".into(),
            |observation: &mut Observation| observation.cut_ms = None,
            |observation: &mut Observation| observation.sessions_after_removal = 1,
            |observation: &mut Observation| observation.refusals[1] = None,
            |observation: &mut Observation| observation.kept_after.push("ses_2".into()),
            |observation: &mut Observation| observation.cards_after = 2,
            |observation: &mut Observation| observation.removed_is_back = true,
        ] {
            let mut observation = good();
            change(&mut observation);
            assert_eq!(observation.judge().failures().len(), 1, "{observation:?}");
        }
    }
}
