//! What the OBS plugin asks and is answered, row by row of its contract.

use std::time::Duration;

use serde_json::{Value, json};

use crate::accounts;
use crate::house::{ADMIN, Answer, House, SERVICE, cookie_of, eventually, masked};
use crate::node;

const START: &str = "/api/v1/auth/plugin/login/start";
const POLL: &str = "/api/v1/auth/plugin/login/poll";
const COMPLETE: &str = "/api/v1/auth/plugin/login/complete";
const REFRESH: &str = "/api/v1/auth/refresh";
pub(crate) const SESSION: &str = "/api/v1/auth/session";

/// Without a token, as the plugin does before it is signed in.
pub(crate) async fn ask(house: &House, path: &str, body: Value) -> Answer {
    let headers = [
        ("x-telemy-client-version", "0.0.5"),
        ("x-telemy-client-platform", "windows"),
        ("x-request-id", "test-1"),
    ];
    house
        .call("POST", path, &headers, Some(body.to_string()))
        .await
}

/// A plugin that asks: what it was told.
pub(crate) async fn started(house: &House) -> Value {
    let client = json!({"platform": "windows", "plugin_version": "0.0.5", "device_name": "STUDIO"});
    let started = ask(house, START, json!({"client": client})).await;
    assert_eq!(started.status, 201, "{started:?}");
    started.body
}

pub(crate) async fn poll(house: &House, started: &Value) -> Answer {
    let body = json!({
        "login_attempt_id": started["login_attempt_id"],
        "poll_token": started["poll_token"],
    });
    ask(house, POLL, body).await
}

pub(crate) async fn decide(house: &House, cookie: &str, started: &Value, approve: bool) -> u16 {
    let id = started["login_attempt_id"].as_str().unwrap();
    let path = format!("/api/v1/account/devices/{id}");
    let body = Some(json!({"approve": approve}));
    house
        .browse("POST", &path, cookie, body)
        .await
        .status()
        .as_u16()
}

/// A plugin of a signed-in person: its access and its refresh token.
pub(crate) async fn plugin(house: &House, cookie: &str) -> (String, String) {
    let started = started(house).await;
    assert_eq!(decide(house, cookie, &started, true).await, 204);
    let completed = poll(house, &started).await;
    assert_eq!(completed.status, 200, "{completed:?}");
    pair(&completed.body)
}

pub(crate) fn pair(body: &Value) -> (String, String) {
    let text = |name: &str| body["auth"][name].as_str().unwrap().to_owned();
    (text("cp_access_jwt"), text("refresh_token"))
}

pub(crate) async fn refresh(house: &House, token: &str) -> Answer {
    ask(house, REFRESH, json!({"refresh_token": token})).await
}

async fn complete(house: &House, key: &str, body: Value) -> Answer {
    let headers = [("x-plugin-login-auth", key), ("x-request-id", "test-1")];
    house
        .call("POST", COMPLETE, &headers, Some(body.to_string()))
        .await
}

/// An answer without what differs from run to run.
fn recorded(house: &House, answer: &Answer) -> Value {
    let text = masked(answer).to_string();
    let text = text.replace(&house.http.to_string(), "…");
    let mut shown: Value = serde_json::from_str(&text).unwrap();
    for name in ["login_attempt_id", "user_code", "authorize_url"] {
        let Some(value) = shown["body"].get_mut(name) else {
            continue;
        };
        let text = value.as_str().unwrap();
        let (fixed, _) = text.split_once("pla_").unwrap_or_default();
        *value = json!(format!("{fixed}…"));
    }
    shown
}

