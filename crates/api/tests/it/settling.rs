//! Byte budgets are settled when it is time, whether their nodes are heard or not.

use std::time::Duration;

use proto::fleet as pb;
use proto::fleet::node_message::Message;
use serde_json::json;

use crate::house::{ADMIN, House, eventually};
use crate::node;
use crate::upkeep::{DAY, upkeep};

/// Settles the accounts that are due; says how many there were.
pub(crate) async fn settle(house: &House) -> u32 {
    let mut client = upkeep(house).await;
    let settled = client.settle_budgets(pb::SettleBudgetsRequest::default());
    settled.await.unwrap().into_inner().settled
}

#[tokio::test(flavor = "multi_thread")]
async fn a_silent_nodes_window_turns_without_a_heartbeat() {
    let house = House::new().await;
    let (enrolled, node) = node::joined(&house, "one", 10).await;
    let path = format!("/api/v1/ops/nodes/{}/budget", enrolled.node_id);
    let policy = json!({"policy": {
        "port_bps": 1_000_000_000_u64, "overhead_ratio": 1.0,
        "allowance": {"kind": "rolling_cap", "limit_bytes": 2_000_000_000_000_u64, "hours": 24},
        "after": {"kind": "floor", "floor_bps": 200_000_000},
    }});
    assert_eq!(house.post(ADMIN, &path, policy).await.status, 200);
    let beat = async |bytes| {
        node.say(Message::Heartbeat(pb::Heartbeat {
            boot_id: "boot".into(),
            egress_bytes_total: bytes,
            ..Default::default()
        }))
        .await;
    };
    let used = async || house.get(ADMIN, &path).await.body["used_bytes"].clone();
    for bytes in [0, 5_000] {
        let heard = async || {
            house.get(ADMIN, "/api/v1/ops/nodes").await.body["nodes"][0]["heartbeat_at"].clone()
        };
        let before = heard().await;
        house.advance(Duration::from_secs(61));
        beat(bytes).await;
        eventually("heard", async || heard().await != before).await;
        assert_eq!(settle(&house).await, 1);
        assert_eq!(settle(&house).await, 0, "it is settled");
    }
    assert_eq!(used().await, 5_000);
    drop(node);
    house.advance(DAY + Duration::from_secs(600));
    assert_eq!(settle(&house).await, 1);
    assert_eq!(used().await, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn settling_goes_from_node_to_node() {
    let house = House::new().await;
    for name in ["one", "two", "three"] {
        let (enrolled, _) = node::joined(&house, name, 10).await;
        let path = format!("/api/v1/ops/nodes/{}/budget", enrolled.node_id);
        let policy = json!({"policy": {"port_bps": 1_000_000, "allowance": {"kind": "unmetered"}}});
        let set = house.post(ADMIN, &path, policy).await;
        assert_eq!(set.status, 200, "{set:?}");
    }
    house.advance(Duration::from_secs(61));
    let mut client = upkeep(&house).await;
    let (mut after_node_id, mut settled) = (String::new(), Vec::new());
    loop {
        let request = pb::SettleBudgetsRequest {
            limit: 2,
            after_node_id,
        };
        let answer = client.settle_budgets(request).await.unwrap().into_inner();
        settled.push(answer.settled);
        after_node_id = answer.next_after_node_id;
        if after_node_id.is_empty() {
            break;
        }
    }
    assert_eq!(settled, [2, 1]);
}
