//! Nodes are called from outside, and what calls come to is believed.

use std::time::Duration;

use proto::fleet as pb;
use serde_json::{Value, json};

use crate::house::{ADMIN, House};
use crate::node;
use crate::upkeep::{audited, upkeep};

async fn targets(house: &House) -> Vec<pb::ProbeTarget> {
    let request = pb::ListProbeTargetsRequest::default();
    let listed = upkeep(house).await.list_probe_targets(request).await;
    listed.unwrap().into_inner().targets
}

/// Tells what a call came to, half a minute after the last; says who is unreachable.
async fn tell(house: &House, node: &str, failure: &str) -> Vec<String> {
    house.advance(Duration::from_secs(30));
    let probe = pb::Probe {
        node_id: node.to_owned(),
        rtt_us: 12_500,
        failure: failure.to_owned(),
    };
    let request = pb::RecordProbesRequest {
        // Told twice, it counts once.
        probes: vec![probe.clone(), probe],
    };
    let told = upkeep(house).await.record_probes(request).await.unwrap();
    let mut unreachable = told.into_inner().unreachable_node_ids;
    unreachable.dedup();
    unreachable
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_callers_do_not_find_degrades_until_they_do() {
    let house = House::new().await;
    let (enrolled, node) = node::joined(&house, "one", 10).await;
    let id = enrolled.node_id.as_str();
    let called = targets(&house).await;
    assert_eq!(called.len(), 1);
    assert_eq!(
        (called[0].host.as_str(), called[0].port),
        ("relay.example", 5000)
    );
    let shown = async || {
        let path = format!("/api/v1/ops/nodes/{id}");
        house.get(ADMIN, &path).await.body
    };
    assert_eq!(shown().await["probe"], Value::Null);
    assert!(tell(&house, id, "").await.is_empty());
    let probe = shown().await["probe"].clone();
    assert_eq!(
        (&probe["reachable"], &probe["rtt_ms"]),
        (&json!(true), &json!(12.5))
    );
    for _ in 0..2 {
        assert!(tell(&house, id, "no answer in 3 s").await.is_empty());
    }
    assert_eq!(tell(&house, id, "no answer in 3 s").await, [id]);
    node.beat(&[], &[]).await;
    let is = async |state: &str, reason: &str| {
        let shown = shown().await;
        (&shown["state"], &shown["state_reason"]) == (&json!(state), &json!(reason))
    };
    // Its own word does not make it reachable.
    assert!(is("degraded", "unreachable").await);
    let probe = shown().await["probe"].clone();
    assert_eq!(probe["failure"], "no answer in 3 s");
    assert_eq!(
        (&probe["reachable"], &probe["rtt_ms"]),
        (&json!(false), &json!(12.5))
    );
    for _ in 0..3 {
        assert_eq!(tell(&house, id, "").await, [id]);
    }
    assert!(tell(&house, id, "").await.is_empty());
    assert!(is("active", "well").await);
    let changes = audited(&house, "node.state").await;
    let reasons: Vec<_> = changes.iter().map(|it| it["reason"].clone()).collect();
    assert!(
        reasons.starts_with(&[json!("well"), json!("unreachable")]),
        "{reasons:?}"
    );
    assert!(
        tell(&house, "nod_ffffffffffffffffffffffffffffffff", "x")
            .await
            .is_empty()
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn who_is_not_heard_is_not_called() {
    let house = House::new().await;
    node::joined(&house, "one", 10).await;
    assert_eq!(targets(&house).await.len(), 1);
    house.advance(Duration::from_secs(130));
    let silent = pb::SweepNodesRequest {
        silent_after_ms: 15_000,
    };
    let swept = house.control().await.sweep_nodes(silent).await.unwrap();
    assert_eq!(swept.into_inner().node_ids.len(), 1);
    assert!(targets(&house).await.is_empty());
}