#[tokio::test(flavor = "multi_thread")]
async fn a_plugin_from_signing_in_to_signing_out() {
    let house = House::new().await;
    let cookie = accounts::person(&house, "someone@example.com").await;
    let client = json!({"platform": "windows", "plugin_version": "0.0.5", "device_name": "STUDIO"});
    let started = ask(&house, START, json!({"client": client})).await;
    insta::assert_json_snapshot!("auth_start", recorded(&house, &started));
    let started = started.body;
    insta::assert_json_snapshot!(
        "auth_poll_pending",
        recorded(&house, &poll(&house, &started).await)
    );

    // The page that the link leads to shows the code that the plugin shows.
    let body = json!({"login_attempt_id": started["login_attempt_id"]});
    let path = "/api/v1/account/devices/find";
    let found = house.browse("POST", path, &cookie, Some(body)).await;
    let found: Value = serde_json::from_str(found.body()).unwrap();
    assert_eq!(found["user_code"], started["user_code"]);
    assert_eq!(found["device"], "STUDIO (OBS plugin 0.0.5, windows)");
    assert_eq!(decide(&house, &cookie, &started, true).await, 204);
    assert_eq!(decide(&house, &cookie, &started, false).await, 409);

    let completed = poll(&house, &started).await;
    insta::assert_json_snapshot!("auth_poll_completed", recorded(&house, &completed));
    let claimed = poll(&house, &started).await;
    insta::assert_json_snapshot!("auth_poll_claimed", recorded(&house, &claimed));

    let (access, refresh_token) = pair(&completed.body);
    let shown = house.get(&access, SESSION).await;
    insta::assert_json_snapshot!("auth_session", recorded(&house, &shown));
    let refreshed = refresh(&house, &refresh_token).await;
    insta::assert_json_snapshot!("auth_refresh", recorded(&house, &refreshed));
    let (next, _) = pair(&refreshed.body);
    assert_ne!(next, access);

    let out = house.post(&next, "/api/v1/auth/logout", json!({})).await;
    assert_eq!((out.status, out.body), (204, Value::Null));
    assert_eq!(house.get(&next, SESSION).await.status, 401);
    assert_eq!(house.get(&access, SESSION).await.status, 401);
}

