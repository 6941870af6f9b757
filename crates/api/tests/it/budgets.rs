//! Byte budgets: held by starts, settled with nodes' counters, explained, reconciled.

use std::time::Duration;

use proto::fleet as pb;
use proto::fleet::node_message::Message;
use serde_json::{Value, json};
use storage::control::relief;

use crate::house::{ADMIN, House, eventually};
use crate::node::{self, Enrolled, Node, heard_since};
use crate::settling::settle;
use crate::streams::set;
use crate::upkeep::plan_moves;

/// What one session holds: 6 Mbit/s in and out with retransmissions and headers, 4 hours.
const HOLD_BYTES: u64 = 23_360_400_000;

fn monthly(limit_bytes: u64) -> Value {
    json!({"policy": {
        "port_bps": 1_000_000_000_u64,
        "overhead_ratio": 1.0,
        "allowance": {"kind": "monthly_cap", "limit_bytes": limit_bytes},
        "after": {"kind": "floor", "floor_bps": 1_000_000},
    }})
}

fn path(node: &Enrolled) -> String {
    format!("/api/v1/ops/nodes/{}/budget", node.node_id)
}

async fn budgeted(house: &House, name: &str, policy: Value) -> (Enrolled, Node) {
    let (enrolled, node) = node::joined(house, name, 100).await;
    let set = house.post(ADMIN, &path(&enrolled), policy).await;
    assert_eq!(set.status, 200, "{set:?}");
    (enrolled, node)
}

async fn show(house: &House, node: &Enrolled) -> Value {
    let shown = house.get(ADMIN, &path(node)).await;
    assert_eq!(shown.status, 200, "{shown:?}");
    shown.body
}

async fn beat(node: &Node, boot_id: &str, ingress: u64, egress: u64) {
    node.say(Message::Heartbeat(pb::Heartbeat {
        boot_id: boot_id.into(),
        ingress_bytes_total: ingress,
        egress_bytes_total: egress,
        ..Default::default()
    }))
    .await;
}

