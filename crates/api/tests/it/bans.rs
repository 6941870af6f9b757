//! Who and what is shut out.

use std::time::Duration;

use proto::fleet as pb;
use proto::fleet::control_message::Directive;
use serde_json::{Value, json};

use crate::accounts;
use crate::contract_auth::{SESSION, decide, plugin, poll, refresh, started};
use crate::house::{ADMIN, Answer, House, eventually};
use crate::node;
use crate::upkeep::expire_bans;

const BANS: &str = "/api/v1/ops/bans";

async fn ban(house: &House, kind: &str, subject: &Value) -> Answer {
    let request = json!({"kind": kind, "subject": subject, "reason": "spam", "seconds": 60});
    house.post(ADMIN, BANS, request).await
}

/// A user: their token, and what an operator sees of them.
async fn user(house: &House, name: &str) -> (String, Value) {
    let made = json!({"name": name});
    let made = house.post(ADMIN, "/api/v1/ops/users", made).await.body;
    (made["token"].as_str().unwrap().to_owned(), made)
}

async fn status(house: &House, token: &str) -> u16 {
    house.get(token, "/api/v1/streams").await.status
}

async fn banned_people_are_shut_out(kind: &str) {
    let house = House::new().await;
    let (_, mut node) = node::joined(&house, "one", 10).await;
    let (token, made) = user(&house, kind).await;
    let (bystander, _) = user(&house, "bystander").await;
    assert_eq!(house.start(&token, "cam1").await.status, 201);
    let session = node.assigned().await.session_id;
    let subject = &made[format!("{kind}_id")];
    let added = ban(&house, kind, subject).await;
    assert_eq!(added.status, 201, "{added:?}");

    let revoke = node.revoked().await;
    assert_eq!(revoke.session_id, session);
    assert_eq!(revoke.reason, "banned");
    for path in ["/api/v1/relay/active", "/api/v1/streams"] {
        let refused = house.get(&token, path).await;
        assert_eq!(refused.status, 403, "{path}");
        let error = &refused.body["error"];
        assert_eq!(error["code"], "banned");
        assert_eq!(error["reason_code"], format!("{kind}_banned"));
    }
    assert_eq!(house.start(&token, "cam2").await.status, 403);
    assert_eq!(status(&house, &bystander).await, 200);
    assert_eq!(ban(&house, kind, subject).await.status, 409);

    house.advance(Duration::from_secs(60));
    assert_eq!(status(&house, &token).await, 200);
    let id = added.body["ban_id"].as_str().unwrap();
    assert_eq!(expire_bans(&house).await, [id]);
    assert!(expire_bans(&house).await.is_empty());
    let ended = house.get(ADMIN, &format!("{BANS}?ended=true")).await;
    assert_eq!(ended.body["bans"][0]["ban_id"], id);
    let audit = house
        .get(ADMIN, &format!("/api/v1/ops/audit?subject={id}"))
        .await;
    let entries = audit.body["entries"].as_array().unwrap();
    let actions: Vec<_> = entries.iter().map(|it| it["action"].clone()).collect();
    assert_eq!(actions, ["ban.expire", "ban.add"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_banned_user_is_refused_everywhere_until_it_is_over() {
    banned_people_are_shut_out("user").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_banned_tenants_users_are_refused_everywhere_until_it_is_over() {
    banned_people_are_shut_out("tenant").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_banned_user_gets_no_fresh_tokens_and_loses_none() {
    let house = House::new().await;
    let cookie = accounts::person(&house, "someone@example.com").await;
    let (access, token) = plugin(&house, &cookie).await;
    let approved = started(&house).await;
    assert_eq!(decide(&house, &cookie, &approved, true).await, 204);
    let me = house.get(&access, SESSION).await.body;
    let banned = ban(&house, "user", &me["user"]["id"]).await;
    assert_eq!(banned.status, 201, "{banned:?}");
    for refused in [refresh(&house, &token).await, poll(&house, &approved).await] {
        assert_eq!(refused.status, 403, "{refused:?}");
        assert_eq!(refused.body["error"]["reason_code"], "user_banned");
    }
    house.advance(Duration::from_secs(60));
    assert_eq!(refresh(&house, &token).await.status, 200);
    assert_eq!(poll(&house, &approved).await.status, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_ban_holds_on_every_replica_and_after_a_restart() {
    let house = House::new().await;
    let other = house.replica().await;
    let (token, made) = user(&house, "mallory").await;
    let added = ban(&house, "user", &made["user_id"]).await;
    let refused = async |house: &House| status(house, &token).await == 403;
    eventually("refused there", async || refused(&other).await).await;
    let restarted = house.replica().await;
    assert!(refused(&restarted).await);
    let path = format!("{BANS}/{}", added.body["ban_id"].as_str().unwrap());
    assert_eq!(other.delete(ADMIN, &path).await.status, 204);
    assert!(!refused(&other).await);
    eventually("let in here", async || !refused(&house).await).await;
    assert_eq!(other.delete(ADMIN, &path).await.status, 404);
}

async fn told(node: &mut node::Node) -> pb::BannedAddresses {
    match node.follow().await {
        Directive::Banned(banned) => banned,
        other => panic!("not the banned: {other:?}"),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn nodes_get_the_complete_set_of_addresses_and_get_it_again() {
    let house = House::new().await;
    let (enrolled, mut node) = node::joined(&house, "one", 10).await;
    let added = ban(&house, "prefix", &json!("203.0.113.77/24")).await;
    assert_eq!(added.body["subject"], "203.0.113.0/24");
    let first = told(&mut node).await;
    assert_eq!(first.prefixes, ["203.0.113.0/24"]);
    ban(&house, "prefix", &json!("2001:db8::1")).await;
    let second = told(&mut node).await;
    assert_eq!(second.prefixes, ["203.0.113.0/24", "2001:db8::1/128"]);
    assert_ne!(first.version, second.version);
    drop(node);

    // From another replica, with the Welcome.
    let other = house.replica().await;
    let (mut node, welcome) = node::welcomed(&other, &enrolled, 10, Vec::new())
        .await
        .unwrap();
    assert_eq!(welcome.banned, Some(second));
    node.resync().await;
    // Their time over, nobody has to do anything.
    other.advance(Duration::from_secs(60));
    assert_eq!(told(&mut node).await, pb::BannedAddresses::default());
}

async fn a_banned_key_is_refused(role: &str, prefix: &str) {
    let house = House::new().await;
    let (_, mut node) = node::joined(&house, "one", 10).await;
    let (token, _) = user(&house, "someone").await;
    let started = house.start(&token, "cam1").await;
    let credentials = &started.body["session"]["credentials"];
    let key = credentials[role].as_str().unwrap().to_owned();
    node.assigned().await;
    let added = ban(&house, "stream_key", &json!(format!("{prefix}{key}"))).await;
    assert_eq!(added.status, 201, "{added:?}");
    assert!(!added.body.to_string().contains(&key), "{added:?}");
    assert_eq!(node.revoked().await.reason, "banned");
    let refused = house.start(&token, "cam1").await;
    assert_eq!(refused.status, 403, "{refused:?}");
    assert_eq!(refused.body["error"]["reason_code"], "stream_key_banned");
    // Of the account everything else goes on.
    assert_eq!(house.start(&token, "cam2").await.status, 201);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_banned_publish_key_ends_its_stream() {
    a_banned_key_is_refused("stream_token", "live_").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_banned_play_key_ends_its_stream() {
    a_banned_key_is_refused("play_token", "play_").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_ban_must_mean_something() {
    let house = House::new().await;
    for (kind, subject, status) in [
        ("prefix", "0.0.0.0/0", 400),
        ("prefix", "2000::/3", 400),
        ("prefix", "somewhere", 400),
        ("stream_key", "x", 400),
        ("stream_key", "live_00000000000000000000000000000000", 404),
        ("user", "usr_nobody", 404),
        ("tenant", "x", 404),
        ("city", "x", 400),
    ] {
        let refused = ban(&house, kind, &json!(subject)).await;
        assert_eq!(refused.status, status, "{kind} {subject}: {refused:?}");
    }
    let of = |reason: &str| json!({"kind": "prefix", "subject": "203.0.113.1", "reason": reason});
    let mut instant = of("x");
    instant["seconds"] = 0.into();
    let mut past = of("x");
    past["expires_at"] = "2025-11-21T04:39:59Z".into();
    for wrong in [of(""), instant, past] {
        let refused = house.post(ADMIN, BANS, wrong.clone()).await;
        assert_eq!(refused.status, 400, "{wrong}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn those_with_a_role_are_banned_by_admins_only_and_admins_by_nobody() {
    let house = House::new().await;
    let users = house.get(ADMIN, "/api/v1/ops/users").await.body;
    let first = users["users"][0].clone();
    for kind in ["user", "tenant"] {
        let refused = ban(&house, kind, &first[format!("{kind}_id")]).await;
        assert_eq!(refused.status, 409, "{refused:?}");
    }
    let with_role = async |role: &str| {
        let (token, made) = user(&house, role).await;
        let id = made["user_id"].as_str().unwrap();
        let path = format!("/api/v1/ops/users/{id}/role");
        house.put(ADMIN, &path, json!({"role": role})).await;
        (token, made)
    };
    let (operator, _) = with_role("operator").await;
    let (_, viewer) = with_role("viewer").await;
    let request = json!({"kind": "user", "subject": viewer["user_id"], "reason": "x"});
    let refused = house.post(&operator, BANS, request.clone()).await;
    assert_eq!(refused.status, 409, "{refused:?}");
    assert_eq!(house.post(ADMIN, BANS, request).await.status, 201);
}
