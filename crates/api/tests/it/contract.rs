//! The bodies that clients depend on.

use serde_json::{Value, json};

use crate::house::{ADMIN, House, masked};
use crate::node;

#[tokio::test(flavor = "multi_thread")]
async fn a_session_from_start_to_stop() {
    let house = House::new().await;
    assert_eq!(house.get(ADMIN, "/api/v1/relay/active").await.status, 204);
    let (_, _node) = node::joined(&house, "one", 10).await;
    let request = json!({
        "client_context": {"obs_connected": true, "mode": "auto", "requested_by": "obs-plugin"},
        "region_preference": "eu-west",
        "connection_id": "cam1",
    });
    let started = house
        .post(ADMIN, "/api/v1/relay/start", request.clone())
        .await;
    insta::assert_json_snapshot!("start", masked(&started));

    let session = &started.body["session"];
    let again = house.post(ADMIN, "/api/v1/relay/start", request).await;
    assert_eq!(again.status, 200);
    assert_eq!(again.body["session"]["session_id"], session["session_id"]);
    assert_eq!(again.body["session"]["credentials"], session["credentials"]);
    assert_ne!(
        session["credentials"]["stream_token"],
        session["credentials"]["play_token"]
    );

    let active = house
        .get(ADMIN, "/api/v1/relay/active?connection_id=cam1")
        .await;
    let shape = |value: &Value| {
        value
            .as_object()
            .unwrap()
            .keys()
            .cloned()
            .collect::<Vec<_>>()
    };
    assert_eq!(shape(&active.body["session"]), shape(session));
    insta::assert_json_snapshot!("active_per_link", masked(&active)["body"]["per_link"]);

    let id = session["session_id"].clone();
    let stop = json!({"session_id": id, "reason": "done"});
    let stopped = house.post(ADMIN, "/api/v1/relay/stop", stop.clone()).await;
    insta::assert_json_snapshot!("stop", masked(&stopped));
    house.advance(std::time::Duration::from_secs(5));
    assert_eq!(house.post(ADMIN, "/api/v1/relay/stop", stop).await, stopped);
    let by_name = json!({"connection_id": "cam1"});
    assert_eq!(
        house.post(ADMIN, "/api/v1/relay/stop", by_name).await,
        stopped
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn keys_stay_the_same_from_session_to_session() {
    let house = House::new().await;
    let (_, _node) = node::joined(&house, "one", 10).await;
    let first = house.start(ADMIN, "cam1").await;
    let id = first.body["session"]["session_id"].clone();
    house
        .post(ADMIN, "/api/v1/relay/stop", json!({"session_id": id}))
        .await;
    let second = house.start(ADMIN, "cam1").await;
    assert_eq!(second.status, 201);
    assert_ne!(second.body["session"]["session_id"], id);
    assert_eq!(
        second.body["session"]["sender_url"],
        first.body["session"]["sender_url"]
    );
    let other = house.start(ADMIN, "cam2").await;
    assert_ne!(
        other.body["session"]["sender_url"],
        first.body["session"]["sender_url"]
    );
    let listed = house.get(ADMIN, "/api/v1/relay/sessions").await;
    assert_eq!(listed.body["sessions"].as_array().unwrap().len(), 2);

    // A slot's own token names it; while it is live elsewhere it cannot be used again.
    let token = &second.body["session"]["credentials"]["stream_token"];
    let request = json!({"connection_id": "cam3", "stream_token": token});
    let conflict = house.post(ADMIN, "/api/v1/relay/start", request).await;
    insta::assert_json_snapshot!("error_stream_is_live", masked(&conflict));
}

#[tokio::test(flavor = "multi_thread")]
async fn every_refusal_has_the_envelope() {
    let house = House::with(|config| config.http.body_bytes_max = 1000).await;
    let bearer = format!("Bearer {ADMIN}");
    let admin = [
        ("authorization", bearer.as_str()),
        ("x-request-id", "test-1"),
    ];
    let start = "/api/v1/relay/start";
    let large = format!("{{\"stream_token\": \"{}\"}}", "a".repeat(1000));
    let cases: [(&str, &str, &str, Option<&str>); 9] = [
        ("error_no_such_route", "GET", "/api/v2/anything", None),
        ("error_method", "DELETE", start, None),
        ("error_bad_json", "POST", start, Some("{")),
        (
            "error_unknown_field",
            "POST",
            start,
            Some(r#"{"colour": "red"}"#),
        ),
        ("error_too_large", "POST", start, Some(&large)),
        ("error_no_capacity", "POST", start, Some("{}")),
        (
            "error_unknown_session",
            "POST",
            "/api/v1/relay/stop",
            Some(r#"{"session_id": "ses_1"}"#),
        ),
        (
            "error_unnamed_session",
            "POST",
            "/api/v1/relay/stop",
            Some("{}"),
        ),
        (
            "error_unknown_node",
            "POST",
            "/api/v1/ops/nodes/nod_1/drain",
            Some(r#"{"draining": true}"#),
        ),
    ];
    for (name, method, path, body) in cases {
        let answer = house
            .call(method, path, &admin, body.map(str::to_owned))
            .await;
        insta::assert_json_snapshot!(name, masked(&answer));
    }
    let user = format!("Bearer {}", house.user("someone").await);
    let nodes = "/api/v1/ops/nodes";
    let with = |token: &'static str| [("authorization", token), ("x-request-id", "test-1")];
    let anonymous = house.call("GET", nodes, &with("Bearer x"), None).await;
    insta::assert_json_snapshot!("error_unauthorized", masked(&anonymous));
    let headers = [("authorization", user.as_str()), ("x-request-id", "test-1")];
    let forbidden = house.call("GET", nodes, &headers, None).await;
    insta::assert_json_snapshot!("error_forbidden", masked(&forbidden));
    let named = Some(r#"{"name": "one"}"#.to_owned());
    assert_eq!(
        house
            .call("POST", nodes, &admin, named.clone())
            .await
            .status,
        201
    );
    let taken = house.call("POST", nodes, &admin, named).await;
    insta::assert_json_snapshot!("error_name_taken", masked(&taken));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_operators_list_of_nodes() {
    let house = House::new().await;
    let (enrolled, _node) = node::joined(&house, "one", 10).await;
    node::create(&house, "two").await;
    house.start(ADMIN, "cam1").await;
    let listed = house.get(ADMIN, "/api/v1/ops/nodes").await;
    insta::assert_json_snapshot!("nodes", masked(&listed));
    let path = format!("/api/v1/ops/nodes/{}/drain", enrolled.node_id);
    let drained = house.post(ADMIN, &path, json!({"draining": true})).await;
    assert_eq!(drained.body["state"], "draining");
    let refused = house.start(ADMIN, "cam2").await;
    assert_eq!(
        (refused.status, &refused.body["error"]["code"]),
        (503, &json!("no_capacity"))
    );
}
