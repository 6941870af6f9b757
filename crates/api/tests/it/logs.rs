//! What is logged, and what never is.

use std::io::{self, Write};
use std::sync::{Arc, Mutex};

use serde_json::{Value, json};
use tracing::Level;
use tracing_subscriber::filter::LevelFilter;
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::{Layer as _, fmt};

use crate::accounts::{self, PASSWORD};
use crate::contract_auth::{pair, plugin, refresh, started};
use crate::house::{ADMIN, House, SERVICE};
use crate::node;

/// Where a stranger comes from.
const STRANGER: &str = "203.0.113.99";
/// Hexadecimal digits of our tokens.
const TOKEN_DIGITS: usize = 64;

/// What was logged.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl Write for Log {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Log {
    fn text(&self) -> String {
        String::from_utf8(self.0.lock().unwrap().clone()).unwrap()
    }

    fn layer<S>(&self, level: Level) -> impl tracing_subscriber::Layer<S> + use<S>
    where
        S: tracing::Subscriber + for<'a> tracing_subscriber::registry::LookupSpan<'a>,
    {
        let writer = self.clone();
        let layer = fmt::layer().with_ansi(false);
        layer
            .with_writer(move || writer.clone())
            .with_filter(LevelFilter::from_level(level))
    }
}

/// Whatever looks like a token of ours, whosever it is.
fn tokens(text: &str) -> Vec<&str> {
    let candidates = text.match_indices("sh_").map(|(at, _)| &text[at..]);
    let is_token = |candidate: &&str| {
        let kind = candidate[3..].find('_').map(|at| at + 4);
        let digits = kind.and_then(|at| candidate.as_bytes().get(at..at + TOKEN_DIGITS));
        digits.is_some_and(|digits| digits.iter().all(u8::is_ascii_hexdigit))
    };
    candidates.filter(is_token).collect()
}

/// Everything that gives or takes a secret; the secrets that do not look like tokens.
async fn exchange_secrets(house: &House) -> Vec<String> {
    let (email, from) = ("someone@example.com", [("x-forwarded-for", STRANGER)]);
    let (enrolled, mut node) = node::joined(house, "one", 10).await;
    let cookie = accounts::person(house, email).await;
    accounts::sign_in(house, email, PASSWORD).await;
    accounts::sign_in(house, email, "a wrong password").await;
    let (access, token) = plugin(house, &cookie).await;
    let (_, next) = pair(&refresh(house, &token).await.body);
    refresh(house, &token).await;
    refresh(house, &next).await;
    started(house).await;
    house.get(&access, "/api/v1/streams").await;
    let forged = format!("Bearer {}", access.replace('0', "1"));
    let shown = [("authorization", forged.as_str()), from[0]];
    house.call("GET", "/api/v1/streams", &shown, None).await;
    house.call("GET", "/nothing", &from, None).await;
    accounts::page(house, "forgot", json!({"email": email})).await;
    let reset = accounts::letter(house, email, 2).await;
    let body = json!({"token": reset, "password": "another long password"});
    accounts::page(house, "reset", body).await;

    let user = house.user("scripts").await;
    let begun = house.start(&user, "cam1").await;
    assert_eq!(begun.status, 201, "{begun:?}");
    let credentials = begun.body["session"]["credentials"].as_object().unwrap();
    let mut secrets: Vec<String> = credentials.values().filter_map(text).collect();
    // What is not set is empty.
    secrets.retain(|secret| !secret.is_empty());
    assert!(secrets.len() >= 2, "{credentials:?}");
    let assigned = node.assigned().await;
    let leases = [assigned.publish, assigned.play].into_iter().flatten();
    secrets.extend(leases.map(|keyed| keyed.lease));
    let stop = json!({"session_id": begun.body["session"]["session_id"]});
    house.post(&user, "/api/v1/relay/stop", stop).await;
    let webhook = json!({"url": "https://hooks.example/in"});
    let webhook = house.post(&user, "/api/v1/webhooks", webhook).await;
    assert_eq!(webhook.status, 201, "{webhook:?}");
    secrets.push(text(&webhook.body["secret"]).unwrap());
    house
        .post(ADMIN, "/api/v1/ops/keys/rotate", json!({}))
        .await;
    let known = [
        PASSWORD,
        "another long password",
        "a wrong password",
        ADMIN,
        SERVICE,
    ];
    secrets.extend(known.map(str::to_owned));
    secrets.push(enrolled.credential);
    secrets
}

fn text(value: &Value) -> Option<String> {
    value.as_str().map(str::to_owned)
}

/// On one thread, so that this test's log has all of this test and nothing else.
#[tokio::test(flavor = "current_thread")]
async fn no_secret_is_logged_at_any_level_and_no_strangers_address_at_info() {
    let (everything, info) = (Log::default(), Log::default());
    let subscriber = tracing_subscriber::registry()
        .with(everything.layer(Level::TRACE))
        .with(info.layer(Level::INFO));
    // While there is one dispatcher only, a callsite that another test comes to first asks
    // that test's thread, which wants nothing, and is silent from then on.
    let _another = tracing::Dispatch::new(tracing_subscriber::registry());
    let logging = tracing::subscriber::set_default(subscriber);
    let house = House::new().await;
    let secrets = exchange_secrets(&house).await;
    house.stop().await;
    drop(logging);

    let (everything, info) = (everything.text(), info.text());
    for said in ["A plugin signed in", "A password was reset", "TRACE"] {
        assert!(everything.contains(said), "{said} is not logged");
    }
    assert_eq!(tokens(&everything), Vec::<&str>::new());
    for secret in secrets {
        let line = everything.lines().find(|line| line.contains(&secret));
        assert_eq!(line, None, "{secret} is logged");
    }
    assert!(info.contains("A plugin signed in"));
    assert!(!info.contains(STRANGER), "an address is logged");
}

#[test]
fn a_token_in_a_log_is_seen() {
    let token = format!("sh_user_{}", "0".repeat(TOKEN_DIGITS));
    assert_eq!(tokens(&format!("INFO a=sh_ b={token}")).len(), 1);
    assert_eq!(tokens("sh_user_0123 sh_ sh_1").len(), 0);
}
