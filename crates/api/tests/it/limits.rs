//! How often a caller may ask, and what every answer says of it.

use std::time::Duration;

use serde_json::json;
use streamhaul_api::{Access, Class, Proxies, RateLimitsConfig, classes, document, table};

use crate::house::{ADMIN, Answer, House, Raw, SERVICE, masked};
use crate::node;
use crate::security::{Tenant, tenant};

const SESSIONS: &str = "/api/v1/relay/sessions";
const KEYS: &str = "/.well-known/streamhaul-keys.json";

async fn limited() -> House {
    House::with(|config| config.http.rate_limits = RateLimitsConfig::default()).await
}

fn field<'a>(raw: &'a Raw, name: &str) -> &'a str {
    let value = raw.headers().get(name);
    value.map_or("", |value| value.to_str().unwrap())
}

async fn start(house: &House, token: &str) -> Raw {
    let bearer = format!("Bearer {token}");
    let headers = [
        ("authorization", bearer.as_str()),
        ("x-request-id", "test-1"),
    ];
    let body = Some(json!({"connection_id": "cam"}).to_string());
    house
        .raw("POST", "/api/v1/relay/start", &headers, body)
        .await
}

#[tokio::test(flavor = "multi_thread")]
async fn starts_are_counted_for_each_user_and_the_seventh_waits() {
    let house = limited().await;
    let (_, _node) = node::joined(&house, "one", 10).await;
    let (user, other) = (house.user("someone").await, house.user("other").await);
    for left in (0..6).rev() {
        let started = start(&house, &user).await;
        assert!(started.status().is_success(), "{started:?}");
        assert_eq!(field(&started, "ratelimit-policy"), r#""start";q=6;w=60"#);
        let reset = (6 - left) * 10;
        let expected = format!(r#""start";r={left};t={reset}"#);
        assert_eq!(field(&started, "ratelimit"), expected);
    }
    let refused = start(&house, &user).await;
    assert_eq!(field(&refused, "retry-after"), "10");
    assert_eq!(field(&refused, "ratelimit"), r#""start";r=0;t=60"#);
    let answer = Answer {
        status: refused.status().as_u16(),
        body: serde_json::from_str(refused.body()).unwrap(),
    };
    insta::assert_json_snapshot!("rate_limited", masked(&answer));

    // Other classes and other users have their own.
    assert_eq!(house.get(&user, SESSIONS).await.status, 200);
    assert_eq!(start(&house, &other).await.status(), 201);
    house.advance(Duration::from_secs(10));
    assert_eq!(start(&house, &user).await.status(), 200);
    assert_eq!(start(&house, &user).await.status(), 429);
}

/// Whatever the route, it says which class it is counted in: one that was forgotten here
/// could be asked without end.
#[tokio::test(flavor = "multi_thread")]
async fn every_route_counts_its_requests() {
    let house = limited().await;
    let (_, _node) = node::joined(&house, "one", 10).await;
    let asks = tenant(&house, "someone").await;
    let access = table().map(|(_, _, access)| access);
    for ((method, template, class), access) in classes().zip(access) {
        // Not even JSON: nothing changes, so that the next route can be asked.
        let body = (method != "GET").then(|| "nothing".to_owned());
        let asked = (method.as_str(), template, access);
        let answer = anything(&house, &asks, asked, body).await;
        let policy = field(&answer, "ratelimit-policy");
        if class == Class::Unlimited {
            let is_ours = template == "/healthz" || access == Access::Service;
            assert!(is_ours, "{method} {template} is not limited");
            assert_eq!(policy, "", "{method} {template}");
            continue;
        }
        let expected = if matches!(access, Access::Ops(_)) {
            assert_eq!(class, Class::Ops, "{method} {template}");
            Class::Ops
        } else {
            class
        };
        let expected = format!("\"{}\";", expected.as_str());
        assert!(
            policy.starts_with(&expected),
            "{method} {template}: {policy} {answer:?}"
        );
    }
}

/// Asks a route with the right credential for nothing that there is.
async fn anything(
    house: &House,
    asks: &Tenant,
    (method, template, access): (&str, &str, Access),
    body: Option<String>,
) -> Raw {
    let parts = template.split('/').map(|part| match part {
        "{number}" => "499",
        part if part.starts_with('{') => "nothing",
        part => part,
    });
    let path = parts.collect::<Vec<_>>().join("/");
    let origin = format!("http://{}", house.http);
    let (name, credential) = match access {
        Access::Ops(_) => ("authorization", format!("Bearer {ADMIN}")),
        Access::User | Access::Viewer | Access::Account => {
            ("authorization", format!("Bearer {}", asks.token))
        }
        Access::Dock => ("cookie", asks.dock.clone()),
        Access::Browser => ("cookie", asks.account.clone()),
        Access::Service => ("x-plugin-login-auth", SERVICE.to_owned()),
        _ => ("x-nothing", String::new()),
    };
    let headers = [(name, credential.as_str()), ("origin", origin.as_str())];
    let is_end = template.ends_with("/logout")
        || template.ends_with("/sign-out")
        || (template == "/api/v1/dock/session" && method == "DELETE");
    if is_end {
        // These would end the sign-in that the others need.
        let whose = template.rsplit('/').next().unwrap();
        let fresh = tenant(house, whose).await;
        let credential = match access {
            Access::Dock => fresh.dock,
            Access::Browser => fresh.account,
            _ => format!("Bearer {}", fresh.token),
        };
        let headers = [(name, credential.as_str()), ("origin", origin.as_str())];
        return house.raw(method, &path, &headers, body).await;
    }
    house.raw(method, &path, &headers, body).await
}

#[tokio::test(flavor = "multi_thread")]
async fn every_route_that_takes_a_body_refuses_one_beyond_the_limit() {
    const LIMIT: usize = 1000;
    let house = House::with(|config| config.http.body_bytes_max = LIMIT).await;
    let (_, _node) = node::joined(&house, "one", 10).await;
    let asks = tenant(&house, "someone").await;
    let paths = serde_json::to_value(document()).unwrap()["paths"].clone();
    let mut tried = 0;
    for (method, template, access) in table() {
        let described = &paths[template][method.as_str().to_lowercase()];
        if described["requestBody"].is_null() {
            continue;
        }
        let body = format!("\"{}\"", "a".repeat(LIMIT));
        let asked = (method.as_str(), template, access);
        let answer = anything(&house, &asks, asked, Some(body)).await;
        assert_eq!(answer.status(), 413, "{method} {template}: {answer:?}");
        tried += 1;
    }
    assert!(tried > 25, "only {tried} routes take a body");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_operator_is_counted_as_one_wherever_they_ask() {
    let house = limited().await;
    let bearer = format!("Bearer {ADMIN}");
    let headers = [("authorization", bearer.as_str())];
    for path in [SESSIONS, "/api/v1/ops/nodes"] {
        let answer = house.raw("GET", path, &headers, None).await;
        assert_eq!(
            field(&answer, "ratelimit-policy"),
            r#""ops";q=6000;w=60"#,
            "{path}"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_address_that_shows_wrong_tokens_is_looked_up_no_more() {
    let house = House::with(|config| {
        config.http.rate_limits = RateLimitsConfig {
            wrong_token: 3,
            ..RateLimitsConfig::default()
        };
    })
    .await;
    let user = house.user("someone").await;
    let ask = async |token: &str, from: &str| {
        let bearer = format!("Bearer {token}");
        let headers = [
            ("authorization", bearer.as_str()),
            ("x-forwarded-for", from),
        ];
        house.raw("GET", SESSIONS, &headers, None).await.status()
    };
    for _ in 0..3 {
        assert_eq!(ask("sh_user_guess", "198.51.100.1").await, 401);
    }
    assert_eq!(ask("sh_user_guess", "198.51.100.1").await, 429);
    // Not even a right one: else the answer would tell a good guess.
    assert_eq!(ask(&user, "198.51.100.1").await, 429);
    assert_eq!(ask(&user, "198.51.100.2").await, 200);
    house.advance(Duration::from_secs(20));
    assert_eq!(ask(&user, "198.51.100.1").await, 200);
}

/// What is left for whoever the api takes the caller for.
async fn left_for(house: &House, forwarded: &str) -> String {
    let headers = [("x-forwarded-for", forwarded)];
    let answer = house.raw("GET", KEYS, &headers, None).await;
    field(&answer, "ratelimit").to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn cloudflare_is_looked_through_when_it_is_trusted_and_not_otherwise() {
    let behind = |names: &'static [&'static str]| {
        House::with(|config| {
            let proxies = names
                .iter()
                .map(|name| Proxies::try_from((*name).to_owned()));
            config.http.trusted_proxies = proxies.collect::<Result<_, _>>().unwrap();
            config.http.rate_limits = RateLimitsConfig::default();
        })
    };
    let trusting = behind(&["127.0.0.0/8", "cloudflare"]).await;
    let (first, second) = (r#""page";r=599;t=1"#, r#""page";r=598;t=1"#);
    assert_eq!(left_for(&trusting, "198.51.100.1, 104.16.0.1").await, first);
    assert_eq!(left_for(&trusting, "198.51.100.2, 104.16.0.1").await, first);
    assert_eq!(
        left_for(&trusting, "192.0.2.1, 198.51.100.2, 104.16.0.1").await,
        second
    );
    // What is before Cloudflare's own hop anybody could have written, and so could
    // whoever comes by another way.
    let doubting = behind(&["127.0.0.0/8"]).await;
    assert_eq!(left_for(&doubting, "198.51.100.1, 104.16.0.1").await, first);
    assert_eq!(
        left_for(&doubting, "198.51.100.2, 104.16.0.1").await,
        second
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn limits_that_are_off_say_nothing() {
    let house = House::new().await;
    let answer = house.raw("GET", KEYS, &[], None).await;
    assert_eq!(answer.status(), 200);
    assert_eq!(field(&answer, "ratelimit"), "");
}
