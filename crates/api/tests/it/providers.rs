//! Signing in with an account elsewhere.

use std::time::Duration;

use http::StatusCode;
use serde_json::{Value, json};
use streamhaul_api::{ProviderConfig, Registration};
use testkit::identity_provider::{CLIENT_ID, IdentityProvider};

use crate::accounts::{PASSWORD, person, sign_in};
use crate::house::{ADMIN, House, Raw, cookie_of};

const CANCELLED: &str = "/account#problem=cancelled";
const EXPIRED: &str = "/account#problem=expired";
const FAILED: &str = "/account#problem=failed";
const TAKEN: &str = "/account#problem=taken";
const UNKNOWN: &str = "/account#problem=unknown";

fn twitcher(id: &str) -> Value {
    json!({"sub": id, "preferred_username": "streamer", "email": "streamer@example.com",
           "email_verified": true})
}

/// A house where people can sign in with Twitch.
async fn house(registration: Registration) -> (House, IdentityProvider) {
    let provider = IdentityProvider::start(twitcher("1")).unwrap();
    let config = ProviderConfig {
        client_id: CLIENT_ID.into(),
        client_secret_file: provider.secret_file(),
        authorize_url: Some(provider.url("authorize")),
        token_url: Some(provider.url("token")),
        identity_url: Some(provider.url("me")),
    };
    let house = House::with(|it| {
        it.accounts.registration = registration;
        it.accounts.providers.twitch = Some(config);
    });
    (house.await, provider)
}

/// A browser that is at the provider's page: what the page sends it back to, and the
/// cookie that it brings.
struct Visit {
    callback: String,
    cookie: String,
}

/// Begins a visit and says yes at the provider's page.
async fn visit(house: &House, path: &str, cookie: &str, body: Value) -> Visit {
    let begun = house.browse("POST", path, cookie, Some(body)).await;
    assert_eq!(begun.status(), 200, "{}", begun.body());
    let body: Value = serde_json::from_str(begun.body()).unwrap();
    let page = body["authorize_url"].as_str().unwrap().to_owned();
    let sent_back = tokio::task::spawn_blocking(move || crate::house::fetch(&page));
    let callback = location(&sent_back.await.unwrap());
    let base = format!("http://{}", house.http);
    Visit {
        callback: callback.strip_prefix(&base).unwrap().to_owned(),
        cookie: cookie_of(&begun),
    }
}

async fn come_back(house: &House, visit: &Visit) -> Raw {
    house
        .browse("GET", &visit.callback, &visit.cookie, None)
        .await
}

async fn signs_in(house: &House) -> Raw {
    let visit = visit(house, "/api/v1/auth/providers/twitch", "", json!({})).await;
    come_back(house, &visit).await
}

async fn links(house: &House, cookie: &str) -> Raw {
    let body = json!({"current_password": PASSWORD});
    let path = "/api/v1/account/providers/twitch";
    let visit = visit(house, path, cookie, body).await;
    come_back(house, &visit).await
}

fn location(raw: &Raw) -> String {
    raw.headers()["location"].to_str().unwrap().to_owned()
}

/// The cookie by which a browser is signed in.
fn account_cookie(raw: &Raw) -> String {
    assert_eq!(location(raw), "/account", "{raw:?}");
    let set = raw.headers().get_all("set-cookie").iter();
    let set = set.map(|set| set.to_str().unwrap());
    let account = set.filter(|set| set.starts_with("streamhaul_account="));
    let [account] = account.collect::<Vec<_>>()[..] else {
        panic!("{raw:?}");
    };
    assert!(account.contains("SameSite=Strict"), "{account}");
    account.split(';').next().unwrap().to_owned()
}

async fn me(house: &House, cookie: &str) -> Value {
    let raw = house.browse("GET", "/api/v1/account", cookie, None).await;
    assert_eq!(raw.status(), 200, "{}", raw.body());
    serde_json::from_str(raw.body()).unwrap()
}

