//! Attacks that must come to nothing, each by its name.

use std::time::Duration;

use serde_json::{Value, json};
use streamhaul_api::{Access, table};

use crate::accounts;
use crate::contract_auth::{SESSION, ask, decide, pair, plugin, poll, refresh, started};
use crate::house::{ADMIN, Answer, House};
use crate::node;

#[tokio::test(flavor = "multi_thread")]
async fn refresh_token_reuse_ends_the_family() {
    let house = House::new().await;
    let cookie = accounts::person(&house, "someone@example.com").await;
    let (_, first) = plugin(&house, &cookie).await;
    let (other, _) = plugin(&house, &cookie).await;
    let (access, second) = pair(&refresh(&house, &first).await.body);
    assert_eq!(house.get(&access, SESSION).await.status, 200);

    let reused = refresh(&house, &first).await;
    assert_eq!(reused.status, 401);
    assert_eq!(reused.body["error"]["reason_code"], "refresh_token_reused");
    assert_eq!(house.get(&access, SESSION).await.status, 401);
    assert_eq!(refresh(&house, &second).await.status, 410);
    // Another device of the same user is not its family.
    assert_eq!(house.get(&other, SESSION).await.status, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn refresh_race_has_one_winner_and_ends_the_family() {
    let house = House::new().await;
    let cookie = accounts::person(&house, "someone@example.com").await;
    let (_, token) = plugin(&house, &cookie).await;
    let answers = tokio::join!(
        refresh(&house, &token),
        refresh(&house, &token),
        refresh(&house, &token),
        refresh(&house, &token)
    );
    let answers = [answers.0, answers.1, answers.2, answers.3];
    let won: Vec<_> = answers
        .iter()
        .filter(|answer| answer.status == 200)
        .collect();
    assert_eq!(won.len(), 1, "{answers:?}");
    let (access, next) = pair(&won[0].body);
    assert_eq!(house.get(&access, SESSION).await.status, 401);
    assert_eq!(refresh(&house, &next).await.status, 410);
}

#[tokio::test(flavor = "multi_thread")]
async fn access_token_lives_fifteen_minutes_and_not_after_its_sign_in() {
    let house = House::new().await;
    let cookie = accounts::person(&house, "someone@example.com").await;
    let (access, token) = plugin(&house, &cookie).await;
    house.advance(Duration::from_secs(899));
    assert_eq!(house.get(&access, SESSION).await.status, 200);
    // A request under way with the older token is not cut off by a refresh.
    let (next, token) = pair(&refresh(&house, &token).await.body);
    assert_eq!(house.get(&access, SESSION).await.status, 200);
    house.advance(Duration::from_secs(2));
    assert_eq!(house.get(&access, SESSION).await.status, 401);
    assert_eq!(house.get(&next, SESSION).await.status, 200);

    let sessions = house.get(&next, "/api/v1/account/sessions").await.body;
    let is_current = |one: &&Value| one["current"] == true;
    let listed = sessions["sessions"].as_array().unwrap();
    let mine = listed.iter().find(is_current).unwrap();
    let path = format!("/api/v1/account/sessions/{}", mine["id"].as_str().unwrap());
    assert_eq!(
        house.browse("DELETE", &path, &cookie, None).await.status(),
        204
    );
    assert_eq!(house.get(&next, SESSION).await.status, 401);
    assert_eq!(refresh(&house, &token).await.status, 410);
}

#[tokio::test(flavor = "multi_thread")]
async fn refresh_token_lives_thirty_days_from_its_last_use() {
    let house = House::new().await;
    let cookie = accounts::person(&house, "someone@example.com").await;
    let (_, mut token) = plugin(&house, &cookie).await;
    for _ in 0..3 {
        house.advance(Duration::from_secs(29 * 24 * 3600));
        token = pair(&refresh(&house, &token).await.body).1;
    }
    house.advance(Duration::from_secs(30 * 24 * 3600));
    assert_eq!(refresh(&house, &token).await.status, 410);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_opens_only_what_its_kind_opens() {
    let house = House::new().await;
    let cookie = accounts::person(&house, "someone@example.com").await;
    let (access, refresh_token) = plugin(&house, &cookie).await;
    assert_eq!(house.get(&refresh_token, SESSION).await.status, 401);
    assert_eq!(refresh(&house, &access).await.status, 401);
    assert_eq!(house.get(&access, "/api/v1/ops/users").await.status, 403);
    for cookies in ["streamhaul_account", "streamhaul_dock"] {
        let forged = format!("{cookies}={access}");
        let shown = house.browse("GET", "/api/v1/account", &forged, None).await;
        assert_eq!(shown.status(), 401, "{forged}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn device_login_without_its_poll_token_gives_nothing() {
    let house = House::new().await;
    let cookie = accounts::person(&house, "someone@example.com").await;
    let (mine, other) = (started(&house).await, started(&house).await);
    assert_eq!(decide(&house, &cookie, &mine, true).await, 204);
    // Who knows the link or the code alone gets nothing, nor does another device.
    for token in [
        json!(""),
        mine["user_code"].clone(),
        other["poll_token"].clone(),
    ] {
        let body = json!({"login_attempt_id": mine["login_attempt_id"], "poll_token": token});
        let refused = ask(&house, "/api/v1/auth/plugin/login/poll", body).await;
        assert_eq!(refused.status, 404, "{token}");
    }
    assert_eq!(poll(&house, &other).await.status, 202);
    assert_eq!(poll(&house, &mine).await.status, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn device_login_is_confirmed_by_nobody_but_a_signed_in_browser_of_our_own_page() {
    let house = House::new().await;
    let cookie = accounts::person(&house, "someone@example.com").await;
    let asks = started(&house).await;
    let path = format!(
        "/api/v1/account/devices/{}",
        asks["login_attempt_id"].as_str().unwrap()
    );
    let body = Some(json!({"approve": true}).to_string());
    let (access, _) = plugin(&house, &cookie).await;
    let bearer = format!("Bearer {access}");
    let attempts: [&[(&str, &str)]; 4] = [
        &[],
        &[("authorization", &bearer)],
        &[("cookie", &cookie)],
        &[("cookie", &cookie), ("origin", "https://evil.example")],
    ];
    for headers in attempts {
        let refused = house.call("POST", &path, headers, body.clone()).await;
        assert!(
            [401, 403].contains(&refused.status),
            "{headers:?}: {refused:?}"
        );
    }
    assert_eq!(poll(&house, &asks).await.status, 202);
}

#[tokio::test(flavor = "multi_thread")]
async fn device_logins_of_a_user_who_was_shut_out_come_to_nothing() {
    let house = House::new().await;
    let cookie = accounts::person(&house, "someone@example.com").await;
    let me = house.browse("GET", "/api/v1/account", &cookie, None).await;
    let me: Value = serde_json::from_str(me.body()).unwrap();
    let asks = started(&house).await;
    assert_eq!(decide(&house, &cookie, &asks, true).await, 204);
    let path = format!(
        "/api/v1/ops/users/{}/disable",
        me["user_id"].as_str().unwrap()
    );
    house.post(ADMIN, &path, json!({"disabled": true})).await;
    assert_eq!(poll(&house, &asks).await.status, 409);
}

/// What one tenant has.
pub(crate) struct Tenant {
    pub(crate) token: String,
    pub(crate) account: String,
    pub(crate) dock: String,
    session: String,
    stream: String,
    sign_in: String,
    attempt: String,
    webhook: String,
    /// The number of a slot that tenants with one slot do not have.
    slot: u32,
    /// Whatever of it another tenant must never read.
    secrets: Vec<String>,
}

pub(crate) async fn tenant(house: &House, name: &str) -> Tenant {
    let email = format!("{name}@example.com");
    let account = accounts::person(house, &email).await;
    let (token, _) = plugin(house, &account).await;
    let dock = dock(house, &account).await;
    let begun = house.start(&token, &format!("cam-{name}")).await;
    assert_eq!(begun.status, 201, "{begun:?}");
    let session = begun.body["session"]["session_id"]
        .as_str()
        .unwrap()
        .to_owned();
    let streams = house.get(&token, "/api/v1/streams").await.body;
    let stream = streams["streams"][0]["stream_id"]
        .as_str()
        .unwrap()
        .to_owned();
    let sessions = house.get(&token, "/api/v1/account/sessions").await.body;
    let sign_in = sessions["sessions"][0]["id"].as_str().unwrap().to_owned();
    let attempt = started(house).await;
    decide(house, &account, &attempt, true).await;
    let hook = json!({"url": "https://example.com/hooks", "events": ["session.up"]});
    let hook = house.post(&token, "/api/v1/webhooks", hook).await;
    let webhook = hook.body["webhook_id"].as_str().unwrap().to_owned();
    let credentials = &begun.body["session"]["credentials"];
    let key = |name: &str| credentials[name].as_str().unwrap().to_owned();
    let secrets = vec![
        key("stream_token"),
        key("play_token"),
        session.clone(),
        stream.clone(),
        sign_in.clone(),
        webhook.clone(),
        email,
        format!("cam-{name}"),
    ];
    let attempt = attempt["login_attempt_id"].as_str().unwrap().to_owned();
    Tenant {
        token,
        account,
        dock,
        session,
        stream,
        sign_in,
        attempt,
        webhook,
        slot: 1,
        secrets,
    }
}

async fn dock(house: &House, account: &str) -> String {
    let asks = house
        .browse("POST", "/api/v1/dock/login/start", "", None)
        .await;
    let asks: Value = serde_json::from_str(asks.body()).unwrap();
    assert_eq!(decide(house, account, &asks, true).await, 204);
    let body = json!({
        "login_attempt_id": asks["login_attempt_id"], "poll_token": asks["poll_token"],
    });
    let path = "/api/v1/dock/login/poll";
    crate::house::cookie_of(&house.browse("POST", path, "", Some(body)).await)
}

impl Tenant {
    /// Gives the tenant a slot that others do not have the number of.
    async fn another_slot(&mut self, house: &House) {
        house.get(&self.token, "/api/v1/user/stream-slots").await;
        let made = house.post(&self.token, "/api/v1/streams", json!({})).await;
        let number = made.body["slot_number"].as_u64().unwrap();
        self.slot = number.try_into().unwrap();
    }

    /// What the tenant shows on a route; none where nobody shows anything.
    fn shows(&self, access: Access) -> Option<(&'static str, String)> {
        match access {
            Access::User | Access::Ops(_) | Access::Viewer | Access::Account => {
                Some(("authorization", format!("Bearer {}", self.token)))
            }
            Access::Dock => Some(("cookie", self.dock.clone())),
            Access::Browser => Some(("cookie", self.account.clone())),
            Access::Public | Access::Page | Access::Service => None,
        }
    }

    async fn ask(&self, house: &House, access: Access, probe: &Probe) -> Option<Answer> {
        let (name, credential) = self.shows(access)?;
        let origin = format!("http://{}", house.http);
        let headers = [(name, credential.as_str()), ("origin", origin.as_str())];
        let body = Some(probe.body.to_string());
        Some(house.call(&probe.method, &probe.path, &headers, body).await)
    }

    /// A route's path with what this tenant has in it, as far as it names anything.
    fn path(&self, template: &str) -> String {
        let id = if template.contains("/account/sessions") {
            &self.sign_in
        } else if template.contains("/devices/") {
            &self.attempt
        } else if template.contains("/streams/") {
            &self.stream
        } else if template.contains("/webhooks/") {
            &self.webhook
        } else {
            &self.session
        };
        let name = self.secrets.last().unwrap();
        template
            .replace("{id}", id)
            .replace("{name}", name)
            .replace("{session}", &self.sign_in)
            .replace("{token}", "tok_1")
            .replace("{number}", &self.slot.to_string())
    }

    /// A body that names what this tenant has in every way that any route knows.
    fn body(&self, path: &str) -> Value {
        match path {
            "/api/v1/relay/stop" | "/api/v1/relay/health" => json!({"session_id": self.session}),
            "/api/v1/relay/start" => json!({"stream_token": self.secrets[0]}),
            "/api/v1/relay/migrate" => json!({"session_id": self.session, "new_region": "eu"}),
            "/api/v1/user/regenerate-token" => json!({"slot_number": self.slot}),
            "/api/v1/account/devices/find" => json!({"login_attempt_id": self.attempt}),
            _ if path.ends_with("/label") => json!({"label": "taken over"}),
            _ if path.contains("/devices/") => json!({"approve": false}),
            _ => json!({}),
        }
    }
}

/// A request that names what a tenant has.
struct Probe {
    method: String,
    path: String,
    body: Value,
    access: Access,
    /// What whoever is not that tenant gets.
    refused: u16,
}

#[tokio::test(flavor = "multi_thread")]
async fn tenant_isolation_holds_on_every_route() {
    let house = House::new().await;
    let (_, _node) = node::joined(&house, "one", 10).await;
    let mut victim = tenant(&house, "victim").await;
    victim.another_slot(&house).await;
    let intruder = tenant(&house, "intruder").await;
    let mut named = Vec::new();
    let mut tried = 0;
    for (method, template, access) in table() {
        // Signing oneself out names nobody else's.
        if template.ends_with("/logout") || template.ends_with("/sign-out") {
            continue;
        }
        if (template, method.as_str()) == ("/api/v1/dock/session", "DELETE") {
            continue;
        }
        let path = victim.path(template);
        // 400: the stream token is not one of the caller's. 409: decided, and not told by
        // whom. 503: the gateway, which asks us who may, is not here.
        let refused = match template {
            "/api/v1/relay/start" => 400,
            "/v1/sessions/{id}/live" | "/v1/sessions/{id}/report" => 503,
            "/api/v1/account/devices/find" | "/api/v1/account/devices/{id}" => 409,
            _ if matches!(access, Access::Ops(_)) => 403,
            _ => 404,
        };
        let probe = Probe {
            method: method.to_string(),
            body: victim.body(&path),
            path,
            access,
            refused,
        };
        let Some(answer) = intruder.ask(&house, access, &probe).await else {
            continue;
        };
        let text = answer.body.to_string();
        for secret in &victim.secrets {
            assert!(
                !text.contains(secret),
                "{method} {template} tells {secret}: {text}"
            );
        }
        if probe.path != template || probe.body != json!({}) {
            assert_eq!(
                answer.status, refused,
                "{method} {}: {answer:?}",
                probe.path
            );
            named.push(probe);
        }
        tried += 1;
    }
    assert!(tried > 30, "only {tried} routes were tried");

    // The victim has everything as it was.
    let active = house.get(&victim.token, "/api/v1/relay/active").await;
    assert_eq!(
        active.body["session"]["session_id"],
        victim.session.as_str()
    );
    assert_eq!(
        active.body["session"]["credentials"]["stream_token"],
        victim.secrets[0].as_str()
    );
    let listed = house.get(&victim.token, "/api/v1/account/sessions").await;
    assert!(listed.body.to_string().contains(&victim.sign_in));
    let connections = house
        .browse("GET", "/api/v1/dock/connections", &victim.dock, None)
        .await;
    assert!(
        connections.body().contains("cam-victim"),
        "{}",
        connections.body()
    );
    let hooks = house.get(&victim.token, "/api/v1/webhooks").await;
    assert!(hooks.body.to_string().contains(&victim.webhook));
    assert_owner_may(&house, &victim, named).await;
}

/// What was refused is the owner's to do: else nothing was tried.
async fn assert_owner_may(house: &House, owner: &Tenant, mut named: Vec<Probe>) {
    // What ends something comes last, what the probe needs to be asked with after all.
    named.sort_by_key(|probe| {
        let ends = probe.method == "DELETE" || probe.path.ends_with("/stop");
        (ends, probe.path.contains("/account/sessions"))
    });
    let mut granted = 0;
    for probe in named
        .iter()
        .filter(|probe| [400, 404].contains(&probe.refused))
    {
        let answer = owner.ask(house, probe.access, probe).await.unwrap();
        let (method, path) = (&probe.method, &probe.path);
        assert_ne!(answer.status, probe.refused, "{method} {path}: {answer:?}");
        assert_ne!(answer.status, 401, "{method} {path}: {answer:?}");
        granted += 1;
    }
    assert!(granted > 10, "only {granted} probes name what there is");
}

#[tokio::test(flavor = "multi_thread")]
async fn password_guessing_ends_after_a_burst_for_an_account_and_for_an_address() {
    let house = House::new().await;
    let email = "someone@example.com";
    accounts::person(&house, email).await;
    let sign_in = async |from: &str, email: &str, password: &str| {
        let origin = format!("http://{}", house.http);
        let headers = [("origin", origin.as_str()), ("x-forwarded-for", from)];
        let body = json!({"email": email, "password": password}).to_string();
        let path = "/api/v1/auth/sign-in";
        house.call("POST", path, &headers, Some(body)).await.status
    };
    // Who knows the password is never slowed down.
    for _ in 0..12 {
        assert_eq!(sign_in("192.0.2.1", email, accounts::PASSWORD).await, 204);
    }
    for number in 0..10 {
        let from = format!("198.51.100.{number}");
        assert_eq!(sign_in(&from, email, "a wrong password").await, 401);
    }
    // From anywhere unknown, even with the right one: else the answer would tell a good
    // guess.
    assert_eq!(sign_in("192.0.2.2", email, "a wrong password").await, 429);
    assert_eq!(sign_in("192.0.2.1", email, accounts::PASSWORD).await, 429);
    house.advance(Duration::from_secs(60));
    assert_eq!(sign_in("192.0.2.1", email, accounts::PASSWORD).await, 204);

    // One address that tries many accounts; there is no telling which of them are any.
    for number in 0..30 {
        let email = format!("person{number}@example.com");
        assert_eq!(
            sign_in("203.0.113.9", &email, "a wrong password").await,
            401
        );
    }
    assert_eq!(
        sign_in("203.0.113.9", "a@example.com", "a wrong one").await,
        429
    );
    assert_eq!(
        sign_in("203.0.113.10", "a@example.com", "a wrong one").await,
        401
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn letters_and_devices_are_asked_for_a_few_at_a_time() {
    let house = House::new().await;
    for number in 0..10 {
        let body = json!({"email": format!("person{number}@example.com")});
        assert_eq!(accounts::page(&house, "forgot", body).await.status(), 202);
    }
    let refused = accounts::page(&house, "forgot", json!({"email": "a@example.com"})).await;
    assert_eq!(refused.status(), 429);
    assert_eq!(refused.headers()["retry-after"], "60");

    for _ in 0..20 {
        started(&house).await;
    }
    let path = "/api/v1/dock/login/start";
    assert_eq!(house.browse("POST", path, "", None).await.status(), 429);
    house.advance(Duration::from_secs(10));
    assert_eq!(house.browse("POST", path, "", None).await.status(), 201);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_forwarded_address_is_believed_from_a_proxy_of_ours_only() {
    let house = House::with(|config| config.http.trusted_proxies = Vec::new()).await;
    for number in 0..20 {
        let from = format!("198.51.100.{number}");
        let client = json!({"client": {"device_name": "STUDIO"}}).to_string();
        let path = "/api/v1/auth/plugin/login/start";
        let headers = [("x-forwarded-for", from.as_str())];
        assert_eq!(
            house
                .call("POST", path, &headers, Some(client))
                .await
                .status,
            201
        );
    }
    let refused = house
        .browse("POST", "/api/v1/dock/login/start", "", None)
        .await;
    assert_eq!(refused.status(), 429);
}
