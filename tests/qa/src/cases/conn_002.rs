//! Persistence: what a streamer set up survives the browser and the instance, and no
//! secret is left lying about.

use std::collections::BTreeSet;
use std::time::Duration;

use anyhow::ensure;
use testkit::linksim::Impairment;
use testkit::srtla_sender::Uplink;

use super::Case;
use crate::carriers::uplink;
use crate::clock::now_ms;
use crate::dock::{Holdings, Snapshot};
use crate::findings::Findings;
use crate::secrets;
use crate::stage::{Connection, PATIENCE, Stage, is};
use crate::timeline::Timeline;
use crate::url::StreamUrl;

pub(super) const CASE: Case = Case {
    id: "TC-CONN-002",
    about: "connections outlive the browser and the instance; secrets stay secret",
    run,
};

const CARRIERS: [&str; 2] = ["T-Mobile", "Cox"];
/// After which a status that is wrong would have shown itself.
const WATCHED: Duration = Duration::from_secs(5);
/// The page asks for the list again and again, the node enrols anew.
const RETURN_PATIENCE: Duration = Duration::from_secs(60);
const LIVE_MS_MAX: u64 = 20_000;

fn uplinks() -> Vec<Uplink> {
    let way = |ms| Impairment::delayed(Duration::from_millis(ms)).with_rate(4_000_000);
    vec![uplink(CARRIERS[0], way(20)), uplink(CARRIERS[1], way(40))]
}

/// What was there before and after, and where secrets might have been.
struct Observation<'a> {
    timeline: &'a Timeline,
    names: [&'a str; 2],
    holdings: Holdings,
    snapshot: Snapshot,
    profile_files_with_keys: usize,
    signed_in: bool,
    /// From the start of the new browser to the next stream; nobody streams.
    idle_ms: (u64, u64),
    instance_restarted: bool,
    before: [Connection; 2],
    after: [Connection; 2],
    /// From the phone's second start to the dock's word of it.
    live_again_ms: u64,
}

fn run(stage: &mut Stage) -> anyhow::Result<Findings> {
    let before = [stage.connection("first")?, stage.connection("second")?];
    let phone = stage.small_phone(&before[0], uplinks())?;
    stage.wait_live(&before[0].name, CARRIERS.len())?;
    let (holdings, snapshot) = (stage.dock.holdings()?, stage.dock.snapshot()?);
    phone.hang_up()?;
    let name = before[0].name.clone();
    stage
        .dock
        .wait(&name, "it is not live", PATIENCE, |card| !is(card, "live"))?;

    stage.dock.close()?;
    let keys = keys(&before);
    let profile_files_with_keys = secrets::files_with(stage.dock.profile(), &keys)?;
    let idle_from_ms = now_ms();
    let visit = stage.dock.reopen()?;
    ensure!(
        visit.signed_in,
        "the dock is signed out after the browser's restart"
    );
    wait_there(stage, &before)?;
    stage.dock.watch(WATCHED)?;

    let instance_restarted = stage.instance.restart()?;
    wait_there(stage, &before)?;
    stage.dock.watch(WATCHED)?;
    let names = [before[0].name.clone(), before[1].name.clone()];
    let after = [stage.urls(&names[0])?, stage.urls(&names[1])?];
    let idle_ms = (idle_from_ms, now_ms());

    // With what the phone knew before: nothing is entered again.
    let started_ms = now_ms();
    let _phone = stage.small_phone(&before[0], uplinks())?;
    let live_ms = stage.wait_live(&name, CARRIERS.len())?;
    let observation = Observation {
        timeline: stage.dock.look()?,
        names: [&names[0], &names[1]],
        holdings,
        snapshot,
        profile_files_with_keys,
        signed_in: visit.signed_in,
        idle_ms,
        instance_restarted,
        before,
        after,
        live_again_ms: live_ms - started_ms,
    };
    Ok(observation.judge())
}

/// Waits until the dock shows both, and neither in trouble.
fn wait_there(stage: &mut Stage, connections: &[Connection; 2]) -> anyhow::Result<()> {
    for connection in connections {
        let what = "it is there, and well";
        stage
            .dock
            .wait(&connection.name, what, RETURN_PATIENCE, |card| {
                is(card, "ready") || is(card, "grace")
            })?;
    }
    Ok(())
}

fn keys(connections: &[Connection; 2]) -> Vec<&str> {
    let urls = connections
        .iter()
        .flat_map(|connection| [&connection.sender, &connection.media]);
    urls.map(StreamUrl::key).collect()
}

