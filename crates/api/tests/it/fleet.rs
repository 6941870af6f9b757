//! What a node is told, and what its words change.

use std::time::Duration;

use model::NodeId;
use model::clock::Clock;
use proto::fleet as pb;
use proto::fleet::control_message::Directive;
use proto::fleet::node_message::Message;
use serde_json::json;

use crate::house::{ADMIN, House, eventually};
use crate::node;

async fn status(house: &House, connection: &str) -> String {
    let path = format!("/api/v1/relay/active?connection_id={connection}");
    let active = house.get(ADMIN, &path).await;
    active.body["session"]["status"]
        .as_str()
        .unwrap_or("none")
        .to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_started_session_is_assigned_acknowledged_active_and_revoked_on_stop() {
    let house = House::new().await;
    let (enrolled, mut node) = node::joined(&house, "one", 10).await;
    let started = house.start(ADMIN, "cam1").await;
    let session = &started.body["session"];
    assert_eq!(session["status"], "provisioning");

    let assign = node.assigned().await;
    assert_eq!(assign.session_id, session["session_id"]);
    let (publish, play) = (assign.publish.unwrap(), assign.play.unwrap());
    assert_eq!(publish.stream_key, session["credentials"]["stream_token"]);
    assert_eq!(play.stream_key, session["credentials"]["play_token"]);
    let node_id = NodeId::parse(&enrolled.node_id).unwrap();
    let claims = enrolled
        .keys
        .verify(&publish.lease, &node_id, house.clock.now())
        .unwrap();
    assert_eq!(claims.session.as_str(), assign.session_id);
    eventually("active", async || status(&house, "cam1").await == "active").await;

    house
        .post(
            ADMIN,
            "/api/v1/relay/stop",
            json!({"connection_id": "cam1", "reason": "enough"}),
        )
        .await;
    let revoke = node.revoked().await;
    assert_eq!(
        revoke,
        pb::Revoke {
            session_id: assign.session_id,
            reason: "enough".into()
        }
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_comes_back_gets_the_complete_set() {
    let house = House::new().await;
    let (enrolled, mut node) = node::joined(&house, "one", 10).await;
    house.start(ADMIN, "kept").await;
    let kept = node.assigned().await.session_id;
    house.start(ADMIN, "stopped").await;
    let stopped = node.assigned().await.session_id;
    drop(node);
    house
        .post(ADMIN, "/api/v1/relay/stop", json!({"session_id": stopped}))
        .await;
    let held = [&kept, &stopped].map(|id| pb::HeldLease {
        session_id: id.clone(),
        publishing: true,
        players: 0,
        ..Default::default()
    });
    let mut node = node::connect(&house, &enrolled, 10, held.to_vec())
        .await
        .unwrap();
    let ids: Vec<_> = node
        .resync()
        .await
        .into_iter()
        .map(|assign| assign.session_id)
        .collect();
    assert_eq!(ids, [kept]);
    // Also for a node that holds it by a lease its caller brought.
    assert_eq!(node.revoked().await.session_id, stopped);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refused_directive_comes_again() {
    let house = House::new().await;
    let (_, mut node) = node::joined(&house, "one", 10).await;
    house.start(ADMIN, "cam1").await;
    let (directive_id, first) = node.next().await;
    node.say(Message::Ack(pb::Ack {
        directive_id,
        error: "no room".into(),
    }))
    .await;
    let second = node.follow().await;
    let id = |directive: &Directive| match directive {
        Directive::Assign(assign) => assign.session_id.clone(),
        other => panic!("not an Assign: {other:?}"),
    };
    assert_eq!(id(&first), id(&second));
}

#[tokio::test(flavor = "multi_thread")]
async fn leases_are_sent_again_at_half_life() {
    let house = House::new().await;
    let (_, mut node) = node::joined(&house, "one", 10).await;
    house.start(ADMIN, "cam1").await;
    let first = node.assigned().await;
    house.advance(Duration::from_secs(1800));
    let second = node.assigned().await;
    assert_eq!(first.session_id, second.session_id);
    assert_ne!(first.publish.unwrap().lease, second.publish.unwrap().lease);
}

#[tokio::test(flavor = "multi_thread")]
async fn publishers_come_and_go() {
    let house = House::new().await;
    let (_, mut node) = node::joined(&house, "one", 10).await;
    house.start(ADMIN, "cam1").await;
    let id = node.assigned().await.session_id;
    let event = |kind| node::event(&id, kind);
    node.say(event(pb::SessionEventKind::PublisherConnected))
        .await;
    eventually("active", async || status(&house, "cam1").await == "active").await;
    node.say(event(pb::SessionEventKind::PublisherGone)).await;
    eventually("in grace", async || status(&house, "cam1").await == "grace").await;
    node.beat(&[&id], &[&id]).await;
    eventually("active", async || status(&house, "cam1").await == "active").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_drained_node_is_told_so_again_when_it_comes_back() {
    let house = House::new().await;
    let (enrolled, mut node) = node::joined(&house, "one", 10).await;
    let path = format!("/api/v1/ops/nodes/{}/drain", enrolled.node_id);
    house.post(ADMIN, &path, json!({"draining": true})).await;
    assert_eq!(
        node.follow().await,
        Directive::Drain(pb::Drain { draining: true })
    );
    // Its heartbeat does not undo the operator's word.
    node.beat(&[], &[]).await;
    drop(node);
    let mut node = node::connect(&house, &enrolled, 10, Vec::new())
        .await
        .unwrap();
    assert_eq!(
        node.follow().await,
        Directive::Drain(pb::Drain { draining: true })
    );
    let listed = house.get(ADMIN, "/api/v1/ops/nodes").await;
    assert_eq!(listed.body["nodes"][0]["state"], "drained");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_was_away_when_its_draining_ended_is_told_so() {
    let house = House::new().await;
    let (enrolled, mut node) = node::joined(&house, "one", 10).await;
    let path = format!("/api/v1/ops/nodes/{}/drain", enrolled.node_id);
    house.post(ADMIN, &path, json!({"draining": true})).await;
    node.follow().await;
    drop(node);
    house.post(ADMIN, &path, json!({"draining": false})).await;
    let mut node = node::connect(&house, &enrolled, 10, Vec::new())
        .await
        .unwrap();
    assert!(node.resync().await.is_empty());
    node.say(Message::Heartbeat(pb::Heartbeat {
        boot_id: "boot".into(),
        draining: true,
        ..Default::default()
    }))
    .await;
    assert_eq!(
        node.follow().await,
        Directive::Drain(pb::Drain { draining: false })
    );
    node.beat(&[], &[]).await;
    eventually("active", async || {
        let listed = house.get(ADMIN, "/api/v1/ops/nodes").await;
        listed.body["nodes"][0]["state"] == "active"
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_stream_of_a_node_ends_the_older_one() {
    let house = House::new().await;
    let (enrolled, mut older) = node::joined(&house, "one", 10).await;
    let _newer = node::connect(&house, &enrolled, 10, Vec::new())
        .await
        .unwrap();
    let ended = older.incoming.message().await.unwrap_err();
    assert_eq!(ended.code(), tonic::Code::Aborted);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_stream_to_another_replica_ends_the_older_one_which_changes_nothing() {
    let house = House::new().await;
    let other = house.replica().await;
    let (enrolled, mut older) = node::joined(&house, "one", 10).await;
    house.start(ADMIN, "cam1").await;
    let session = older.assigned().await.session_id;
    let mut newer = node::connect(&other, &enrolled, 10, Vec::new())
        .await
        .unwrap();
    newer.resync().await;
    let gone = node::event(&session, pb::SessionEventKind::PublisherGone);
    newer.say(gone).await;
    eventually("in grace", async || status(&house, "cam1").await == "grace").await;
    newer.beat(&[&session], &[&session]).await;
    eventually("published", async || {
        status(&house, "cam1").await == "active"
    })
    .await;

    // The half-open one: its words come late.
    older.beat(&[&session], &[]).await;
    assert_eq!(older.ended().await.code(), tonic::Code::Aborted);
    assert_eq!(status(&house, "cam1").await, "active");
    newer.beat(&[&session], &[]).await;
    eventually("in grace", async || status(&house, "cam1").await == "grace").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stop_ends_the_streams_of_connected_nodes() {
    let house = House::new().await;
    let (_, mut node) = node::joined(&house, "one", 10).await;
    house.stop().await;
    assert_eq!(
        node.incoming.message().await.unwrap_err().code(),
        tonic::Code::Unavailable
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_directive_written_at_one_replica_reaches_a_node_at_the_other() {
    // Nothing but the notification can bring it within the test.
    let slow = |config: &mut streamhaul_api::Config| config.fleet.sync_seconds = 3600;
    let one = House::with(slow).await;
    let other = one.replica_with(slow).await;
    let enrolled = node::enrol(&one, &node::create(&one, "one").await)
        .await
        .unwrap();
    let mut node = node::connect(&other, &enrolled, 10, Vec::new())
        .await
        .unwrap();
    assert!(node.resync().await.is_empty());
    one.start(ADMIN, "cam1").await;
    let id = node.assigned().await.session_id;
    // The acknowledgement is known where the session was started.
    eventually("active", async || status(&one, "cam1").await == "active").await;
    one.post(ADMIN, "/api/v1/relay/stop", json!({"session_id": id}))
        .await;
    assert_eq!(node.revoked().await.session_id, id);
}
