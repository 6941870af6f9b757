//! What operators do is written down with it.

use serde_json::json;

use crate::house::{ADMIN, House};
use crate::node;

#[tokio::test(flavor = "multi_thread")]
async fn what_an_operator_does_stands_in_the_audit() {
    let house = House::new().await;
    node::create(&house, "one").await;
    let node = node_id(&house).await;
    let drain = format!("/api/v1/ops/nodes/{node}/drain");
    house.post(ADMIN, &drain, json!({"draining": true})).await;
    let all = house.get(ADMIN, "/api/v1/ops/audit").await.body;
    let entries = all["entries"].as_array().unwrap();
    let actions: Vec<_> = entries.iter().map(|e| e["action"].clone()).collect();
    assert_eq!(actions, ["node.drain", "node.create"], "{all}");
    assert_eq!(entries[0]["subject"], *node);
    assert_eq!(entries[0]["detail"], json!({"draining": true}));
    assert!(entries[0]["actor"].as_str().unwrap().starts_with("usr_"));
    assert_eq!(all["next_before"], json!(null));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_audit_is_read_in_parts() {
    let house = House::new().await;
    node::create(&house, "one").await;
    node::create(&house, "two").await;
    let path = "/api/v1/ops/audit?action=node&limit=1";
    let first = house.get(ADMIN, path).await.body;
    assert_eq!(first["entries"][0]["detail"]["name"], "two");
    let before = first["next_before"].as_i64().unwrap();
    let second = house.get(ADMIN, &format!("{path}&before={before}")).await;
    assert_eq!(second.body["entries"][0]["detail"]["name"], "one");
    for nothing in ["action=nod", "subject=nod_1"] {
        let found = house
            .get(ADMIN, &format!("/api/v1/ops/audit?{nothing}"))
            .await;
        assert_eq!(found.body["entries"], json!([]), "{nothing}");
    }
    for bad in ["limit=0", "limit=501", "what=1"] {
        let refused = house.get(ADMIN, &format!("/api/v1/ops/audit?{bad}")).await;
        assert_eq!(refused.status, 400, "{bad}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_refused_is_not_written_down() {
    let house = House::new().await;
    node::create(&house, "one").await;
    let again = house
        .post(ADMIN, "/api/v1/ops/nodes", json!({"name": "one"}))
        .await;
    assert_eq!(again.status, 409);
    let all = house.get(ADMIN, "/api/v1/ops/audit").await.body;
    assert_eq!(all["entries"].as_array().unwrap().len(), 1, "{all}");
}

async fn node_id(house: &House) -> String {
    let listed = house.get(ADMIN, "/api/v1/ops/nodes").await.body;
    listed["nodes"][0]["node_id"].as_str().unwrap().to_owned()
}