impl Observation<'_> {
    fn judge(&self) -> Findings {
        let mut findings = Findings::default();
        let keys = keys(&self.before);
        secrets::check_holdings(&mut findings, &self.holdings, &keys);
        secrets::check_snapshot(&mut findings, &self.snapshot, &keys);
        findings.figure("profile_files_with_keys", self.profile_files_with_keys);
        findings.expect(self.profile_files_with_keys == 0, || {
            "the browser's profile has a stream key".to_owned()
        });
        findings.figure("signed_in_after_browser_restart", self.signed_in);
        self.judge_idle(&mut findings);
        findings.figure("instance_restarted", self.instance_restarted);
        if !self.instance_restarted {
            findings.unchecked("the instance's restart: it is not ours, give --restart COMMAND");
        }
        findings.expect(self.before == self.after, || "a URL has changed".to_owned());
        findings.took("live_again_ms", Some(self.live_again_ms), 0..=LIVE_MS_MAX);
        findings
    }

    /// While nobody streams no connection is shown live.
    fn judge_idle(&self, findings: &mut Findings) {
        let (from_ms, to_ms) = self.idle_ms;
        for name in self.names {
            let cards = self.timeline.cards(name, from_ms, to_ms);
            let states: BTreeSet<&str> = cards.map(|(_, card)| card.state.as_str()).collect();
            findings.expect(!states.is_empty(), || format!("{name} was not shown"));
            findings.expect(!states.contains("live"), || {
                format!("{name} was shown live; it was {states:?}")
            });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cases::links::fake::{live, sight};

    fn connection(name: &str, key: &str) -> Connection {
        let url =
            |prefix| StreamUrl::parse(&format!("srt://h:5000?streamid={prefix}_{key}")).unwrap();
        Connection {
            name: name.into(),
            sender: url("live"),
            media: url("play"),
        }
    }

    fn timeline(states: [&str; 2]) -> Timeline {
        let mut timeline = Timeline::default();
        timeline.extend([2000, 3000].map(|at_ms| {
            let cards = [("a", states[0]), ("b", states[1])].map(|(name, state)| {
                let mut card = live(name, at_ms, Vec::new());
                card.state = state.into();
                card
            });
            sight(at_ms, cards.into())
        }));
        timeline
    }

    fn good(timeline: &Timeline) -> Observation<'_> {
        Observation {
            timeline,
            names: ["a", "b"],
            holdings: Holdings {
                local_storage: "{}".into(),
                session_storage: "{}".into(),
                databases: "[]".into(),
                caches: "[]".into(),
                http_only_cookies: 1,
                cookies: 1,
                ..Holdings::default()
            },
            snapshot: Snapshot {
                list: serde_json::json!({"connections": []}),
                live: Default::default(),
            },
            profile_files_with_keys: 0,
            signed_in: true,
            idle_ms: (1000, 4000),
            instance_restarted: true,
            before: [connection("a", "0af1"), connection("b", "0af2")],
            after: [connection("a", "0af1"), connection("b", "0af2")],
            live_again_ms: 3000,
        }
    }

    #[test]
    fn what_is_as_before_passes() {
        let timeline = timeline(["grace", "ready"]);
        let findings = good(&timeline).judge();
        assert!(findings.pass(), "{findings:?}");
        assert!(findings.left_out().is_empty());
    }

    #[test]
    fn a_status_that_is_falsely_live_fails() {
        assert!(!good(&timeline(["live", "ready"])).judge().pass());
        assert!(!good(&Timeline::default()).judge().pass());
    }

    #[test]
    fn a_key_that_changed_or_lies_about_fails() {
        let timeline = timeline(["ready", "ready"]);
        let mut observation = good(&timeline);
        observation.after[1] = connection("b", "0af3");
        assert!(!observation.judge().pass());
        let mut observation = good(&timeline);
        observation.profile_files_with_keys = 1;
        assert!(!observation.judge().pass());
        let mut observation = good(&timeline);
        observation.holdings.html = "srt://h:5000?streamid=live_0af1".into();
        assert!(!observation.judge().pass());
    }

    #[test]
    fn a_restart_that_could_not_be_done_is_said() {
        let timeline = timeline(["ready", "ready"]);
        let mut observation = good(&timeline);
        observation.instance_restarted = false;
        let findings = observation.judge();
        assert!(findings.pass());
        assert_eq!(findings.left_out().len(), 1);
    }
}
