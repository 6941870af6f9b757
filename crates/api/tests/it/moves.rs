//! Streams that move from node to node.

use std::time::Duration;

use proto::fleet as pb;
use proto::fleet::control_message::Directive;
use proto::fleet::node_message::Message;
use serde_json::{Value, json};

use crate::expiry::expire;
use crate::house::{ADMIN, Answer, House, eventually};
use crate::node::{self, Node};

/// A node that stands in a region.
pub(crate) async fn joined_in(house: &House, region: &str) -> (String, Node) {
    joined_as(house, region, true).await
}

/// The same, which can encrypt what it pulls or is too old to.
pub(crate) async fn joined_as(
    house: &House,
    region: &str,
    encrypts_remotes: bool,
) -> (String, Node) {
    let body = json!({"name": format!("node-{region}"), "region": region});
    let made = house.post(ADMIN, "/api/v1/ops/nodes", body).await;
    let token = made.body["join_token"].as_str().unwrap();
    let enrolled = node::enrol(house, token).await.unwrap();
    let hello = pb::Hello {
        encrypts_remotes,
        ..node::hello(&enrolled, 10, Vec::new())
    };
    let (mut node, _) = node::greeted(house, &enrolled, hello).await.unwrap();
    assert!(node.resync().await.is_empty());
    (enrolled.node_id, node)
}

/// A heartbeat of a node whose publisher is its own, or one that it pulls.
pub(crate) async fn beat(node: &Node, session: &str, pulled: bool) {
    node.say(Message::Heartbeat(pb::Heartbeat {
        boot_id: "boot".into(),
        held_session_ids: vec![session.to_owned()],
        publishing_session_ids: vec![session.to_owned()],
        traffic: vec![pb::SessionTraffic {
            session_id: session.to_owned(),
            ingress_bytes: 1000,
            egress_bytes: 2000,
            pulled,
            ..Default::default()
        }],
        ..Default::default()
    }))
    .await;
}

pub(crate) async fn start_in(house: &House, region: &str) -> Value {
    let body = json!({"connection_id": "cam1", "region_preference": region});
    let started = house.post(ADMIN, "/api/v1/relay/start", body).await;
    assert_eq!(started.status, 201, "{started:?}");
    started.body["session"].clone()
}

pub(crate) async fn migrate(house: &House, region: &str) -> Answer {
    let body = json!({"connection_id": "cam1", "new_region": region});
    house.post(ADMIN, "/api/v1/relay/migrate", body).await
}

pub(crate) async fn active(house: &House) -> Value {
    let path = "/api/v1/relay/active?connection_id=cam1";
    house.get(ADMIN, path).await.body["session"].clone()
}

/// A session that is published on a node in `eu`, and a node in `us`.
pub(crate) async fn published(house: &House) -> (String, Node, Node) {
    let (_, mut eu) = joined_in(house, "eu").await;
    let (_, us) = joined_in(house, "us").await;
    (published_on(house, &mut eu).await, eu, us)
}

