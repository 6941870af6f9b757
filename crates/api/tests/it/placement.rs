//! Starts that happen at once.

use proto::fleet as pb;
use proto::fleet::node_message::Message;
use serde_json::{Value, json};

use crate::house::{ADMIN, House, eventually};
use crate::moves::joined_in;
use crate::node::{self, Node};

#[tokio::test(flavor = "multi_thread")]
async fn starts_at_once_stay_within_capacity_and_use_all_of_it() {
    let house = House::new().await;
    let (_, _one) = node::joined(&house, "one", 2).await;
    let (_, _two) = node::joined(&house, "two", 1).await;
    let mut users = Vec::new();
    for number in 0..8 {
        users.push(house.user(&format!("user {number}")).await);
    }
    let starts = users.iter().map(|user| house.start(user, "cam1"));
    let answers = futures_util::future::join_all(starts).await;
    let with = |status| {
        answers
            .iter()
            .filter(|answer| answer.status == status)
            .count()
    };
    assert_eq!((with(201), with(503)), (3, 5), "{answers:?}");
    let refused = answers.iter().find(|answer| answer.status == 503).unwrap();
    assert_eq!(refused.body["error"]["reason_code"], "nodes_full");
}

#[tokio::test(flavor = "multi_thread")]
async fn one_connection_has_one_session_however_many_ask() {
    let house = House::new().await;
    let (_, _node) = node::joined(&house, "one", 10).await;
    let user = house.user("someone").await;
    let starts = (0..8).map(|_| house.start(&user, "cam1"));
    let answers = futures_util::future::join_all(starts).await;
    let created = answers.iter().filter(|answer| answer.status == 201).count();
    assert_eq!(created, 1, "{answers:?}");
    let id = &answers[0].body["session"]["session_id"];
    assert!(
        answers
            .iter()
            .all(|answer| &answer.body["session"]["session_id"] == id)
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn another_region_than_asked_for_is_said() {
    let house = House::new().await;
    let (_, _node) = node::joined(&house, "one", 10).await;
    let user = house.user("someone").await;
    let request = json!({"connection_id": "a", "region_preference": "far"});
    let far = house.post(&user, "/api/v1/relay/start", request).await;
    assert_eq!(far.body["session"]["region_fallback"], true);
    assert_eq!(far.body["session"]["region"], "local");
    let request = json!({"connection_id": "b", "region_preference": "local"});
    let near = house.post(&user, "/api/v1/relay/start", request).await;
    assert_eq!(near.body["session"]["region_fallback"], false);
}

/// What explain says of a node for a user: the round trip, and what it adds to the cost.
async fn explained(house: &House, user: Option<&str>, node: &str) -> (Value, Value) {
    let body = json!({"user_id": user});
    let path = "/api/v1/ops/placement/explain";
    let explained = house.post(ADMIN, path, body).await.body;
    let mut candidates = explained["candidates"].as_array().unwrap().iter();
    let candidate = candidates.find(|it| it["node_id"] == node).unwrap();
    (
        candidate["rtt_ms"].clone(),
        candidate["terms"]["latency"].clone(),
    )
}

/// A stream of a user in a region, that the node there is this far from.
async fn measured(house: &House, token: &str, node: &mut Node, (region, rtt_us): (&str, u32)) {
    let body = json!({"connection_id": region, "region_preference": region});
    let started = house.post(token, "/api/v1/relay/start", body).await;
    assert_eq!(started.status, 201, "{started:?}");
    let session_id = node.assigned().await.session_id;
    node.say(Message::Heartbeat(pb::Heartbeat {
        boot_id: "boot".into(),
        held_session_ids: vec![session_id.clone()],
        publishing_session_ids: vec![session_id.clone()],
        traffic: vec![pb::SessionTraffic {
            session_id,
            publisher_rtt_us: rtt_us,
            ..Default::default()
        }],
        ..Default::default()
    }))
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_goes_where_its_users_own_round_trips_are_short() {
    let house = House::new().await;
    let (near, mut near_node) = joined_in(&house, "near").await;
    let (far, mut far_node) = joined_in(&house, "far").await;
    let made = json!({"name": "someone"});
    let made = house.post(ADMIN, "/api/v1/ops/users", made).await.body;
    let (id, token) = (made["user_id"].as_str(), made["token"].as_str().unwrap());
    measured(&house, token, &mut near_node, ("near", 20_000)).await;
    measured(&house, token, &mut far_node, ("far", 180_500)).await;
    // 0.005 for each millisecond beyond the nearest.
    for (node, expected) in [
        (&near, (json!(20.0), json!(0.0))),
        (&far, (json!(180.5), json!(0.8025))),
    ] {
        eventually("the round trip is known", async || {
            explained(&house, id, node).await == expected
        })
        .await;
    }
    assert_eq!(explained(&house, None, &far).await.0, Value::Null);

    // The one that is near has more to do.
    let other = house.user("other").await;
    measured(&house, &other, &mut near_node, ("near", 0)).await;
    let start = async |token: &str| {
        let started = house.start(token, "anywhere").await;
        started.body["session"]["region"].clone()
    };
    assert_eq!(start(&other).await, "far", "nothing was measured");
    assert_eq!(start(token).await, "near");
}
