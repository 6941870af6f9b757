//! The rows of the plugin's contract about relays, usage and capacity.

use std::time::Duration;

use serde_json::{Value, json};

use crate::expiry;
use crate::house::{ADMIN, Answer, House, eventually, masked};
use crate::node;

const HEALTH: &str = "/api/v1/relay/health";
const MANIFEST: &str = "/api/v1/relay/manifest";
const USAGE: &str = "/api/v1/usage/current";
const CAPACITY: &str = "/api/v1/capacity/status";

/// Beside the bearer token, what the plugin sends and what makes answers compare.
async fn health(house: &House, token: &str, body: Value) -> Answer {
    let bearer = format!("Bearer {token}");
    let headers = [
        ("authorization", bearer.as_str()),
        ("x-relay-auth", "a key of the user's vault"),
        ("x-request-id", "test-1"),
    ];
    let body = Some(body.to_string());
    house.call("POST", HEALTH, &headers, body).await
}

async fn fetch(house: &House, token: &str, path: &str) -> Answer {
    let bearer = format!("Bearer {token}");
    let headers = [
        ("authorization", bearer.as_str()),
        ("x-request-id", "test-1"),
    ];
    house.call("GET", path, &headers, None).await
}

fn session_id(started: &Answer) -> String {
    let id = started.body["session"]["session_id"].as_str();
    id.unwrap_or_else(|| panic!("{started:?}")).to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn health_is_asked_for_with_both_kinds_of_connection_id() {
    let house = House::new().await;
    let (_, _node) = node::joined(&house, "one", 10).await;
    let user = house.user("someone").await;
    for connection in [
        "conn_1763700000000_1",
        "6b0b0b4e-9a3c-4a52-9c3f-0d1f3b0a6a11",
    ] {
        let started = house.start(&user, connection).await;
        assert_eq!(started.status, 201, "{started:?}");
        assert_eq!(started.body["session"]["connection_id"], connection);
        let instance = &started.body["session"]["instance_id"];
        let ask = json!({"session_id": session_id(&started), "instance_id": instance});
        let answer = health(&house, &user, ask.clone()).await;
        insta::assert_json_snapshot!("health", masked(&answer));

        let path = format!("/api/v1/relay/active?connection_id={connection}");
        let active = house.get(&user, &path).await;
        assert_eq!(active.body["session"]["session_id"], ask["session_id"]);
        let stop = json!({"connection_id": connection});
        let stopped = house.post(&user, "/api/v1/relay/stop", stop).await;
        assert_eq!(stopped.body["session_id"], ask["session_id"]);
        assert_eq!(health(&house, &user, ask).await.status, 404);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn health_of_an_expired_session_is_not_found_whatever_the_client_says() {
    let house = House::new().await;
    let (_, _node) = node::joined(&house, "one", 10).await;
    let user = house.user("someone").await;
    let started = house.start(&user, "conn_1763700000000_1").await;
    let ask = json!({
        "session_id": session_id(&started), "instance_id": "nod_of_another_time",
        "ingest_active": true, "egress_active": true, "session_uptime_seconds": 604_800,
        "observed_at": "2026-01-01T00:00:00Z",
    });
    // Every 30 s, as the plugin does: no word of it keeps the session.
    for _ in 0..9 {
        assert_eq!(health(&house, &user, ask.clone()).await.status, 200);
        house.advance(Duration::from_secs(30));
    }
    house.advance(Duration::from_secs(31));
    assert_eq!(expiry::expire(&house).await, [session_id(&started)]);
    let answer = health(&house, &user, ask).await;
    insta::assert_json_snapshot!("health_expired", masked(&answer));
}

#[tokio::test(flavor = "multi_thread")]
async fn health_is_refused_in_the_contracts_words() {
    let house = House::new().await;
    let (_, _node) = node::joined(&house, "one", 10).await;
    let (owner, other) = (house.user("owner").await, house.user("other").await);
    let started = house.start(&owner, "conn_1763700000000_1").await;
    let id = session_id(&started);
    let theirs = health(&house, &other, json!({"session_id": id})).await;
    insta::assert_json_snapshot!("health_of_somebody_else", masked(&theirs));
    let foreign = json!({"session_id": "byor-local-1"});
    let foreign = health(&house, &owner, foreign).await;
    assert_eq!(masked(&foreign), masked(&theirs));
    let anonymous = health(&house, "nobody", json!({"session_id": id})).await;
    assert_eq!(anonymous.status, 401);
    let cases = [
        ("health_unnamed", json!({})),
        (
            "health_uptime",
            json!({"session_id": id, "session_uptime_seconds": 604_801}),
        ),
        (
            "health_negative_uptime",
            json!({"session_id": id, "session_uptime_seconds": -1}),
        ),
        (
            "health_observed_at",
            json!({"session_id": id, "observed_at": "yesterday"}),
        ),
        (
            "health_instance",
            json!({"session_id": id, "instance_id": "a".repeat(65)}),
        ),
        (
            "health_unknown_field",
            json!({"session_id": id, "colour": "red"}),
        ),
    ];
    for (name, body) in cases {
        let refused = health(&house, &owner, body).await;
        insta::assert_json_snapshot!(name, masked(&refused));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_manifest_lists_regions_and_nodes_as_they_are() {
    let house = House::with(|config| {
        let region = |name: &str| model::Region::parse(name).unwrap();
        config.regions = vec![region("eu-west"), region("local")];
    })
    .await;
    let user = house.user("someone").await;
    let empty = fetch(&house, &user, MANIFEST).await;
    insta::assert_json_snapshot!("manifest_without_nodes", masked(&empty));
    let nobody = fetch(&house, "", CAPACITY).await;
    insta::assert_json_snapshot!("capacity_offline", masked(&nobody));
    assert_eq!(fetch(&house, "nobody", MANIFEST).await.status, 401);

    let (_, _node) = node::joined(&house, "one", 1).await;
    house.advance(Duration::from_secs(5));
    insta::assert_json_snapshot!("manifest", masked(&fetch(&house, &user, MANIFEST).await));
    let available = fetch(&house, "", CAPACITY).await;
    insta::assert_json_snapshot!("capacity", masked(&available));

    assert_eq!(house.start(&user, "cam").await.status, 201);
    // A look at the fleet is good for a while.
    assert_eq!(fetch(&house, "", CAPACITY).await, available);
    house.advance(Duration::from_secs(5));
    let full = fetch(&house, &user, MANIFEST).await;
    insta::assert_json_snapshot!("manifest_full", masked(&full));
    let full = fetch(&house, "", CAPACITY).await;
    insta::assert_json_snapshot!("capacity_full", masked(&full));

    house.advance(Duration::from_secs(60));
    let silent = fetch(&house, "", CAPACITY).await;
    assert_eq!(silent.body["status"], "offline");
}

#[tokio::test(flavor = "multi_thread")]
async fn usage_counts_media_time_against_the_plan() {
    let house = House::new().await;
    let (_, node) = node::joined(&house, "one", 10).await;
    let user = house.user("someone").await;
    insta::assert_json_snapshot!("usage", masked(&fetch(&house, &user, USAGE).await));
    assert_eq!(fetch(&house, "nobody", USAGE).await.status, 401);

    let plan = json!({"max_concurrent_conns": 1, "included_seconds": 7});
    let bearer = format!("Bearer {ADMIN}");
    let headers = [("authorization", bearer.as_str())];
    let set = house
        .call(
            "PUT",
            "/api/v1/ops/plans/standard",
            &headers,
            Some(plan.to_string()),
        )
        .await;
    assert_eq!(set.status, 204, "{set:?}");
    let started = house.start(&user, "cam").await;
    let id = session_id(&started);
    node.beat(&[&id], &[&id]).await;
    eventually("publishing", async || {
        let active = house.get(&user, "/api/v1/relay/active").await;
        active.body["session"]["publishing"] == true
    })
    .await;
    for seconds in [5, 10, 15] {
        house.advance(Duration::from_secs(5));
        node.beat(&[&id], &[&id]).await;
        eventually("counted", async || {
            let usage = fetch(&house, &user, USAGE).await;
            usage.body["consumed_seconds"] == seconds
        })
        .await;
    }
    let usage = fetch(&house, &user, USAGE).await;
    insta::assert_json_snapshot!("usage_over", masked(&usage));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_plan_without_overage_ends_with_its_bytes() {
    let house = House::new().await;
    let (_, mut node) = node::joined(&house, "one", 10).await;
    let user = house.user("someone").await;
    let set = async |overage_allowed: bool| {
        let plan = json!({
            "max_concurrent_conns": 2, "included_bytes": 3000, "overage_allowed": overage_allowed,
        });
        let bearer = format!("Bearer {ADMIN}");
        let headers = [("authorization", bearer.as_str())];
        let path = "/api/v1/ops/plans/standard";
        let body = Some(plan.to_string());
        assert_eq!(house.call("PUT", path, &headers, body).await.status, 204);
    };
    set(false).await;
    assert_eq!(house.start(&user, "cam1").await.status, 201);
    let session = node.assigned().await.session_id;
    crate::moves::beat(&node, &session, false).await;
    eventually("counted", async || {
        let usage = fetch(&house, &user, USAGE).await.body;
        (&usage["consumed_bytes"], &usage["remaining_bytes"]) == (&json!(3000), &json!(0))
    })
    .await;
    let refused = house.start(&user, "cam2").await;
    assert_eq!(refused.status, 403, "{refused:?}");
    assert_eq!(
        refused.body["error"]["reason_code"],
        "subscription_inactive"
    );
    // What runs goes on, and a slot takes nothing of the month.
    assert_eq!(house.start(&user, "cam1").await.status, 200);
    let slot = house.post(&user, "/api/v1/streams", json!({})).await;
    assert_eq!(slot.status, 201, "{slot:?}");
    set(true).await;
    assert_eq!(house.start(&user, "cam2").await.status, 201);
}