async fn unlink(house: &House, cookie: &str) -> StatusCode {
    let path = "/api/v1/account/providers/twitch";
    house.browse("DELETE", path, cookie, None).await.status()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_linked_account_signs_its_user_in_until_it_is_unlinked() {
    let (house, _provider) = house(Registration::Invite).await;
    let ways = house.get("", "/api/v1/auth/providers").await;
    let expected = json!({"registration": "invite", "providers": ["twitch"]});
    assert_eq!((ways.status, ways.body), (200, expected));
    let cookie = person(&house, "someone@example.com").await;
    assert_eq!(location(&signs_in(&house).await), UNKNOWN);
    assert_eq!(
        location(&links(&house, &cookie).await),
        "/account#linked=twitch"
    );
    assert_eq!(
        me(&house, &cookie).await["linked_accounts"][0]["name"],
        "streamer"
    );
    let again = account_cookie(&signs_in(&house).await);
    assert_eq!(me(&house, &again).await["email"], "someone@example.com");
    assert_eq!(unlink(&house, &again).await, 204);
    assert_eq!(unlink(&house, &again).await, 404);
    assert_eq!(location(&signs_in(&house).await), UNKNOWN);
}

#[tokio::test(flavor = "multi_thread")]
async fn only_who_knows_the_password_links_an_account() {
    let (house, _provider) = house(Registration::Invite).await;
    let cookie = person(&house, "someone@example.com").await;
    let path = "/api/v1/account/providers/twitch";
    for body in [json!({}), json!({"current_password": "another password"})] {
        let refused = house.browse("POST", path, &cookie, Some(body)).await;
        assert_eq!(refused.status(), 403);
        assert!(!refused.headers().contains_key("set-cookie"));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_account_elsewhere_opens_one_account_here() {
    let (house, provider) = house(Registration::Invite).await;
    let first = person(&house, "first@example.com").await;
    let second = person(&house, "second@example.com").await;
    assert_eq!(
        location(&links(&house, &first).await),
        "/account#linked=twitch"
    );
    assert_eq!(location(&links(&house, &second).await), TAKEN);
    provider.is(twitcher("2"));
    assert_eq!(location(&links(&house, &first).await), TAKEN, "one each");
    assert_eq!(location(&signs_in(&house).await), UNKNOWN);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_invitation_is_accepted_without_a_password() {
    let (house, _provider) = house(Registration::Invite).await;
    let invite = json!({"email": "someone@example.com"});
    let invited = house.post(ADMIN, "/api/v1/ops/invites", invite).await;
    let url = invited.body["url"].as_str().unwrap().to_owned();
    let body = json!({"invitation": url.split_once("#invite=").unwrap().1});
    let path = "/api/v1/auth/providers/twitch";
    let visits = [
        visit(&house, path, "", body.clone()).await,
        visit(&house, path, "", body).await,
    ];
    let cookie = account_cookie(&come_back(&house, &visits[0]).await);
    let me = me(&house, &cookie).await;
    assert_eq!(
        (&me["display_name"], &me["email"], &me["has_password"]),
        (
            &json!("streamer"),
            &json!("someone@example.com"),
            &json!(false)
        )
    );
    assert_eq!(location(&come_back(&house, &visits[1]).await), EXPIRED);
    assert_eq!(unlink(&house, &cookie).await, 409, "nothing else is left");
    account_cookie(&signs_in(&house).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn where_anybody_may_come_a_proven_address_is_enough() {
    let (house, provider) = house(Registration::Open).await;
    let mut unproven = twitcher("1");
    unproven["email_verified"] = json!(false);
    provider.is(unproven);
    assert_eq!(location(&signs_in(&house).await), UNKNOWN);
    provider.is(twitcher("1"));
    let cookie = account_cookie(&signs_in(&house).await);
    assert_eq!(me(&house, &cookie).await["email"], "streamer@example.com");
}

/// Whoever has a proven address at a provider does not get into the account that it has
/// here: its owner links the two from inside.
#[tokio::test(flavor = "multi_thread")]
async fn an_address_alone_opens_nobodys_account() {
    let (house, _provider) = house(Registration::Open).await;
    person(&house, "streamer@example.com").await;
    let refused = signs_in(&house).await;
    assert_eq!(location(&refused), "/account#problem=email_taken");
    let signed_in = sign_in(&house, "streamer@example.com", PASSWORD).await;
    let me = me(&house, &cookie_of(&signed_in)).await;
    assert_eq!(me["linked_accounts"], json!([]));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_callback_counts_once_in_time_and_where_it_began() {
    let (house, _provider) = house(Registration::Open).await;
    let path = "/api/v1/auth/providers/twitch";
    let began = async || visit(&house, path, "", json!({})).await;
    let (mine, theirs) = (began().await, began().await);
    let crossed = Visit {
        callback: theirs.callback.clone(),
        cookie: mine.cookie.clone(),
    };
    assert_eq!(location(&come_back(&house, &crossed).await), EXPIRED);
    let bare = Visit {
        callback: theirs.callback.clone(),
        cookie: String::new(),
    };
    assert_eq!(location(&come_back(&house, &bare).await), EXPIRED);
    let elsewhere = Visit {
        callback: mine.callback.replace("/twitch/", "/discord/"),
        cookie: mine.cookie.clone(),
    };
    assert_eq!(location(&come_back(&house, &elsewhere).await), EXPIRED);
    account_cookie(&come_back(&house, &mine).await);
    assert_eq!(location(&come_back(&house, &mine).await), EXPIRED);
    house.advance(Duration::from_secs(601));
    assert_eq!(location(&come_back(&house, &theirs).await), EXPIRED);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_provider_says_instead_is_told() {
    let (house, provider) = house(Registration::Open).await;
    let path = "/api/v1/auth/providers/twitch";
    let mut visit = visit(&house, path, "", json!({})).await;
    let (page, query) = visit.callback.split_once('?').unwrap();
    let state = query.split_once("state=").unwrap().1;
    visit.callback = format!("{page}?error=access_denied&state={state}");
    assert_eq!(location(&come_back(&house, &visit).await), CANCELLED);
    provider.is(json!({"sub": 5}));
    assert_eq!(location(&signs_in(&house).await), FAILED);
    let huge = "x".repeat(1 << 20);
    for (status, body) in [
        (StatusCode::BAD_REQUEST, r#"{"error":"invalid_grant"}"#),
        (StatusCode::OK, "not JSON"),
        (StatusCode::OK, r#"{"access_token":"a","token_type":"mac"}"#),
        (StatusCode::OK, huge.as_str()),
        (StatusCode::FOUND, ""),
    ] {
        provider.refuses(status, body);
        assert_eq!(location(&signs_in(&house).await), FAILED, "{status}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_user_who_is_shut_out_does_not_come_in_this_way() {
    let (house, _provider) = house(Registration::Open).await;
    let cookie = account_cookie(&signs_in(&house).await);
    let id = me(&house, &cookie).await["user_id"].clone();
    let path = format!("/api/v1/ops/users/{}/disable", id.as_str().unwrap());
    let disabled = house.post(ADMIN, &path, json!({"disabled": true})).await;
    assert_eq!(disabled.status, 200, "{disabled:?}");
    let refused = location(&signs_in(&house).await);
    assert!(refused.contains("problem="), "{refused}");
}

#[tokio::test(flavor = "multi_thread")]
async fn providers_that_are_not_set_up_are_not_there() {
    let house = House::new().await;
    let ways = house.get("", "/api/v1/auth/providers").await;
    assert_eq!(ways.body["providers"], json!([]));
    for provider in ["twitch", "myspace"] {
        let path = format!("/api/v1/auth/providers/{provider}");
        let refused = house.browse("POST", &path, "", Some(json!({}))).await;
        assert_eq!(refused.status(), 404, "{provider}");
    }
}