/// What a node's counters show.
struct Shown(&'static str, u64, u64);

/// A minute later they show this, and are settled.
async fn settled(house: &House, name: &str, node: &Node, shown: Shown) {
    house.advance(Duration::from_secs(61));
    let Shown(boot_id, ingress, egress) = shown;
    heard_since(house, name, beat(node, boot_id, ingress, egress)).await;
    assert!(settle(house).await > 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_start_holds_bytes_until_its_session_stops() {
    let house = House::new().await;
    let (enrolled, _node) = budgeted(&house, "one", monthly(32_000_000_000_000)).await;
    let user = house.user("someone").await;
    let started = house.start(&user, "cam1").await;
    assert_eq!(started.status, 201, "{started:?}");
    let held = show(&house, &enrolled).await["held_bytes"]
        .as_u64()
        .unwrap();
    assert!(held.abs_diff(HOLD_BYTES) < HOLD_BYTES / 20, "{held}");
    let stop = json!({"session_id": started.body["session"]["session_id"]});
    assert_eq!(
        house.post(&user, "/api/v1/relay/stop", stop).await.status,
        200
    );
    assert_eq!(show(&house, &enrolled).await["held_bytes"], 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn starts_at_once_hold_no_more_than_there_is() {
    let house = House::new().await;
    // 95 % of it is enough for three sessions and a half.
    let (enrolled, _node) = budgeted(&house, "one", monthly(HOLD_BYTES * 35 / 10 * 100 / 95)).await;
    let mut users = Vec::new();
    for number in 0..8 {
        users.push(house.user(&format!("user {number}")).await);
    }
    let starts = users.iter().map(|user| house.start(user, "cam1"));
    let answers = futures_util::future::join_all(starts).await;
    let created = answers.iter().filter(|it| it.status == 201).count();
    assert_eq!(created, 3, "{answers:?}");
    let refused = answers.iter().find(|it| it.status != 201).unwrap();
    assert_eq!(refused.status, 503);
    assert_eq!(refused.body["error"]["reason_code"], "nodes_full");
    let explained = house
        .post(ADMIN, "/api/v1/ops/placement/explain", json!({}))
        .await;
    let candidate = &explained.body["candidates"][0];
    assert_eq!(candidate["node_id"], enrolled.node_id.as_str());
    assert_eq!(candidate["refusal"], "budget_spent");
    assert_eq!(explained.body["node_id"], Value::Null);
    // A smaller one still fits.
    let small = json!({"stream_bps": 1_000_000});
    let explained = house
        .post(ADMIN, "/api/v1/ops/placement/explain", small)
        .await;
    assert_eq!(explained.body["node_id"], enrolled.node_id.as_str());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_avoids_the_node_whose_allowance_will_not_last_and_says_why() {
    let house = House::new().await;
    let (scarce, _one) = budgeted(&house, "scarce", monthly(50_000_000_000)).await;
    let (ample, _two) = budgeted(&house, "ample", monthly(32_000_000_000_000)).await;
    let user = house.user("someone").await;
    let started = house.start(&user, "cam1").await;
    let session = started.body["session"]["session_id"].as_str().unwrap();
    let why = house
        .get(ADMIN, &format!("/api/v1/ops/placement/sessions/{session}"))
        .await;
    let candidates = why.body["candidates"].as_array().unwrap();
    assert_eq!(candidates[0]["node_id"], ample.node_id.as_str());
    assert_eq!(candidates[1]["node_id"], scarce.node_id.as_str());
    let term = |candidate: &Value| candidate["terms"]["budget"].as_f64().unwrap();
    assert!(term(&candidates[1]) > term(&candidates[0]));
    for name in ["region", "latency", "budget", "money", "port", "load"] {
        assert!(candidates[0]["terms"][name].is_number(), "{name}");
    }
    let unknown = "/api/v1/ops/placement/sessions/ses_1";
    assert_eq!(house.get(ADMIN, unknown).await.status, 404);
}

#[tokio::test(flavor = "multi_thread")]
async fn real_bytes_are_settled_across_boots() {
    let house = House::new().await;
    let (enrolled, node) = budgeted(&house, "one", monthly(32_000_000_000_000)).await;
    // What is from before anybody counted is not counted.
    settled(&house, "one", &node, Shown("a", 500, 500)).await;
    settled(&house, "one", &node, Shown("a", 1_500, 3_500)).await;
    assert_eq!(show(&house, &enrolled).await["used_bytes"], 4_000);
    // More goes through, and before it is settled the node starts again.
    house.advance(Duration::from_secs(5));
    heard_since(&house, "one", beat(&node, "a", 1_600, 3_600)).await;
    drop(node);
    let node = node::connect(&house, &enrolled, 100, Vec::new())
        .await
        .unwrap();
    eventually("what the boot before left is counted", async || {
        show(&house, &enrolled).await["used_bytes"] == 4_200
    })
    .await;
    settled(&house, "one", &node, Shown("b", 10, 20)).await;
    assert_eq!(show(&house, &enrolled).await["used_bytes"], 4_230);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_providers_reading_replaces_ours_and_is_written_down() {
    let house = House::new().await;
    let (enrolled, _node) = budgeted(&house, "one", monthly(32_000_000_000_000)).await;
    let reconcile = format!("{}/reconcile", path(&enrolled));
    let reading = json!({"used_bytes": 31_000_000_000_000_u64, "restricted": true});
    let answer = house.post(ADMIN, &reconcile, reading).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    assert_eq!(answer.body["used_bytes"], 31_000_000_000_000_u64);
    assert_eq!(answer.body["restriction"], "exhausted");
    let event = &answer.body["events"][0];
    assert_eq!(event["kind"], "reconciled");
    assert_eq!(event["details"]["ours_bytes"], 0);
    assert!(event["user_id"].is_string());
    let user = house.user("someone").await;
    let state = async || {
        let listed = house.get(ADMIN, "/api/v1/ops/nodes").await.body;
        listed["nodes"][0]["state"].clone()
    };
    assert_eq!(
        state().await,
        "exhausted",
        "the node's state follows at once"
    );
    assert_eq!(house.start(&user, "cam1").await.status, 503);
    let lifted = json!({"used_bytes": 1000, "restricted": false});
    let answer = house.post(ADMIN, &reconcile, lifted).await;
    assert_eq!(answer.body["restriction"], "open");
    assert_eq!(state().await, "active");
    assert_eq!(house.start(&user, "cam1").await.status, 201);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_offer_that_is_none_is_refused_by_name_and_one_can_be_taken_away() {
    let house = House::new().await;
    let (enrolled, _node) = budgeted(&house, "one", monthly(1_000_000_000_000)).await;
    let wrong = house.post(ADMIN, &path(&enrolled), monthly(0)).await;
    assert_eq!(wrong.status, 400);
    let message = wrong.body["error"]["message"].as_str().unwrap();
    assert!(
        message.contains("policy.allowance.limit_bytes"),
        "{message}"
    );
    let nobody = "/api/v1/ops/nodes/nod_1/budget";
    assert_eq!(house.post(ADMIN, nobody, monthly(1)).await.status, 404);
    let none = json!({"policy": null});
    let removed = house.post(ADMIN, &path(&enrolled), none).await;
    assert_eq!(removed.status, 200);
    assert_eq!(house.get(ADMIN, &path(&enrolled)).await.status, 404);
}

/// Counts `bytes` in each direction at a node; as many were counted a minute before.
async fn carried(house: &House, name: &str, node: &Node, bytes: u64) {
    settled(house, name, node, Shown("boot", 0, 0)).await;
    settled(house, name, node, Shown("boot", bytes, bytes)).await;
}

async fn heard(house: &House, name: &str, node: &Node) {
    heard_since(house, name, node.beat(&[], &[])).await;
}

async fn active(house: &House) -> Value {
    let path = "/api/v1/relay/active?connection_id=cam1";
    house.get(ADMIN, path).await.body["session"].clone()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_leaves_a_node_before_its_cap_bites() {
    let house = House::new().await;
    let (_, mut one) = budgeted(&house, "scarce", monthly(50_000_000_000)).await;
    assert_eq!(house.start(ADMIN, "cam1").await.status, 201);
    let id = one.assigned().await.session_id;
    let (_, mut two) = budgeted(&house, "ample", monthly(32_000_000_000_000)).await;
    // There is no hurry yet.
    assert_eq!(plan_moves(&house).await, 0);
    assert_eq!(active(&house).await["session_id"], id.as_str());
    carried(&house, "scarce", &one, 23_000_000_000).await;
    heard(&house, "ample", &two).await;
    assert_eq!(plan_moves(&house).await, 1);
    let assigned = two.assigned().await;
    assert!(assigned.pull.is_some(), "the picture stays");
    assert_eq!(active(&house).await["moving_from"], id.as_str());

    let audit = "/api/v1/ops/audit?action=session.move";
    let entries = house.get(ADMIN, audit).await.body["entries"].clone();
    let entry = &entries[0];
    assert_eq!(
        (&entry["actor"], &entry["subject"]),
        (&json!("api"), &json!(id))
    );
    assert_eq!(entry["detail"]["successor"], assigned.session_id);
    assert_eq!(entry["detail"]["restriction"], "open");
    assert_eq!(entry["detail"]["quota"]["limit_bytes"], 47_500_000_000_u64);
    assert!(entry["detail"]["quota"]["horizons"][0]["until"].is_number());

    // What leaves is not planned again.
    house.advance(Duration::from_secs(61));
    heard(&house, "scarce", &one).await;
    heard(&house, "ample", &two).await;
    assert_eq!(plan_moves(&house).await, 0);
    let entries = house.get(ADMIN, audit).await.body["entries"].clone();
    assert_eq!(entries.as_array().unwrap().len(), 1, "{entries}");
}

/// Two at once would each begin as many moves as there may be.
#[tokio::test(flavor = "multi_thread")]
async fn who_plans_moves_while_somebody_does_begins_none() {
    let house = House::new().await;
    let (_, mut one) = budgeted(&house, "scarce", monthly(50_000_000_000)).await;
    assert_eq!(house.start(ADMIN, "cam1").await.status, 201);
    one.assigned().await;
    let (_, two) = budgeted(&house, "ample", monthly(32_000_000_000_000)).await;
    carried(&house, "scarce", &one, 23_000_000_000).await;
    heard(&house, "ample", &two).await;
    let pool = house.pool();
    let mut somebody = storage::begin(&pool).await.unwrap();
    assert!(relief::take_turn(&mut somebody).await.unwrap());
    assert_eq!(plan_moves(&house).await, 0);
    storage::commit(somebody).await.unwrap();
    assert_eq!(plan_moves(&house).await, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn sessions_stay_where_they_are_when_moves_are_switched_off() {
    let house = House::with(|config| config.placement.moves_max = 0).await;
    let (_, mut one) = budgeted(&house, "scarce", monthly(50_000_000_000)).await;
    assert_eq!(house.start(ADMIN, "cam1").await.status, 201);
    let id = one.assigned().await.session_id;
    let (_, two) = budgeted(&house, "ample", monthly(32_000_000_000_000)).await;
    carried(&house, "scarce", &one, 23_000_000_000).await;
    heard(&house, "ample", &two).await;
    assert_eq!(plan_moves(&house).await, 0);
    let live = active(&house).await;
    assert_eq!(
        (&live["session_id"], &live["moving_from"]),
        (&json!(id), &Value::Null)
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_that_may_take_more_holds_more() {
    let house = House::new().await;
    let (enrolled, _node) = budgeted(&house, "one", monthly(32_000_000_000_000)).await;
    let held = async || {
        assert_eq!(house.start(ADMIN, "cam1").await.status, 201);
        let held = show(&house, &enrolled).await["held_bytes"].as_u64();
        let stop = json!({"connection_id": "cam1"});
        house.post(ADMIN, "/api/v1/relay/stop", stop).await;
        held.unwrap()
    };
    let usual = held().await;
    let more = json!({"rate_bps_max": 12_000_000, "players_max": 3});
    assert_eq!(set(&house, ADMIN, "cam1", more).await.status, 200);
    // One in and three out, at twice the rate, for one in and one out.
    let ratio = held().await as f64 / usual as f64;
    assert!((ratio - 4.0).abs() < 0.01, "{ratio}");
}

#[tokio::test(flavor = "multi_thread")]
async fn services_are_told_of_every_node_in_pages() {
    let house = House::new().await;
    let (one, _line) = budgeted(&house, "one", monthly(1_000_000)).await;
    let (two, _other) = node::joined(&house, "two", 7).await;
    let mut control = house.control().await;
    let (mut told, mut after_node_id) = (Vec::new(), String::new());
    loop {
        let request = pb::ListNodesRequest {
            after_node_id,
            limit: 1,
        };
        let page = control.list_nodes(request).await.unwrap().into_inner();
        assert_eq!(page.nodes.len(), 1);
        after_node_id = page.nodes[0].node_id.clone();
        told.extend(page.nodes);
        if !page.more {
            break;
        }
    }
    assert_eq!(told.len(), 2);
    let of = |id: &str| told.iter().find(|node| node.node_id == id).unwrap();
    let (one, two) = (of(&one.node_id), of(&two.node_id));
    assert_eq!((one.name.as_str(), two.name.as_str()), ("one", "two"));
    assert_eq!((two.sessions, two.sessions_max), (0, 7));
    assert!(one.heartbeat_age_ms.is_some() && !one.state.is_empty());
    let limit = one.budget.as_ref().unwrap().limit_bytes.unwrap();
    assert!((900_000..=1_000_000).contains(&limit), "{limit}");
    assert!(two.budget.is_none());
}
