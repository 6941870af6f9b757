//! What owners set for their streams, and that it reaches the nodes.

use std::collections::BTreeSet;

use lease::{Claims, KeySet};
use model::NodeId;
use model::clock::Clock;
use model::settings::{Delivery, Encryption, Resume, Start};
use proto::fleet as pb;
use serde_json::{Value, json};

use crate::house::{ADMIN, Answer, House, masked};
use crate::node::{self, Enrolled};

/// The id of a user's stream of this name.
async fn stream_id(house: &House, token: &str, connection: &str) -> String {
    let listed = house.get(token, "/api/v1/streams").await;
    let streams = listed.body["streams"].as_array().unwrap().clone();
    let stream = streams
        .into_iter()
        .find(|stream| stream["connection_id"] == connection)
        .unwrap();
    stream["stream_id"].as_str().unwrap().to_owned()
}

fn path(stream: &str) -> String {
    format!("/api/v1/streams/{stream}/settings")
}

pub(crate) async fn set(house: &House, token: &str, connection: &str, settings: Value) -> Answer {
    let stream = stream_id(house, token, connection).await;
    house.patch(token, &path(&stream), settings).await
}

fn claims(house: &House, enrolled: &Enrolled, keyed: &pb::KeyedLease) -> Claims {
    let keys: &KeySet = &enrolled.keys;
    let node = NodeId::parse(&enrolled.node_id).unwrap();
    keys.verify(&keyed.lease, &node, house.clock.now()).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn settings_are_shown_changed_and_kept() {
    let house = House::new().await;
    let (_, _node) = node::joined(&house, "one", 10).await;
    house.start(ADMIN, "cam1").await;
    let listed = house.get(ADMIN, "/api/v1/streams").await;
    insta::assert_json_snapshot!("streams", masked(&listed));

    let stream = stream_id(&house, ADMIN, "cam1").await;
    let changed = set(
        &house,
        ADMIN,
        "cam1",
        json!({"hold_seconds": 30, "resume": "cut", "encryption": "required"}),
    )
    .await;
    insta::assert_json_snapshot!("settings", masked(&changed));
    assert_eq!(house.get(ADMIN, &path(&stream)).await, changed);

    let unset = house
        .patch(ADMIN, &path(&stream), json!({"resume": null}))
        .await;
    assert_eq!(unset.body["settings"]["resume"], Value::Null);
    assert_eq!(unset.body["settings"]["hold_seconds"], 30);

    // The slot keeps them from session to session.
    house
        .post(
            ADMIN,
            "/api/v1/relay/stop",
            json!({"connection_id": "cam1"}),
        )
        .await;
    house.start(ADMIN, "cam1").await;
    assert_eq!(house.get(ADMIN, &path(&stream)).await.body, unset.body);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_setting_that_is_not_possible_is_refused_and_changes_nothing() {
    let house = House::new().await;
    let (_, _node) = node::joined(&house, "one", 10).await;
    house.start(ADMIN, "cam1").await;
    let before = set(&house, ADMIN, "cam1", json!({"latency_max_ms": 1000})).await;
    for (body, message) in [
        (
            json!({"hold_seconds": 10, "players_max": 0}),
            "players_max: 1 to 1024",
        ),
        (
            json!({"latency_min_ms": 1001}),
            "latency_min_ms: at most latency_max_ms",
        ),
        (json!({"colour": "red"}), "colour: there is no such setting"),
        (json!("cut"), "the body is not an object of settings"),
    ] {
        let refused = set(&house, ADMIN, "cam1", body).await;
        assert_eq!(refused.status, 400, "{refused:?}");
        assert_eq!(refused.body["error"]["code"], "invalid_request");
        assert_eq!(refused.body["error"]["message"], message);
    }
    let stream = stream_id(&house, ADMIN, "cam1").await;
    assert_eq!(house.get(ADMIN, &path(&stream)).await, before);
}

#[tokio::test(flavor = "multi_thread")]
async fn another_tenants_stream_is_as_unknown_as_none() {
    let house = House::new().await;
    let (_, _node) = node::joined(&house, "one", 10).await;
    let (mine, other) = (house.user("me").await, house.user("other").await);
    house.start(&mine, "cam1").await;
    let stream = stream_id(&house, &mine, "cam1").await;
    let none = house.get(&other, &path("str_1")).await;
    assert_eq!(none.status, 404);
    let message = |answer: &Answer| answer.body["error"]["message"].clone();
    let change = json!({"hold_seconds": 1});
    for answer in [
        house.get(&other, &path(&stream)).await,
        house.get(&mine, &path("nonsense")).await,
        house.patch(&other, &path(&stream), change.clone()).await,
        house.patch(&mine, &path("str_1"), change.clone()).await,
    ] {
        assert_eq!((answer.status, message(&answer)), (404, message(&none)));
    }
    let listed = house.get(&other, "/api/v1/streams").await;
    assert_eq!(listed.body, json!({"streams": []}));
    let unset = house.get(&mine, &path(&stream)).await;
    assert_eq!(unset.body["settings"]["hold_seconds"], Value::Null);
    // The operator may.
    let changed = house.patch(ADMIN, &path(&stream), change).await;
    assert_eq!(changed.status, 200);
    assert_eq!(house.get(&mine, &path(&stream)).await, changed);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_change_reaches_the_node_of_a_live_session_at_once() {
    // Nothing but the notification can bring it within the test.
    let house = House::with(|config| config.fleet.sync_seconds = 3600).await;
    let (enrolled, mut node) = node::joined(&house, "one", 10).await;
    house.start(ADMIN, "cam1").await;
    let first = node.assigned().await.publish.unwrap();
    assert_eq!(claims(&house, &enrolled, &first).hold_seconds, None);
    assert_eq!(first.passphrase, "");

    let all = json!({
        "latency_min_ms": 200, "latency_max_ms": 2000, "rate_bps_max": 20_000_000,
        "bytes_max": 5_000_000_000_u64, "players_max": 8, "hold_seconds": 30,
        "resume": "cut", "delivery": "buffered", "start": "keyframe", "encryption": "optional",
    });
    assert_eq!(set(&house, ADMIN, "cam1", all).await.status, 200);
    let assigned = node.assigned().await;
    let both = [assigned.publish.unwrap(), assigned.play.unwrap()];
    for keyed in &both {
        let claims = claims(&house, &enrolled, keyed);
        assert_eq!(claims.latency_min_ms, Some(200));
        assert_eq!(claims.latency_max_ms, Some(2_000));
        assert_eq!(claims.rate_bps_max, Some(20_000_000));
        assert_eq!(claims.bytes_max, Some(5_000_000_000));
        assert_eq!(claims.players_max, Some(8));
        assert_eq!(claims.hold_seconds, Some(30));
        assert_eq!(claims.resume, Some(Resume::Cut));
        assert_eq!(claims.delivery, Some(Delivery::Buffered));
        assert_eq!(claims.start, Some(Start::Keyframe));
        assert_eq!(claims.encryption, Some(Encryption::Optional));
    }
    let passphrases: BTreeSet<_> = both.iter().map(|keyed| &keyed.passphrase).collect();
    assert_eq!(passphrases.len(), 2, "a role has its own");
    assert!(passphrases.iter().all(|passphrase| passphrase.len() == 32));

    // Off again: the secret goes from the node.
    set(&house, ADMIN, "cam1", json!({"encryption": "off"})).await;
    let publish = node.assigned().await.publish.unwrap();
    assert_eq!(
        claims(&house, &enrolled, &publish).encryption,
        Some(Encryption::Off)
    );
    assert_eq!(publish.passphrase, "");
}

#[tokio::test(flavor = "multi_thread")]
async fn owners_see_the_passphrase_that_the_node_gets() {
    let house = House::new().await;
    let (_, mut node) = node::joined(&house, "one", 10).await;
    let clear = house.start(ADMIN, "cam1").await;
    let url = |answer: &Answer, name: &str| {
        let url = answer.body["session"][name].as_str();
        url.unwrap().to_owned()
    };
    node.assigned().await;
    set(&house, ADMIN, "cam1", json!({"encryption": "required"})).await;
    let assigned = node.assigned().await;
    let active = house
        .get(ADMIN, "/api/v1/relay/active?connection_id=cam1")
        .await;
    let (publish, play) = (assigned.publish.unwrap(), assigned.play.unwrap());
    let credentials = &active.body["session"]["credentials"];
    assert_eq!(credentials["stream_passphrase"], publish.passphrase);
    assert_eq!(credentials["play_passphrase"], play.passphrase);
    for (name, keyed) in [
        ("srt_publish_url", &publish),
        ("sender_url", &publish),
        ("media_source_url", &play),
    ] {
        let query = format!("&passphrase={}&pbkeylen=16", keyed.passphrase);
        assert!(url(&active, name).contains(&query), "{name}");
        assert!(!url(&clear, name).contains("passphrase"), "{name}");
    }
    // The lease, which is not secret, has no part of it.
    assert!(!publish.lease.contains(&publish.passphrase));
}
