//! One intent, one session.

use std::time::Duration;

use serde_json::json;

use crate::house::{ADMIN, House};
use crate::node;

#[tokio::test(flavor = "multi_thread")]
async fn the_same_key_gives_the_same_session_even_after_its_end() {
    let house = House::new().await;
    let (_, _node) = node::joined(&house, "one", 1).await;
    let first = house
        .start_with_key(ADMIN, "k1", json!({"connection_id": "a"}))
        .await;
    assert_eq!(first.status, 201);
    // The only place is taken: a client that asks again gets its own session, not a refusal.
    let second = house
        .start_with_key(ADMIN, "k1", json!({"connection_id": "a"}))
        .await;
    assert_eq!(second.status, 200);
    let id = &first.body["session"]["session_id"];
    assert_eq!(&second.body["session"]["session_id"], id);
    house
        .post(ADMIN, "/api/v1/relay/stop", json!({"session_id": id}))
        .await;
    let third = house
        .start_with_key(ADMIN, "k1", json!({"connection_id": "a"}))
        .await;
    assert_eq!(third.status, 200);
    assert_eq!(third.body["session"]["status"], "stopped");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_same_key_with_another_body_is_refused() {
    let house = House::new().await;
    let (_, _node) = node::joined(&house, "one", 10).await;
    let body = json!({"connection_id": "a", "region_preference": "local"});
    house.start_with_key(ADMIN, "k1", body.clone()).await;
    let other = house
        .start_with_key(ADMIN, "k1", json!({"connection_id": "b"}))
        .await;
    assert_eq!(other.status, 409);
    assert_eq!(other.body["error"]["code"], "idempotency_mismatch");
    // Somebody else's key is another key.
    let user = house.user("someone").await;
    assert_eq!(
        house
            .start_with_key(&user, "k1", json!({"connection_id": "b"}))
            .await
            .status,
        201
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_is_forgotten_after_its_time() {
    let house = House::with(|config| config.fleet.offline_after_seconds = 100_000).await;
    let (_, _node) = node::joined(&house, "one", 10).await;
    let body = json!({"connection_id": "a"});
    let first = house.start_with_key(ADMIN, "k1", body.clone()).await;
    let id = &first.body["session"]["session_id"];
    house
        .post(ADMIN, "/api/v1/relay/stop", json!({"session_id": id}))
        .await;
    house.advance(Duration::from_secs(3601));
    let later = house.start_with_key(ADMIN, "k1", body).await;
    assert_eq!(later.status, 201);
    assert_ne!(&later.body["session"]["session_id"], id);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bad_key_is_refused() {
    let house = House::new().await;
    let long = "k".repeat(129);
    for key in ["", &long] {
        assert_eq!(
            house.start_with_key(ADMIN, key, json!({})).await.status,
            400
        );
    }
}
