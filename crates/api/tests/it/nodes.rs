//! What nodes are found to be, and what operators do with them.

use std::time::Duration;

use proto::fleet as pb;
use proto::fleet::control_message::Directive;
use proto::fleet::node_message::Message;
use serde_json::{Value, json};
use tonic::Code;

use crate::house::{ADMIN, House, eventually};
use crate::node::{self, Enrolled};

fn path(node: &Enrolled, what: &str) -> String {
    format!("/api/v1/ops/nodes/{}{what}", node.node_id)
}

async fn shown(house: &House, node: &Enrolled) -> Value {
    house.get(ADMIN, &path(node, "")).await.body
}

async fn becomes(house: &House, node: &Enrolled, state: &str) {
    eventually(state, async || shown(house, node).await["state"] == state).await;
}

/// What the audit says of a node's states, the oldest first.
async fn transitions(house: &House, node: &Enrolled) -> Vec<(String, String, String)> {
    let path = format!(
        "/api/v1/ops/audit?action=node.state&subject={}",
        node.node_id
    );
    let audit = house.get(ADMIN, &path).await.body;
    let entries = audit["entries"].as_array().unwrap().iter().rev();
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    entries
        .map(|entry| {
            let detail = &entry["detail"];
            (
                text(&detail["from"]),
                text(&detail["to"]),
                text(&entry["reason"]),
            )
        })
        .collect()
}

fn step(from: &str, to: &str, reason: &str) -> (String, String, String) {
    (from.to_owned(), to.to_owned(), reason.to_owned())
}