/// A session that is published on a node in `eu`.
pub(crate) async fn published_on(house: &House, eu: &mut Node) -> String {
    start_in(house, "eu").await;
    let id = eu.assigned().await.session_id;
    beat(eu, &id, false).await;
    eventually("published", async || {
        active(house).await["publishing"] == true
    })
    .await;
    id
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_moves_make_before_break() {
    let house = House::new().await;
    let (old, mut eu, mut us) = published(&house).await;
    let moved = migrate(&house, "us").await;
    assert_eq!(moved.status, 202, "{moved:?}");
    let session = &moved.body["session"];
    let new = session["session_id"].as_str().unwrap().to_owned();
    assert_eq!(session["moving_from"], old.as_str());
    assert_eq!(session["region"], "us");
    assert_eq!(session["status"], "provisioning");

    let assign = us.assigned().await;
    assert_eq!(assign.session_id, new);
    let play = assign.play.unwrap().stream_key;
    let pull = assign.pull.expect("the picture comes from the old node");
    assert_eq!(pull.stream_id, format!("play_{play}"));
    assert_eq!((pull.host.as_str(), pull.port), ("relay.example", 5000));
    assert_eq!(active(&house).await["session_id"], new.as_str());

    // The new node has the picture, the old one the publisher: nothing ends.
    beat(&us, &new, true).await;
    eventually("active", async || {
        active(&house).await["status"] == "active"
    })
    .await;
    expire(&house).await;
    beat(&eu, &old, false).await;
    expire(&house).await;
    assert_eq!(active(&house).await["moving_from"], old.as_str());

    // The publisher has followed.
    beat(&us, &new, false).await;
    eventually("moved", async || {
        expire(&house).await;
        active(&house).await["moving_from"].is_null()
    })
    .await;
    let revoke = eu.revoked().await;
    assert_eq!(
        (revoke.session_id, revoke.reason),
        (old, "superseded".into())
    );
    let again = us.assigned().await;
    assert_eq!((again.session_id, again.pull), (new, None));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_user_moves_a_stream_once_an_hour() {
    let house = House::new().await;
    let (_, _eu, mut us) = published(&house).await;
    assert_eq!(migrate(&house, "nowhere").await.status, 503);
    let there = migrate(&house, "eu").await;
    assert_eq!(there.status, 409);
    assert_eq!(there.body["error"]["reason_code"], "already_there");
    assert_eq!(migrate(&house, "us").await.status, 202);
    let new = us.assigned().await.session_id;
    beat(&us, &new, false).await;
    let back = migrate(&house, "eu").await;
    assert_eq!(back.status, 429, "{back:?}");
    assert_eq!(back.body["error"]["reason_code"], "migration_cooldown");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_move_whose_new_node_is_lost_is_undone() {
    let house = House::new().await;
    let (old, mut eu, mut us) = published(&house).await;
    migrate(&house, "us").await;
    let new = us.assigned().await.session_id;
    beat(&us, &new, true).await;
    eventually("active", async || {
        active(&house).await["status"] == "active"
    })
    .await;
    let began = active(&house).await;
    let path = format!("/api/v1/ops/sessions/{old}");
    let lease = async || house.get(ADMIN, &path).await.body["session"]["lease_expires_at"].clone();
    let before = lease().await;
    house.advance(Duration::from_secs(61));
    beat(&eu, &old, false).await;
    // The old node is heard: only the new one is silent.
    eventually("renewed", async || lease().await != before).await;
    eventually("undone", async || {
        expire(&house).await;
        active(&house).await["session_id"] == old.as_str()
    })
    .await;
    assert_eq!(began["session_id"], new.as_str());
    assert_eq!(us.revoked().await.reason, "node_lost");
    // The old node loses nothing: what it hears next is the end.
    let stop = json!({"connection_id": "cam1"});
    house.post(ADMIN, "/api/v1/relay/stop", stop).await;
    assert_eq!(eu.revoked().await.reason, "requested");
}

#[tokio::test(flavor = "multi_thread")]
async fn stopping_a_stream_that_moves_ends_both_sessions() {
    let house = House::new().await;
    let (old, mut eu, mut us) = published(&house).await;
    migrate(&house, "us").await;
    let new = us.assigned().await.session_id;
    let stop = json!({"connection_id": "cam1"});
    house.post(ADMIN, "/api/v1/relay/stop", stop).await;
    assert_eq!(eu.revoked().await.session_id, old);
    assert_eq!(us.revoked().await.session_id, new);
    assert_eq!(active(&house).await, Value::Null);
}

#[tokio::test(flavor = "multi_thread")]
async fn sessions_leave_a_node_that_drains() {
    let house = House::new().await;
    let (node_id, mut eu) = joined_in(&house, "eu").await;
    let (_, mut us) = joined_in(&house, "us").await;
    start_in(&house, "eu").await;
    let old = eu.assigned().await.session_id;
    let path = format!("/api/v1/ops/nodes/{node_id}/drain");
    let drained = house.post(ADMIN, &path, json!({"draining": true})).await;
    assert_eq!(drained.status, 200, "{drained:?}");
    expire(&house).await;
    let new = us.assigned().await.session_id;
    assert_eq!(active(&house).await["moving_from"], old.as_str());
    // Nobody ever published to it: there is nothing to wait for.
    eventually("gone", async || {
        expire(&house).await;
        active(&house).await["moving_from"].is_null()
    })
    .await;
    assert_eq!(active(&house).await["session_id"], new.as_str());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_start_goes_elsewhere_at_once_when_the_node_has_died() {
    let house = House::new().await;
    let (_, mut eu) = joined_in(&house, "eu").await;
    let (_, mut us) = joined_in(&house, "us").await;
    start_in(&house, "eu").await;
    let old = eu.assigned().await.session_id;
    house.advance(Duration::from_secs(16));
    us.beat(&[], &[]).await;
    let again = async || house.start(ADMIN, "cam1").await;
    eventually("elsewhere", async || again().await.status == 201).await;
    let new = us.assigned().await.session_id;
    assert_ne!(new, old);
    assert_eq!(active(&house).await["region"], "us");
    assert_eq!(again().await.status, 200, "and only once");
}

/// Lets the house's node in `eu` drain for so many seconds.
async fn drain(house: &House, node_id: &str, deadline_seconds: u32) {
    let path = format!("/api/v1/ops/nodes/{node_id}/drain");
    let order = json!({"draining": true, "deadline_seconds": deadline_seconds});
    let drained = house.post(ADMIN, &path, order).await;
    assert_eq!(drained.status, 200, "{drained:?}");
}

async fn drained(house: &House, node_id: &str) -> bool {
    expire(house).await;
    let path = format!("/api/v1/ops/nodes/{node_id}");
    house.get(ADMIN, &path).await.body["state"] == "drained"
}

#[tokio::test(flavor = "multi_thread")]
async fn a_publisher_that_stays_is_cut_at_the_drains_deadline() {
    let house = House::new().await;
    let (eu_id, mut eu) = joined_in(&house, "eu").await;
    let (_, mut us) = joined_in(&house, "us").await;
    let old = published_on(&house, &mut eu).await;
    drain(&house, &eu_id, 10).await;
    expire(&house).await;
    let new = us.assigned().await.session_id;
    beat(&us, &new, true).await;
    beat(&eu, &old, false).await;

    // A moment before, the old node still has the publisher and its players.
    house.advance(Duration::from_millis(9_999));
    beat(&eu, &old, false).await;
    beat(&us, &new, true).await;
    expire(&house).await;
    assert_eq!(active(&house).await["moving_from"], old.as_str());
    assert!(!drained(&house, &eu_id).await);

    house.advance(Duration::from_millis(1));
    eventually("drained", async || drained(&house, &eu_id).await).await;
    let revoke = loop {
        if let Directive::Revoke(revoke) = eu.follow().await {
            break revoke;
        }
    };
    assert_eq!(
        (revoke.session_id, revoke.reason),
        (old, "superseded".into())
    );
    let after = active(&house).await;
    assert_eq!(after["session_id"], new.as_str());
    assert_eq!(after["moving_from"], Value::Null);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_no_other_node_takes_ends_at_the_drains_deadline() {
    let house = House::new().await;
    let (eu_id, mut eu) = joined_in(&house, "eu").await;
    let id = published_on(&house, &mut eu).await;
    drain(&house, &eu_id, 10).await;
    // There is nowhere to go: it stays for as long as it may.
    expire(&house).await;
    house.advance(Duration::from_millis(9_999));
    beat(&eu, &id, false).await;
    expire(&house).await;
    let waiting = active(&house).await;
    assert_eq!(waiting["session_id"], id.as_str());
    assert_eq!(waiting["moving_from"], Value::Null);

    house.advance(Duration::from_millis(1));
    eventually("drained", async || drained(&house, &eu_id).await).await;
    let revoke = loop {
        if let Directive::Revoke(revoke) = eu.follow().await {
            break revoke;
        }
    };
    assert_eq!(
        (revoke.session_id, revoke.reason),
        (id, "node_drained".into())
    );
    assert_eq!(active(&house).await, Value::Null);
}
