//! The keys that sign leases: rotated without a refusal, revoked with all they signed.

use std::time::Duration;

use lease::{KeySet, Kid};
use model::NodeId;
use model::clock::Clock;
use proto::fleet as pb;
use proto::fleet::control_message::Directive;
use serde_json::{Value, json};

use crate::house::{ADMIN, Answer, House, eventually};
use crate::node::{self, Enrolled, Node};

const PATH: &str = "/api/v1/ops/keys";

/// The key in a state, by its id.
async fn kid(house: &House, state: &str) -> String {
    let listed = house.get(ADMIN, PATH).await.body;
    let keys = listed["keys"].as_array().unwrap();
    let found = keys.iter().find(|key| key["state"] == state);
    let found = found.unwrap_or_else(|| panic!("no {state} key: {listed}"));
    found["kid"].as_str().unwrap().to_owned()
}

async fn rotate(house: &House) -> Answer {
    house
        .post(ADMIN, &format!("{PATH}/rotate"), json!({}))
        .await
}

async fn revoke(house: &House, kid: &str) -> Answer {
    let path = format!("{PATH}/{kid}/revoke");
    house
        .post(ADMIN, &path, json!({"reason": "it leaked"}))
        .await
}

/// The key set that a node is told next.
async fn told(node: &mut Node) -> KeySet {
    let Directive::Keys(set) = node.follow().await else {
        panic!("not Keys")
    };
    let keys = set.keys.into_iter().map(|key| {
        let kid = Kid::parse(&key.kid).unwrap();
        (kid, key.public_key.try_into().unwrap())
    });
    KeySet::new(keys).unwrap()
}

/// Which key signed an assignment's leases.
fn signer(house: &House, enrolled: &Enrolled, keys: &KeySet, assign: &pb::AssignLease) -> String {
    let node = NodeId::parse(&enrolled.node_id).unwrap();
    let lease = &assign.publish.as_ref().unwrap().lease;
    let verified = keys.verify_named(lease, &node, house.clock.now());
    verified.unwrap().0.to_string()
}

fn names(keys: &KeySet) -> Vec<String> {
    keys.iter().map(|(kid, _)| kid.to_string()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rotation_promotes_the_key_that_nodes_know_and_refuses_nobody() {
    let house = House::new().await;
    let (enrolled, mut node) = node::joined(&house, "one", 10).await;
    house.start(ADMIN, "before").await;
    let before = node.assigned().await;
    let (old, next) = (kid(&house, "current").await, kid(&house, "next").await);
    assert_eq!(signer(&house, &enrolled, &enrolled.keys, &before), old);

    let rotated = rotate(&house).await;
    assert_eq!(rotated.status, 200, "{rotated:?}");
    assert_eq!(kid(&house, "current").await, next);
    assert_eq!(kid(&house, "retired").await, old);
    let keys = told(&mut node).await;
    assert_eq!(keys.len(), 3);
    // What the old key signed still counts, and the new key is one the node knew.
    assert_eq!(signer(&house, &enrolled, &keys, &before), old);
    house.start(ADMIN, "after").await;
    let after = node.assigned().await;
    assert_eq!(signer(&house, &enrolled, &enrolled.keys, &after), next);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_retired_key_goes_once_all_it_signed_has_run_out() {
    let house = House::new().await;
    let (_, mut node) = node::joined(&house, "one", 10).await;
    let old = kid(&house, "current").await;
    rotate(&house).await;
    assert!(names(&told(&mut node).await).contains(&old));
    house.advance(Duration::from_secs(3 * 3600));
    assert!(!names(&told(&mut node).await).contains(&old));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_revoked_key_goes_at_once_and_its_sessions_get_leases_of_another() {
    let house = House::new().await;
    let (enrolled, mut node) = node::joined(&house, "one", 10).await;
    house.start(ADMIN, "cam1").await;
    let before = node.assigned().await;
    let (old, next) = (kid(&house, "current").await, kid(&house, "next").await);

    let revoked = revoke(&house, &old).await;
    assert_eq!(revoked.status, 200, "{revoked:?}");
    let keys = told(&mut node).await;
    assert!(!names(&keys).contains(&old));
    let again = node.assigned().await;
    assert_eq!(again.session_id, before.session_id);
    assert_eq!(signer(&house, &enrolled, &keys, &again), next);

    assert_eq!(revoke(&house, &old).await.status, 409);
    assert_eq!(revoke(&house, "0123456789ab").await.status, 404);
    let path = format!("{PATH}/{next}/revoke");
    let nameless = house.post(ADMIN, &path, json!({"reason": " "})).await;
    assert_eq!(nameless.status, 400);
    let audit = house.get(ADMIN, "/api/v1/ops/audit?action=key").await.body;
    assert_eq!(audit["entries"].as_array().unwrap().len(), 1, "{audit}");
    assert_eq!(audit["entries"][0]["subject"], *old);
    assert_eq!(audit["entries"][0]["reason"], "it leaked");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_revoked_next_key_never_signs() {
    let house = House::new().await;
    let (current, next) = (kid(&house, "current").await, kid(&house, "next").await);
    revoke(&house, &next).await;
    assert_eq!(kid(&house, "current").await, current);
    assert_ne!(kid(&house, "next").await, next);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_keys_of_one_replica_are_those_of_all() {
    let house = House::new().await;
    let other = house.replica().await;
    let (_, mut node) = node::joined(&other, "one", 10).await;
    rotate(&house).await;
    let current = kid(&house, "current").await;
    assert!(names(&told(&mut node).await).contains(&current));
    eventually("signed with it", async || {
        kid(&other, "current").await == current
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn as_many_keys_are_believed_as_a_node_takes() {
    let house = House::new().await;
    let mut statuses = Vec::new();
    for _ in 0..7 {
        statuses.push(rotate(&house).await.status);
    }
    assert_eq!(statuses, [200, 200, 200, 200, 200, 200, 409]);
    house.advance(Duration::from_secs(3 * 3600));
    assert_eq!(rotate(&house).await.status, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_published_is_public() {
    let house = House::new().await;
    rotate(&house).await;
    let published = house.call("GET", "/.well-known/streamhaul-keys.json", &[], None);
    let published = published.await;
    assert_eq!(published.status, 200);
    let keys = published.body["keys"].as_array().unwrap();
    let states: Vec<&Value> = keys.iter().map(|key| &key["state"]).collect();
    assert_eq!(states, ["retired", "current", "next"]);
    for key in keys {
        let fields: Vec<&String> = key.as_object().unwrap().keys().collect();
        let known = ["algorithm", "believed_until", "kid", "public_key", "state"];
        assert!(
            fields.iter().all(|field| known.contains(&field.as_str())),
            "{key}"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn keys_survive_a_restart_and_are_nothing_without_their_sealing_key() {
    let house = House::new().await;
    rotate(&house).await;
    let current = kid(&house, "current").await;
    let again = house.replica().await;
    assert_eq!(kid(&again, "current").await, current);

    let error = house.refused(|config| {
        std::fs::write(&config.sealing_key_file, "08".repeat(32)).unwrap();
    });
    let error = format!("{:#}", Box::pin(error).await);
    assert!(error.contains("cannot be unsealed"), "{error}");
}