/// The candidate of an explanation that is this node.
async fn explained(house: &House, node: &Enrolled) -> Value {
    let path = "/api/v1/ops/placement/explain";
    let explained = house.post(ADMIN, path, json!({})).await.body;
    let candidates = explained["candidates"].as_array().unwrap().iter();
    let mut candidates = candidates.filter(|it| it["node_id"] == node.node_id.as_str());
    candidates.next().unwrap().clone()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_node_gets_few_sessions_until_it_was_well_for_its_probation() {
    let house = House::with(|config| {
        config.fleet.probation_seconds = 60;
        config.fleet.probation_sessions_max = 1;
        config.fleet.offline_after_seconds = 100;
    })
    .await;
    let (enrolled, node) = node::joined(&house, "one", 10).await;
    let known = shown(&house, &enrolled).await;
    assert_eq!(known["state"], "probation");
    assert_eq!(known["state_reason"], "not_trusted_yet");
    assert_eq!(house.start(ADMIN, "cam1").await.status, 201);
    assert_eq!(house.start(ADMIN, "cam2").await.status, 503);
    assert_eq!(explained(&house, &enrolled).await["refusal"], "probation");

    // A strained look, and it has to begin anew.
    let beat = async |load_ratio| {
        let before = shown(&house, &enrolled).await["heartbeat_at"].clone();
        house.advance(Duration::from_secs(9));
        node.beat_loaded(&[], load_ratio).await;
        eventually("heard", async || {
            shown(&house, &enrolled).await["heartbeat_at"] != before
        })
        .await;
    };
    for load_ratio in [0.1, 0.1, 0.99, 0.1, 0.1, 0.1, 0.1, 0.1, 0.1] {
        beat(load_ratio).await;
    }
    assert_eq!(shown(&house, &enrolled).await["state"], "probation");
    beat(0.1).await;
    becomes(&house, &enrolled, "active").await;
    assert_eq!(house.start(ADMIN, "cam2").await.status, 201);
    assert_eq!(
        transitions(&house, &enrolled).await,
        [
            step("new", "probation", "not_trusted_yet"),
            step("probation", "active", "well"),
        ]
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_strained_node_is_degraded_comes_last_and_recovers() {
    let house = House::new().await;
    let (enrolled, node) = node::joined(&house, "one", 10).await;
    for _ in 0..6 {
        node.beat_loaded(&[], 0.9).await;
    }
    becomes(&house, &enrolled, "degraded").await;
    let known = shown(&house, &enrolled).await;
    assert_eq!(known["state_reason"], "overloaded");
    assert_eq!(known["heartbeat"]["data_thread_load_ratio"], 0.9);
    assert_eq!(known["heartbeat"]["players"], 3);
    // The only one there is, so it is taken; any other would come first.
    assert_eq!(explained(&house, &enrolled).await["terms"]["health"], 50.0);
    assert_eq!(house.start(ADMIN, "cam1").await.status, 201);
    let (other, _node) = node::joined(&house, "two", 10).await;
    let second = house.start(ADMIN, "cam2").await;
    let session = second.body["session"]["session_id"].as_str().unwrap();
    let held = shown(&house, &other).await["live_sessions"].clone();
    assert_eq!(held[0]["session_id"], session);

    for _ in 0..12 {
        node.beat(&[], &[]).await;
    }
    becomes(&house, &enrolled, "active").await;
    assert_eq!(
        transitions(&house, &enrolled).await,
        [
            step("new", "active", "well"),
            step("active", "degraded", "overloaded"),
            step("degraded", "active", "well"),
        ]
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn looks_outlive_the_stream_on_which_they_were_taken() {
    let house = House::new().await;
    let (enrolled, node) = node::joined(&house, "one", 10).await;
    for _ in 0..5 {
        node.beat_loaded(&[], 0.9).await;
    }
    eventually("heard", async || {
        shown(&house, &enrolled).await["heartbeat"]["data_thread_load_ratio"] == 0.9
    })
    .await;
    drop(node);
    // The broken stream is the sixth strained look.
    eventually("kept", async || {
        let node = node::connect(&house, &enrolled, 10, Vec::new()).await;
        drop(node);
        shown(&house, &enrolled).await["state"] == "degraded"
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_draining_node_is_drained_when_its_last_session_is_gone() {
    let house = House::new().await;
    let (enrolled, mut node) = node::joined(&house, "one", 10).await;
    house.start(ADMIN, "cam1").await;
    node.assigned().await;
    let order = json!({"draining": true, "deadline_seconds": 1800, "reason": "new kernel"});
    let drained = house.post(ADMIN, &path(&enrolled, "/drain"), order).await;
    assert_eq!(drained.body["state"], "draining");
    assert_eq!(drained.body["state_reason"], "operator");
    assert_eq!(drained.body["intent_reason"], "new kernel");
    assert_eq!(drained.body["drain_deadline"], "2025-11-21T05:10:00Z");
    assert_eq!(
        node.follow().await,
        Directive::Drain(pb::Drain { draining: true })
    );
    assert_eq!(explained(&house, &enrolled).await["refusal"], "draining");

    let remove = async || house.delete(ADMIN, &path(&enrolled, "")).await.status;
    assert_eq!(remove().await, 409);
    let stop = json!({"connection_id": "cam1"});
    house.post(ADMIN, "/api/v1/relay/stop", stop).await;
    becomes(&house, &enrolled, "drained").await;
    // Neither a heartbeat nor a new stream undoes it.
    node.beat(&[], &[]).await;
    let _node = node::connect(&house, &enrolled, 10, Vec::new())
        .await
        .unwrap();
    assert_eq!(shown(&house, &enrolled).await["state"], "drained");
    let undone = json!({"draining": false});
    let undone = house.post(ADMIN, &path(&enrolled, "/drain"), undone).await;
    assert_eq!(undone.body["state"], "active");
    assert_eq!(undone.body["drain_deadline"], json!(null));
    assert_eq!(
        transitions(&house, &enrolled).await,
        [
            step("new", "active", "well"),
            step("active", "draining", "operator"),
            step("draining", "drained", "no_sessions"),
            step("drained", "active", "well"),
        ]
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deadline_is_soon_and_only_for_draining() {
    let house = House::new().await;
    let (enrolled, _node) = node::joined(&house, "one", 10).await;
    let drain = path(&enrolled, "/drain");
    for wrong in [
        json!({"draining": true, "deadline_seconds": 0}),
        json!({"draining": true, "deadline_seconds": 2_592_001}),
        json!({"draining": true, "deadline": "2025-11-21T04:39:59Z"}),
        json!({"draining": true, "deadline": "tomorrow"}),
        json!({"draining": true, "deadline": "2025-11-21T05:00:00Z", "deadline_seconds": 5}),
        json!({"draining": false, "deadline_seconds": 60}),
        json!({"draining": true, "reason": ""}),
    ] {
        let refused = house.post(ADMIN, &drain, wrong.clone()).await;
        assert_eq!(refused.status, 400, "{wrong}");
    }
    let order = json!({"draining": true, "deadline": "2025-11-21T06:00:00+01:00"});
    let drained = house.post(ADMIN, &drain, order).await;
    assert_eq!(drained.body["drain_deadline"], "2025-11-21T05:00:00Z");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_quarantined_node_keeps_what_it_has_and_earns_trust_again_when_released() {
    let house = House::with(|config| config.fleet.probation_seconds = 60).await;
    let made = json!({"name": "one", "probation": false});
    let made = house.post(ADMIN, "/api/v1/ops/nodes", made).await;
    let token = made.body["join_token"].as_str().unwrap();
    let enrolled = node::enrol(&house, token).await.unwrap();
    let mut node = node::connect(&house, &enrolled, 10, Vec::new())
        .await
        .unwrap();
    node.resync().await;
    assert_eq!(shown(&house, &enrolled).await["state"], "active");
    house.start(ADMIN, "cam1").await;
    let kept = node.assigned().await.session_id;

    let quarantine = path(&enrolled, "/quarantine");
    let order = json!({"quarantined": true, "reason": "odd traffic"});
    let quarantined = house.post(ADMIN, &quarantine, order).await;
    assert_eq!(quarantined.body["state"], "quarantined");
    assert_eq!(
        node.follow().await,
        Directive::Drain(pb::Drain { draining: true })
    );
    node.say(Message::Heartbeat(pb::Heartbeat {
        boot_id: "boot".into(),
        held_session_ids: vec![kept.clone()],
        draining: true,
        ..Default::default()
    }))
    .await;
    let known = shown(&house, &enrolled).await;
    assert_eq!(known["state"], "quarantined");
    assert_eq!(known["sessions"], 1);
    assert_eq!(house.start(ADMIN, "cam2").await.status, 503);
    assert_eq!(explained(&house, &enrolled).await["refusal"], "quarantined");
    // Draining is the lesser word: it neither replaces the quarantine nor ends it.
    for draining in [true, false] {
        let order = json!({"draining": draining});
        let refused = house.post(ADMIN, &path(&enrolled, "/drain"), order).await;
        assert_eq!(refused.status, 409, "{draining}");
    }

    let released = house
        .post(ADMIN, &quarantine, json!({"quarantined": false}))
        .await;
    assert_eq!(released.body["state"], "probation");
    assert_eq!(
        node.follow().await,
        Directive::Drain(pb::Drain { draining: false })
    );
    node.beat(&[&kept], &[&kept]).await;
    assert_eq!(shown(&house, &enrolled).await["state"], "probation");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_banned_node_is_cut_off_and_its_sessions_are_let_go() {
    let house = House::new().await;
    let (enrolled, mut node) = node::joined(&house, "one", 10).await;
    let started = house.start(ADMIN, "cam1").await;
    let session = started.body["session"]["session_id"].clone();
    node.assigned().await;
    let ban = path(&enrolled, "/ban");
    let order = json!({"banned": true, "reason": "stolen"});
    let banned = house.post(ADMIN, &ban, order).await;
    assert_eq!(banned.body["state"], "banned");
    assert_eq!(banned.body["sessions"], 0);
    // The stream is closed behind it: nobody hears an Ack.
    let Directive::Revoke(revoke) = node.next().await.1 else {
        panic!("not a Revoke")
    };
    assert_eq!(json!(revoke.session_id), session);
    assert_eq!(revoke.reason, "node_banned");
    assert_eq!(node.ended().await.code(), Code::PermissionDenied);
    let again = node::connect(&house, &enrolled, 10, Vec::new()).await;
    assert_eq!(again.err().unwrap().code(), Code::Unauthenticated);
    let mut control = house.control().await;
    let credential = enrolled.credential.clone();
    let known = control
        .authorize_node(pb::AuthorizeNodeRequest { credential })
        .await;
    assert_eq!(known.unwrap().into_inner().node_id, "");
    assert_eq!(explained(&house, &enrolled).await["refusal"], "banned");
    // The session's owner gets another node.
    let (other, _other) = node::joined(&house, "two", 10).await;
    assert_eq!(house.start(ADMIN, "cam1").await.status, 201);
    assert_eq!(shown(&house, &other).await["sessions"], 1);

    let back = house.post(ADMIN, &ban, json!({"banned": false})).await;
    assert_eq!(back.body["intent"], "none");
    node::connect(&house, &enrolled, 10, Vec::new())
        .await
        .unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_limit_reaches_the_node_and_placement() {
    let house = House::new().await;
    let (enrolled, mut node) = node::joined(&house, "one", 10).await;
    let limits = path(&enrolled, "/limits");
    let limited = house.post(ADMIN, &limits, json!({"sessions_max": 1})).await;
    assert_eq!(limited.body["sessions_max"], 1);
    assert_eq!(
        node.follow().await,
        Directive::Limits(pb::Limits { sessions_max: 1 })
    );
    assert_eq!(house.start(ADMIN, "cam1").await.status, 201);
    assert_eq!(house.start(ADMIN, "cam2").await.status, 503);
    for wrong in [0, 20_001] {
        let refused = house.post(ADMIN, &limits, json!({"sessions_max": wrong}));
        assert_eq!(refused.await.status, 400);
    }
    let lifted = house
        .post(ADMIN, &limits, json!({"sessions_max": null}))
        .await;
    assert_eq!(lifted.body["sessions_max"], 10);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_nobody_relies_on_is_removed_and_its_name_is_free() {
    let house = House::new().await;
    let (enrolled, mut node) = node::joined(&house, "one", 10).await;
    let remove = async || house.delete(ADMIN, &path(&enrolled, "")).await.status;
    assert_eq!(remove().await, 409);
    let order = json!({"draining": true});
    house.post(ADMIN, &path(&enrolled, "/drain"), order).await;
    assert_eq!(remove().await, 204);
    assert_eq!(node.ended().await.code(), Code::Unauthenticated);
    assert_eq!(remove().await, 404);
    let again = node::connect(&house, &enrolled, 10, Vec::new()).await;
    assert_eq!(again.err().unwrap().code(), Code::Unauthenticated);
    let listed = house.get(ADMIN, "/api/v1/ops/nodes").await;
    assert_eq!(listed.body["nodes"], json!([]));
    node::joined(&house, "one", 10).await;
    let audit = house
        .get(ADMIN, "/api/v1/ops/audit?action=node.remove")
        .await;
    assert_eq!(audit.body["entries"][0]["detail"]["name"], "one");
}
