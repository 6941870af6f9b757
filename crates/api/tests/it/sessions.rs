//! Everybody's sessions, for operators.

use std::time::Duration;

use serde_json::{Value, json};

use crate::expiry::expire;
use crate::house::{ADMIN, House, eventually};
use crate::moves::{beat, joined_in};

const SESSIONS: &str = "/api/v1/ops/sessions";

async fn audited(house: &House, action: &str) -> Value {
    let path = format!("/api/v1/ops/audit?action={action}");
    house.get(ADMIN, &path).await.body["entries"][0].clone()
}

fn ids(listed: &Value) -> Vec<&str> {
    let sessions = listed["sessions"].as_array().unwrap().iter();
    let ids = sessions.map(|session| session["session_id"].as_str().unwrap());
    ids.collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn sessions_are_listed_filtered_and_paged() {
    let house = House::new().await;
    let (node_id, mut node) = joined_in(&house, "eu").await;
    let user = house.user("Ada").await;
    let mut started = Vec::new();
    for (token, name) in [(ADMIN, "one"), (ADMIN, "two"), (&user, "three")] {
        house.start(token, name).await;
        started.push(node.assigned().await.session_id);
        house.advance(std::time::Duration::from_secs(1));
    }
    started.reverse();
    let get = async |query: &str| house.get(ADMIN, &format!("{SESSIONS}?{query}")).await.body;
    assert_eq!(ids(&get("state=live").await), started);
    assert_eq!(ids(&get(&format!("node={node_id}")).await), started);
    let first = get("limit=2").await;
    assert_eq!(ids(&first), started[..2]);
    let before = first["next_before"].as_str().unwrap();
    let second = get(&format!("limit=2&before={before}")).await;
    assert_eq!(ids(&second), started[2..]);
    assert_eq!(second["next_before"], Value::Null);
    let ada = first["sessions"][0]["user_id"].as_str().unwrap();
    assert_eq!(ids(&get(&format!("user={ada}")).await), started[..1]);
    assert_eq!(first["sessions"][0]["user_name"], "Ada");
    for wrong in ["state=asleep", "limit=0", "node=x", "colour=red"] {
        let refused = house.get(ADMIN, &format!("{SESSIONS}?{wrong}")).await;
        assert_eq!(refused.status, 400, "{wrong}");
    }
    assert_eq!(house.get(&user, SESSIONS).await.status, 403);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_shows_what_it_carried_and_did_and_is_stopped_with_a_reason() {
    let house = House::new().await;
    let (_, mut node) = joined_in(&house, "eu").await;
    house.start(ADMIN, "cam1").await;
    let id = node.assigned().await.session_id;
    let path = format!("{SESSIONS}/{id}");
    let shown = async || house.get(ADMIN, &path).await.body;
    beat(&node, &id, false).await;
    eventually("published", async || {
        shown().await["session"]["publishing"] == true
    })
    .await;
    expire(&house).await;
    let body = shown().await;
    assert_eq!(body["session"]["ingress_bytes"], 1000);
    assert_eq!(body["session"]["egress_bytes"], 2000);
    assert_eq!(body["links"]["count"], 0);
    assert_eq!(body["history"][0]["state"], "active");
    assert_eq!(body["history"][0]["publishing"], true);

    let stop = format!("{path}/stop");
    let refused = house.post(ADMIN, &stop, json!({"reason": " "})).await;
    assert_eq!(refused.status, 400);
    let reason = json!({"reason": "a test card for hours"});
    let stopped = house.post(ADMIN, &stop, reason.clone()).await;
    assert_eq!(stopped.status, 200, "{stopped:?}");
    assert_eq!(stopped.body["stop_reason"], "stopped_by_operator");
    assert_eq!(node.revoked().await.reason, "stopped_by_operator");
    let entry = audited(&house, "session.stop").await;
    assert_eq!(entry["subject"], id.as_str());
    assert_eq!(entry["reason"], "a test card for hours");
    assert_eq!(house.post(ADMIN, &stop, reason).await.status, 200);
    expire(&house).await;
    assert_eq!(shown().await["history"][0]["reason"], "stopped_by_operator");
    let nobodys = format!("{SESSIONS}/ses_1/stop");
    let unknown = house.post(ADMIN, &nobodys, json!({"reason": "x"})).await;
    assert_eq!(unknown.status, 404);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_operator_moves_a_session_as_often_as_needed() {
    let house = House::new().await;
    let (eu_id, mut eu) = joined_in(&house, "eu").await;
    let (us_id, mut us) = joined_in(&house, "us").await;
    let body = json!({"connection_id": "cam1", "region_preference": "eu"});
    house.post(ADMIN, "/api/v1/relay/start", body).await;
    let first = eu.assigned().await.session_id;
    let migrate = async |id: &str, to: Value| {
        let path = format!("{SESSIONS}/{id}/migrate");
        house.post(ADMIN, &path, to).await
    };
    let moved = migrate(&first, json!({"node": us_id, "reason": "eu is ill"})).await;
    assert_eq!(moved.status, 202, "{moved:?}");
    assert_eq!(moved.body["supersedes"], first.as_str());
    assert_eq!(moved.body["node_name"], "node-us");
    let second = us.assigned().await.session_id;
    let entry = audited(&house, "session.migrate").await;
    assert_eq!(entry["reason"], "eu is ill");
    assert_eq!(entry["detail"]["successor"], second.as_str());
    let again = migrate(&first, json!({"reason": "x"})).await;
    assert_eq!(again.body["error"]["reason_code"], "moving");
    // No cool-down: back at once, although the first move is not over.
    let back = migrate(&second, json!({"node": eu_id, "reason": "it is well"})).await;
    assert_eq!(back.status, 202, "{back:?}");
    assert_eq!(back.body["session_id"], first.as_str());
    let shown = house.get(ADMIN, &format!("{SESSIONS}/{second}")).await.body;
    assert_eq!(shown["session"]["stop_reason"], "move_undone");
    house.advance(Duration::from_secs(1));
    let third = migrate(&first, json!({"node": us_id, "reason": "it is ill again"})).await;
    let shown = house.get(ADMIN, &format!("{SESSIONS}/{first}")).await.body;
    assert_eq!(shown["session"]["superseded_by"], third.body["session_id"]);
}
