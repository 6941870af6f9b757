//! Starts that happen at once.

use serde_json::json;

use crate::house::House;
use crate::node;

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
