//! Usage is rolled up, and what an outage hid is made good.

use std::time::Duration;

use proto::fleet as pb;
use proto::fleet::node_message::Message;
use serde_json::{Value, json};

use crate::house::{ADMIN, House, eventually};
use crate::node;
use crate::upkeep::{audited, upkeep};

/// A heartbeat of a node whose session has received and sent so much, all in all.
async fn carry(house: &House, node: &node::Node, session: &str, ingress: u64, egress: u64) {
    node.say(Message::Heartbeat(pb::Heartbeat {
        boot_id: "boot".into(),
        held_session_ids: vec![session.to_owned()],
        publishing_session_ids: vec![session.to_owned()],
        traffic: vec![pb::SessionTraffic {
            session_id: session.to_owned(),
            ingress_bytes: ingress,
            egress_bytes: egress,
            pulled: false,
            ..Default::default()
        }],
        ..Default::default()
    }))
    .await;
    eventually("it is counted", async || {
        let usage = house.get(ADMIN, "/api/v1/usage/current").await.body;
        usage["consumed_bytes"] == ingress + egress
    })
    .await;
}

/// A session that is published at 1 MB a second for a minute.
async fn publishing(house: &House, node: &mut node::Node) -> String {
    assert_eq!(house.start(ADMIN, "cam1").await.status, 201);
    let session = node.assigned().await.session_id;
    for second in [1, 21, 41, 61] {
        carry(house, node, &session, second * 1_000_000, 0).await;
        house.advance(Duration::from_secs(20));
    }
    session
}

async fn consumed_seconds(house: &House) -> Value {
    let usage = house.get(ADMIN, "/api/v1/usage/current").await.body;
    usage["consumed_seconds"].clone()
}

async fn reconcile(house: &House) -> pb::ReconcileOutageResponse {
    let request = pb::ReconcileOutageRequest::default();
    let done = upkeep(house).await.reconcile_outage(request).await;
    done.unwrap().into_inner()
}

#[tokio::test(flavor = "multi_thread")]
async fn time_in_an_outage_is_judged_by_what_came_meanwhile() {
    let house = House::new().await;
    let (_, mut node) = node::joined(&house, "one", 10).await;
    let session = publishing(&house, &mut node).await;
    assert_eq!(consumed_seconds(&house).await, 60);
    assert_eq!(reconcile(&house).await.reconciled, 0, "nobody was away");
    // Ten minutes and twenty seconds without a word, and all of it was sent.
    house.advance(Duration::from_secs(600));
    carry(&house, &node, &session, 681_000_000, 0).await;
    assert_eq!(consumed_seconds(&house).await, 120, "a minute at most");
    let raised = reconcile(&house).await;
    assert_eq!(
        (raised.reconciled, raised.raised_ms, raised.lowered_ms),
        (1, 560_000, 0)
    );
    assert_eq!(consumed_seconds(&house).await, 680);
    // Ten minutes in which next to nothing was sent.
    house.advance(Duration::from_secs(600));
    carry(&house, &node, &session, 691_000_000, 0).await;
    assert_eq!(consumed_seconds(&house).await, 740);
    let lowered = reconcile(&house).await;
    assert_eq!(lowered.raised_ms, 0);
    assert!(
        (49_000..51_000).contains(&lowered.lowered_ms),
        "{lowered:?}"
    );
    let seconds = consumed_seconds(&house).await.as_u64().unwrap();
    assert!((689..=691).contains(&seconds), "{seconds}");
    assert_eq!(reconcile(&house).await.reconciled, 0, "once");
    let entries = audited(&house, "usage.reconcile").await;
    assert_eq!(entries.len(), 2);
    let detail = &entries[1]["detail"];
    assert_eq!(
        (&detail["counted_ms"], &detail["published_ms"]),
        (&json!(60_000), &json!(620_000))
    );
}

async fn roll_up(house: &House) -> u32 {
    let request = pb::RollUpUsageRequest::default();
    let rolled = upkeep(house).await.roll_up_usage(request).await;
    rolled.unwrap().into_inner().rolled_up
}

async fn history(house: &House, query: &str) -> Vec<Value> {
    let path = format!("/api/v1/usage/history{query}");
    let answer = house.get(ADMIN, &path).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    answer.body["spans"].as_array().unwrap().clone()
}

#[tokio::test(flavor = "multi_thread")]
async fn usage_is_rolled_up_once_and_divided_over_its_hours() {
    let house = House::new().await;
    let (_, mut node) = node::joined(&house, "one", 10).await;
    // 04:40:00, and the session begins ten minutes before the hour.
    house.advance(Duration::from_secs(600));
    node::heard_since(&house, "one", node.beat(&[], &[])).await;
    assert_eq!(house.start(ADMIN, "cam1").await.status, 201);
    let session = node.assigned().await.session_id;
    carry(&house, &node, &session, 1, 0).await;
    for minute in 1..=40 {
        house.advance(Duration::from_secs(60));
        carry(
            &house,
            &node,
            &session,
            minute * 1_000_000,
            minute * 2_000_000,
        )
        .await;
    }
    assert_eq!(roll_up(&house).await, 1);
    assert_eq!(roll_up(&house).await, 0, "nothing new");
    let hours = history(&house, "?by=hour").await;
    let of =
        |field: &str| -> Vec<u64> { hours.iter().map(|it| it[field].as_u64().unwrap()).collect() };
    assert_eq!(of("seconds"), [600, 1800]);
    assert_eq!(of("ingress_bytes"), [10_000_000, 30_000_000]);
    assert_eq!(of("egress_bytes"), [20_000_000, 60_000_000]);
    assert_eq!(hours[0]["began_at"], "2025-11-21T04:00:00Z");
    // What comes after goes to its own hour, up to the end.
    house.advance(Duration::from_secs(60));
    carry(&house, &node, &session, 41_000_000, 82_000_000).await;
    let stop = json!({"session_id": session});
    assert_eq!(
        house.post(ADMIN, "/api/v1/relay/stop", stop).await.status,
        200
    );
    assert_eq!(roll_up(&house).await, 1);
    assert_eq!(roll_up(&house).await, 0, "it is whole");
    let days = history(&house, "").await;
    assert_eq!(days.len(), 1);
    assert_eq!(
        (&days[0]["seconds"], &days[0]["ingress_bytes"]),
        (&json!(2460), &json!(41_000_000))
    );
    assert_eq!(
        consumed_seconds(&house).await,
        2460,
        "the month says the same"
    );
    assert_eq!(history(&house, "?by=hour&last=1").await.len(), 1);
    for wrong in ["?last=0", "?by=hour&last=745", "?by=week", "?days=3"] {
        let refused = house
            .get(ADMIN, &format!("/api/v1/usage/history{wrong}"))
            .await;
        assert_eq!(refused.status, 400, "{wrong}");
    }
}