#[tokio::test(flavor = "multi_thread")]
async fn every_refusal_of_signing_in_has_the_contracts_code() {
    let house = House::new().await;
    let cookie = accounts::person(&house, "someone@example.com").await;
    let unknown = json!({"login_attempt_id": "pla_unknown", "poll_token": "x"});
    let unknown = ask(&house, POLL, unknown).await;
    insta::assert_json_snapshot!("auth_poll_unknown", recorded(&house, &unknown));

    let denied = started(&house).await;
    let deny = json!({
        "login_attempt_id": denied["login_attempt_id"], "outcome": "denied",
        "user_id": null, "reason_code": "user_cancelled",
    });
    let foreign = complete(&house, "sh_svc_wrong", deny.clone()).await;
    insta::assert_json_snapshot!("auth_complete_unauthorized", recorded(&house, &foreign));
    assert_eq!(complete(&house, SERVICE, deny.clone()).await.status, 204);
    assert_eq!(complete(&house, SERVICE, deny).await.status, 409);
    let answer = poll(&house, &denied).await;
    insta::assert_json_snapshot!("auth_poll_denied", recorded(&house, &answer));

    let late = started(&house).await;
    house.advance(Duration::from_secs(601));
    let answer = poll(&house, &late).await;
    insta::assert_json_snapshot!("auth_poll_expired", recorded(&house, &answer));
    assert_eq!(decide(&house, &cookie, &late, true).await, 410);

    let invalid = refresh(&house, "sh_refresh_unknown").await;
    insta::assert_json_snapshot!("auth_refresh_unknown", recorded(&house, &invalid));
    let (access, token) = plugin(&house, &cookie).await;
    house.post(&access, "/api/v1/auth/logout", json!({})).await;
    let ended = refresh(&house, &token).await;
    insta::assert_json_snapshot!("auth_refresh_ended", recorded(&house, &ended));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_web_tier_may_complete_a_sign_in() {
    let house = House::new().await;
    let cookie = accounts::person(&house, "someone@example.com").await;
    let me = house.browse("GET", "/api/v1/account", &cookie, None).await;
    let me: Value = serde_json::from_str(me.body()).unwrap();
    let asks = started(&house).await;
    let mut body = json!({
        "login_attempt_id": asks["login_attempt_id"], "outcome": "completed",
        "user_id": "usr_unknown", "reason_code": "",
    });
    assert_eq!(complete(&house, SERVICE, body.clone()).await.status, 400);
    body["user_id"] = me["user_id"].clone();
    assert_eq!(complete(&house, SERVICE, body).await.status, 204);
    assert_eq!(poll(&house, &asks).await.body["user"]["id"], me["user_id"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn slots_are_numbered_labelled_and_get_new_keys() {
    let house = House::new().await;
    let (_, mut node) = node::joined(&house, "one", 10).await;
    let user = house.user("someone").await;
    let slots = "/api/v1/user/stream-slots";
    let first = house.get(&user, slots).await;
    insta::assert_json_snapshot!("slots", recorded(&house, &first));
    let started = house.start(&user, "cam1").await;
    let old = &started.body["session"]["credentials"]["stream_token"];
    let old_lease = node.assigned().await;

    let put = async |number: &str, label: &str| {
        let bearer = format!("Bearer {user}");
        let headers = [("authorization", bearer.as_str())];
        let path = format!("{slots}/{number}/label");
        let body = json!({"label": label}).to_string();
        house.call("PUT", &path, &headers, Some(body)).await
    };
    assert_eq!(
        house.get(&user, slots).await.body["stream_slots"][1]["label"],
        "cam1"
    );
    let renamed = put("2", "Back pack").await;
    assert_eq!(
        (renamed.status, &renamed.body["label"]),
        (200, &json!("Back pack"))
    );
    for (number, label, status) in [
        ("3", "x", 404),
        ("0", "x", 404),
        ("a", "x", 404),
        ("2", " ", 400),
    ] {
        assert_eq!(
            put(number, label).await.status,
            status,
            "{number} {label:?}"
        );
    }

    let regenerate = "/api/v1/user/regenerate-token";
    let fresh = house
        .post(&user, regenerate, json!({"slot_number": 2}))
        .await;
    assert_eq!(fresh.status, 200);
    assert_ne!(&fresh.body["stream_token"], old);
    // The node is told at once, and the old token names nothing any more.
    let new_lease = node.assigned().await;
    assert_eq!(new_lease.session_id, old_lease.session_id);
    assert_ne!(
        new_lease.publish.unwrap().stream_key,
        old_lease.publish.unwrap().stream_key
    );
    let by_token = json!({"connection_id": "cam2", "stream_token": old});
    assert_eq!(
        house
            .post(&user, "/api/v1/relay/start", by_token)
            .await
            .status,
        400
    );
    let bearer = format!("Bearer {user}");
    let headers = [("authorization", bearer.as_str())];
    let unnamed = house.call("POST", regenerate, &headers, None);
    assert_eq!(unnamed.await.body["slot_number"], 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_plan_limits_and_says_why() {
    let house = House::new().await;
    let (_, mut node) = node::joined(&house, "one", 10).await;
    let made = house
        .post(ADMIN, "/api/v1/ops/users", json!({"name": "someone"}))
        .await
        .body;
    let (id, user) = (
        made["user_id"].as_str().unwrap(),
        made["token"].as_str().unwrap(),
    );
    let put = async |path: &str, body: Value| {
        let bearer = format!("Bearer {ADMIN}");
        let headers = [("authorization", bearer.as_str())];
        let path = format!("/api/v1/ops/{path}");
        house
            .call("PUT", &path, &headers, Some(body.to_string()))
            .await
            .status
    };
    let plan = format!("users/{id}/plan");
    let small = json!({"max_concurrent_conns": 1, "included_seconds": 15});
    assert_eq!(
        put(
            &plan,
            json!({"plan_tier": "small", "plan_status": "active"})
        )
        .await,
        404
    );
    assert_eq!(put("plans/small", small).await, 204);
    assert_eq!(
        put(
            &plan,
            json!({"plan_tier": "small", "plan_status": "active"})
        )
        .await,
        204
    );
    assert_eq!(house.start(user, "cam1").await.status, 201);
    let limited = house.start(user, "cam2").await;
    assert_eq!(
        (
            limited.status,
            &limited.body["error"]["code"],
            &limited.body["error"]["reason_code"]
        ),
        (
            403,
            &json!("connection_limit_reached"),
            &json!("connection_limit_reached")
        )
    );
    // Whoever asks for what is there already gets it.
    assert_eq!(house.start(user, "cam1").await.status, 200);

    // Media time is what the node saw published.
    let session = node.assigned().await.session_id;
    let active = async |field: &str| {
        let active = house.get(user, "/api/v1/relay/active").await;
        active.body["session"][field].clone()
    };
    node.beat(&[&session], &[&session]).await;
    eventually("publishing", async || active("publishing").await == true).await;
    for _ in 0..2 {
        let before = active("lease_expires_at").await;
        house.advance(Duration::from_secs(10));
        node.beat(&[&session], &[&session]).await;
        let is_heard = async || active("lease_expires_at").await != before;
        eventually("heard", is_heard).await;
    }
    house.advance(Duration::from_secs(10));
    node.beat(&[&session], &[]).await;
    eventually("silent", async || active("publishing").await == false).await;
    let usage = async || house.get(user, SESSION).await.body["usage"].clone();
    let expected = json!({
        "included_seconds": 15, "consumed_seconds": 20, "remaining_seconds": 0, "overage_seconds": 5,
        "included_bytes": 0, "consumed_bytes": 0, "remaining_bytes": 0, "overage_bytes": 0,
    });
    assert_eq!(usage().await, expected);

    assert_eq!(
        put(
            &plan,
            json!({"plan_tier": "small", "plan_status": "inactive"})
        )
        .await,
        204
    );
    let inactive = house.start(user, "cam2").await;
    assert_eq!(
        (
            inactive.status,
            &inactive.body["error"]["code"],
            &inactive.body["error"]["reason_code"]
        ),
        (
            403,
            &json!("entitlement_denied"),
            &json!("subscription_inactive")
        )
    );
    let shown = house.get(user, SESSION).await.body["entitlement"].clone();
    assert_eq!(
        (
            &shown["relay_access_status"],
            &shown["active_managed_conns"]
        ),
        (&json!("disabled"), &json!(1))
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dock_signs_in_by_a_code_that_somebody_types() {
    let house = House::new().await;
    let cookie = accounts::person(&house, "someone@example.com").await;
    let asks = house
        .browse("POST", "/api/v1/dock/login/start", "", None)
        .await;
    assert_eq!(asks.status(), 201);
    let asks: Value = serde_json::from_str(asks.body()).unwrap();
    let poll = async || {
        let body = json!({
            "login_attempt_id": asks["login_attempt_id"], "poll_token": asks["poll_token"],
        });
        house
            .browse("POST", "/api/v1/dock/login/poll", "", Some(body))
            .await
    };
    assert_eq!(poll().await.status(), 202);
    // A plugin's endpoint gives a dock nothing.
    assert_eq!(self::poll(&house, &asks).await.status, 404);
    let typed = asks["user_code"]
        .as_str()
        .unwrap()
        .to_lowercase()
        .replace('-', " ");
    let find = "/api/v1/account/devices/find";
    let found = house
        .browse("POST", find, &cookie, Some(json!({"user_code": typed})))
        .await;
    let found: Value = serde_json::from_str(found.body()).unwrap();
    assert_eq!(
        (&found["kind"], &found["login_attempt_id"]),
        (&json!("dock"), &asks["login_attempt_id"])
    );
    assert_eq!(decide(&house, &cookie, &asks, true).await, 204);

    let signed_in = poll().await;
    assert_eq!(signed_in.status(), 204);
    let dock = cookie_of(&signed_in);
    let connections = "/api/v1/dock/connections";
    assert_eq!(
        house.browse("GET", connections, &dock, None).await.status(),
        200
    );
    assert_eq!(poll().await.status(), 409);

    let listed = house
        .browse("GET", "/api/v1/account/sessions", &cookie, None)
        .await;
    let listed: Value = serde_json::from_str(listed.body()).unwrap();
    let sessions = listed["sessions"].as_array().unwrap();
    let id = sessions.iter().find(|one| one["kind"] == "dock").unwrap()["id"]
        .as_str()
        .unwrap();
    let path = format!("/api/v1/account/sessions/{id}");
    assert_eq!(
        house.browse("DELETE", &path, &cookie, None).await.status(),
        204
    );
    assert_eq!(
        house.browse("GET", connections, &dock, None).await.status(),
        401
    );
}
