//! Silence: of nodes, of publishers, and our own.

use std::time::Duration;

use proto::fleet as pb;
use proto::fleet::control_message::Directive;
use serde_json::json;

use crate::house::{ADMIN, House, eventually};
use crate::node::{self, Node};

pub(crate) async fn expire(house: &House) -> Vec<String> {
    let request = pb::ExpireSessionsRequest { limit: 0 };
    house
        .control()
        .await
        .expire_sessions(request)
        .await
        .unwrap()
        .into_inner()
        .session_ids
}

async fn sweep(house: &House) -> Vec<String> {
    let request = pb::SweepNodesRequest {
        silent_after_ms: 15_000,
    };
    house
        .control()
        .await
        .sweep_nodes(request)
        .await
        .unwrap()
        .into_inner()
        .node_ids
}

/// A house that gives up no node: only leases count.
async fn patient() -> House {
    House::with(|config| config.fleet.lost_after_seconds = 100_000).await
}

async fn expires_at(house: &House) -> String {
    let active = house.get(ADMIN, "/api/v1/relay/active").await;
    active.body["session"]["lease_expires_at"]
        .as_str()
        .unwrap_or("none")
        .to_owned()
}

/// Starts a session that its node holds, and the control plane knows that it does:
/// expiry passes over a row that an acknowledgement is about to change.
async fn held_session(house: &House, node: &mut Node) -> String {
    house.start(ADMIN, "cam1").await;
    let id = node.assigned().await.session_id;
    eventually("confirmed", async || {
        let active = house.get(ADMIN, "/api/v1/relay/active").await;
        active.body["session"]["status"] == "active"
    })
    .await;
    id
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_without_heartbeats_expires_and_its_node_is_told() {
    let house = patient().await;
    let (_, mut node) = node::joined(&house, "one", 10).await;
    let id = held_session(&house, &mut node).await;
    house.advance(Duration::from_secs(299));
    assert!(expire(&house).await.is_empty());
    house.advance(Duration::from_secs(1));
    assert_eq!(expire(&house).await, std::slice::from_ref(&id));
    assert!(
        expire(&house).await.is_empty(),
        "expiring again finds nothing"
    );
    let revoke = node.revoked().await;
    assert_eq!(
        revoke,
        pb::Revoke {
            session_id: id,
            reason: "lease_expired".into()
        }
    );
    assert_eq!(house.get(ADMIN, "/api/v1/relay/active").await.status, 204);
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_expires_soon_after_our_own_start() {
    let house = House::with(|config| config.sessions.lease_seconds = 10).await;
    let (_, mut node) = node::joined(&house, "one", 10).await;
    let id = held_session(&house, &mut node).await;
    house.advance(Duration::from_secs(59));
    assert!(expire(&house).await.is_empty());
    house.advance(Duration::from_secs(1));
    assert_eq!(expire(&house).await, [id]);
}

#[tokio::test(flavor = "multi_thread")]
async fn heartbeats_renew_what_is_published_and_let_the_rest_lapse() {
    let house = patient().await;
    let (_, mut node) = node::joined(&house, "one", 10).await;
    let id = held_session(&house, &mut node).await;
    let began = expires_at(&house).await;
    house.advance(Duration::from_secs(200));
    node.beat(&[&id], &[&id]).await;
    eventually("renewed", async || expires_at(&house).await != began).await;
    let renewed = expires_at(&house).await;

    // Published within the grace: renewed. After it: not any more.
    house.advance(Duration::from_secs(250));
    node.beat(&[&id], &[]).await;
    eventually("renewed", async || expires_at(&house).await != renewed).await;
    house.advance(Duration::from_secs(299));
    assert!(expire(&house).await.is_empty());
    house.advance(Duration::from_secs(100));
    node.beat(&[&id], &[]).await;
    eventually("expired", async || expire(&house).await == [id.clone()]).await;
    assert_eq!(node.revoked().await.reason, "grace_over");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_ends_when_its_grace_is_over() {
    let house = patient().await;
    let (_, mut node) = node::joined(&house, "one", 10).await;
    let id = held_session(&house, &mut node).await;
    node.beat(&[&id], &[&id]).await;
    let publishing = async || {
        let active = house.get(ADMIN, "/api/v1/relay/active").await;
        active.body["session"]["publishing"] == true
    };
    eventually("published", publishing).await;
    house.advance(Duration::from_secs(250));
    node.beat(&[&id], &[]).await;
    eventually("in grace", async || !publishing().await).await;
    let renewed = expires_at(&house).await;
    house.advance(Duration::from_secs(250));
    node.beat(&[&id], &[]).await;
    eventually("renewed", async || expires_at(&house).await != renewed).await;
    house.advance(Duration::from_secs(99));
    assert!(expire(&house).await.is_empty());
    house.advance(Duration::from_secs(1));
    assert_eq!(expire(&house).await, [id], "its grace of 600 s is over");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_sessions_of_a_node_that_died_are_let_go_before_their_leases() {
    let house = House::new().await;
    let (_, mut node) = node::joined(&house, "one", 10).await;
    let id = held_session(&house, &mut node).await;
    let began = expires_at(&house).await;
    house.advance(Duration::from_secs(59));
    node.beat(&[&id], &[&id]).await;
    eventually("renewed", async || expires_at(&house).await != began).await;
    house.advance(Duration::from_secs(59));
    assert!(expire(&house).await.is_empty());
    house.advance(Duration::from_secs(1));
    assert_eq!(expire(&house).await, [id]);
    assert_eq!(node.revoked().await.reason, "node_lost");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_ends_with_its_longest_life_however_much_it_publishes() {
    let house = House::with(|config| {
        config.sessions.max_session_seconds = 400;
        config.fleet.offline_after_seconds = 100_000;
        config.fleet.lost_after_seconds = 100_000;
    })
    .await;
    let (_, mut node) = node::joined(&house, "one", 10).await;
    let id = held_session(&house, &mut node).await;
    let began = expires_at(&house).await;
    house.advance(Duration::from_secs(250));
    node.beat(&[&id], &[&id]).await;
    eventually("renewed", async || expires_at(&house).await != began).await;
    house.advance(Duration::from_secs(150));
    assert_eq!(expire(&house).await, std::slice::from_ref(&id));
    assert_eq!(node.revoked().await.reason, "max_duration");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_silent_node_is_swept_offline_and_returns_with_its_heartbeat() {
    let house = House::new().await;
    let (enrolled, node) = node::joined(&house, "one", 10).await;
    let state = async || {
        let listed = house.get(ADMIN, "/api/v1/ops/nodes").await;
        listed.body["nodes"][0]["state"]
            .as_str()
            .unwrap()
            .to_owned()
    };
    house.advance(Duration::from_secs(15));
    assert!(sweep(&house).await.is_empty());
    house.advance(Duration::from_secs(1));
    assert_eq!(sweep(&house).await, [enrolled.node_id]);
    assert_eq!(state().await, "offline");
    assert_eq!(house.start(ADMIN, "cam1").await.status, 503);
    node.beat(&[], &[]).await;
    eventually("active", async || state().await == "active").await;
    assert_eq!(house.start(ADMIN, "cam1").await.status, 201);
}

/// Its stream may know of the silence before the heartbeat that ends it, or after.
#[tokio::test(flavor = "multi_thread")]
async fn one_silence_does_not_degrade_a_node() {
    let house = House::new().await;
    let (enrolled, mut node) = node::joined(&house, "one", 10).await;
    let path = format!("/api/v1/ops/nodes/{}", enrolled.node_id);
    house.advance(Duration::from_secs(16));
    assert_eq!(sweep(&house).await, [enrolled.node_id]);
    // Its stream has looked since then, as it shows by what it tells.
    let limits = format!("{path}/limits");
    let limit = house.post(ADMIN, &limits, json!({"sessions_max": 5})).await;
    assert_eq!(limit.status, 200, "{limit:?}");
    let told = Directive::Limits(pb::Limits { sessions_max: 5 });
    assert_eq!(node.follow().await, told);
    node.beat(&[], &[]).await;
    let state = async || house.get(ADMIN, &path).await.body["state"].clone();
    eventually("back", async || state().await != "offline").await;
    assert_eq!(state().await, "active");
}
