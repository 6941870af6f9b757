//! What people with a role may do with the operator's part of the API.

use model::OpsRole;
use serde_json::json;
use streamhaul_api::{Access, table};

use crate::house::{ADMIN, House};

/// A user's token, whose role is this.
async fn with_role(house: &House, role: OpsRole) -> String {
    let made = json!({"name": role.as_str()});
    let made = house.post(ADMIN, "/api/v1/ops/users", made).await;
    let id = made.body["user_id"].as_str().unwrap();
    let path = format!("/api/v1/ops/users/{id}/role");
    let given = house.put(ADMIN, &path, json!({"role": role})).await;
    assert_eq!(given.body["role"], role.as_str(), "{given:?}");
    made.body["token"].as_str().unwrap().to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn every_ops_route_refuses_every_lower_role_and_lets_its_own_in() {
    let house = House::new().await;
    let mut tokens = Vec::new();
    for role in OpsRole::ALL {
        tokens.push((*role, with_role(&house, *role).await));
    }
    let (mut refused, mut let_in) = (0, 0);
    for (method, template, access) in table() {
        assert_eq!(
            matches!(access, Access::Ops(_)),
            template.starts_with("/api/v1/ops/"),
            "{template}"
        );
        let Access::Ops(needed) = access else {
            continue;
        };
        assert_ne!(needed, OpsRole::None, "{method} {template}");
        // Nothing there: whoever is let in is told so, and changes nothing.
        let path = template.replace("{id}", "nobody").replace("{name}", "-");
        for (role, token) in &tokens {
            let bearer = format!("Bearer {token}");
            let headers = [("authorization", bearer.as_str())];
            let body = Some("[]".to_owned());
            let answer = house.call(method.as_str(), &path, &headers, body).await;
            if *role < needed {
                assert_eq!(answer.status, 403, "{method} {path} as {role}: {answer:?}");
                assert_eq!(answer.body["error"]["reason_code"], "role_too_low");
                refused += 1;
            } else {
                assert_ne!(answer.status, 403, "{method} {path} as {role}: {answer:?}");
                let_in += 1;
            }
        }
    }
    assert!(refused > 40 && let_in > 40, "{refused}, {let_in}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_role_is_given_and_taken_back_and_audited() {
    let house = House::new().await;
    let token = with_role(&house, OpsRole::Viewer).await;
    let nodes = "/api/v1/ops/nodes";
    assert_eq!(house.get(&token, nodes).await.status, 200);
    let made = json!({"name": "one"});
    assert_eq!(house.post(&token, nodes, made).await.status, 403);
    let audit = house
        .get(ADMIN, "/api/v1/ops/audit?action=user.role")
        .await
        .body;
    let entry = &audit["entries"][0];
    assert_eq!(entry["detail"], json!({"from": "none", "to": "viewer"}));
    let user = entry["subject"].as_str().unwrap();
    let path = format!("/api/v1/ops/users/{user}/role");
    // Nobody gives themselves a role.
    let own = house.put(&token, &path, json!({"role": "admin"})).await;
    assert_eq!(own.status, 403);
    house.put(ADMIN, &path, json!({"role": "none"})).await;
    assert_eq!(house.get(&token, nodes).await.status, 403);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_admin_tokens_own_user_always_is_admin() {
    let house = House::new().await;
    let users = house.get(ADMIN, "/api/v1/ops/users").await.body;
    assert_eq!(users["users"][0]["role"], "admin");
    let id = users["users"][0]["user_id"].as_str().unwrap();
    let path = format!("/api/v1/ops/users/{id}/role");
    let refused = house.put(ADMIN, &path, json!({"role": "viewer"})).await;
    assert_eq!(refused.status, 409);
}
