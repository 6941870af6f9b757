//! What to buy, and until when there is enough.

use proto::fleet as pb;
use proto::fleet::node_message::Message;
use serde_json::{Value, json};

use crate::house::{ADMIN, House, eventually};
use crate::node;
use crate::upkeep::{DAY, upkeep};

#[tokio::test(flavor = "multi_thread")]
async fn advice_knows_what_sessions_moved_and_what_offers_cost() {
    let house = House::new().await;
    let (enrolled, mut node) = node::joined(&house, "one", 10).await;
    let advised = async || house.get(ADMIN, "/api/v1/ops/fleet/advice").await.body;
    let before = advised().await;
    assert_eq!(
        before["undescribed"][0]["node_id"],
        enrolled.node_id.as_str()
    );
    assert_eq!(before["regions"], json!([]));
    // More than the port that is described later would be given.
    assert_eq!(house.start(ADMIN, "cam1").await.status, 201);
    let session_id = node.assigned().await.session_id;
    let path = format!("/api/v1/ops/nodes/{}/budget", enrolled.node_id);
    let policy = json!({"policy": {
        "port_bps": 1_000_000, "price_per_month": 5.0, "overhead_ratio": 1.0,
        "allowance": {"kind": "unmetered"},
    }});
    assert_eq!(house.post(ADMIN, &path, policy).await.status, 200);
    let calm = advised().await;
    assert_eq!(calm["regions"][0]["runs_out_at"], Value::Null, "{calm}");
    // 7.56 GB a day is what a port of 1 Mbit/s carries.
    assert_eq!(
        calm["regions"][0]["supply_bytes_per_day"],
        7_560_000_000_u64
    );
    node.say(Message::Heartbeat(pb::Heartbeat {
        boot_id: "boot".into(),
        held_session_ids: vec![session_id.clone()],
        publishing_session_ids: vec![session_id.clone()],
        traffic: vec![pb::SessionTraffic {
            session_id,
            ingress_bytes: 10_000_000_000,
            egress_bytes: 10_000_000_000,
            pulled: false,
            ..Default::default()
        }],
        ..Default::default()
    }))
    .await;
    eventually("it is counted", async || {
        let usage = house.get(ADMIN, "/api/v1/usage/current").await.body;
        usage["consumed_bytes"] == 20_000_000_000_u64
    })
    .await;
    house.advance(DAY);
    let advice = advised().await;
    let region = &advice["regions"][0];
    assert_eq!(
        region["demand_bytes_per_day"], 20_000_000_000_u64,
        "{advice}"
    );
    assert!(region["runs_out_at"].is_string());
    let add = &region["add"];
    // 12.44 GB a day are missing.
    assert_eq!(
        (&add["nodes"], &add["price_per_month"]),
        (&json!(2), &json!(10.0))
    );
    assert_eq!(add["like_node_id"], enrolled.node_id.as_str());
    let regions = upkeep(&house)
        .await
        .advise_fleet(pb::AdviseFleetRequest {})
        .await;
    let regions = regions.unwrap().into_inner().regions;
    assert_eq!(regions[0].region, "local");
    assert!(regions[0].runs_out_unix_ms > 0);
}
