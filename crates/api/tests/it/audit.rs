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

#[tokio::test(flavor = "multi_thread")]
async fn what_is_done_to_users_plans_and_budgets_stands_there_too() {
    let house = House::new().await;
    node::create(&house, "one").await;
    let budget = format!("nodes/{}/budget", node_id(&house).await);
    let made = json!({"name": "someone", "email": "someone@example.com"});
    let made = house.post(ADMIN, "/api/v1/ops/users", made).await.body;
    let user = made["user_id"].as_str().unwrap();
    let policy = json!({
        "port_bps": 1_000_000_000_u64,
        "overhead_ratio": 1.0,
        "allowance": {"kind": "monthly_cap", "limit_bytes": 1_000_000_000_u64},
        "after": {"kind": "floor", "floor_bps": 1_000_000},
    });
    let plan = json!({"max_concurrent_conns": 1, "included_seconds": null});
    let active = json!({"plan_tier": "small", "plan_status": "active"});
    let done = [
        (
            "POST",
            budget.clone(),
            json!({"policy": policy}),
            "node.budget.set",
            200,
        ),
        (
            "POST",
            format!("{budget}/reconcile"),
            json!({"used_bytes": 5}),
            "node.budget.reconcile",
            200,
        ),
        (
            "POST",
            budget,
            json!({"policy": null}),
            "node.budget.remove",
            200,
        ),
        ("PUT", "plans/small".to_owned(), plan, "plan.set", 204),
        (
            "PUT",
            format!("users/{user}/plan"),
            active,
            "user.plan",
            204,
        ),
        (
            "POST",
            "invites".to_owned(),
            json!({"email": "a@example.com"}),
            "user.invite",
            201,
        ),
        (
            "POST",
            format!("users/{user}/password-reset"),
            json!({}),
            "user.password_reset",
            201,
        ),
        (
            "DELETE",
            format!("users/{user}/sessions"),
            json!({}),
            "user.sign_ins.end",
            204,
        ),
        (
            "POST",
            format!("users/{user}/disable"),
            json!({"disabled": true}),
            "user.disable",
            200,
        ),
    ];
    let bearer = format!("Bearer {ADMIN}");
    let headers = [("authorization", bearer.as_str())];
    for (method, path, body, action, status) in done {
        let path = format!("/api/v1/ops/{path}");
        let answer = house
            .call(method, &path, &headers, Some(body.to_string()))
            .await;
        assert_eq!(answer.status, status, "{action}: {answer:?}");
        let newest = house.get(ADMIN, "/api/v1/ops/audit?limit=1").await.body;
        assert_eq!(newest["entries"][0]["action"], action);
        let text = newest.to_string();
        assert!(
            !text.contains("sh_reset_") && !text.contains("sh_invite_"),
            "{text}"
        );
    }
}

async fn node_id(house: &House) -> String {
    let listed = house.get(ADMIN, "/api/v1/ops/nodes").await.body;
    listed["nodes"][0]["node_id"].as_str().unwrap().to_owned()
}
