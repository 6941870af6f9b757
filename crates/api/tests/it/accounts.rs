//! People: invitations, passwords, sign-ins.

use std::time::Duration;

use serde_json::{Value, json};
use streamhaul_api::Registration;

use crate::house::{ADMIN, House, Raw, cookie_of, eventually};
use crate::node;

pub(crate) const PASSWORD: &str = "correct horse battery";
const ACCOUNT: &str = "/api/v1/account";
const SESSIONS: &str = "/api/v1/account/sessions";

/// What a page posts without being signed in.
pub(crate) async fn page(house: &House, what: &str, body: Value) -> Raw {
    let path = format!("/api/v1/auth/{what}");
    house.browse("POST", &path, "", Some(body)).await
}

pub(crate) async fn sign_in(house: &House, email: &str, password: &str) -> Raw {
    page(
        house,
        "sign-in",
        json!({"email": email, "password": password}),
    )
    .await
}

/// A person with an account: their cookie.
pub(crate) async fn person(house: &House, email: &str) -> String {
    let invited = house
        .post(ADMIN, "/api/v1/ops/invites", json!({"email": email}))
        .await;
    assert_eq!(invited.status, 201, "{invited:?}");
    let token = secret(invited.body["url"].as_str().unwrap());
    let body = json!({"token": token, "display_name": "Someone", "password": PASSWORD});
    let accepted = page(house, "accept", body).await;
    assert_eq!(accepted.status(), 204, "{}", accepted.body());
    cookie_of(&accepted)
}

/// The secret in a link.
fn secret(url: &str) -> String {
    let (page, fragment) = url.split_once('#').unwrap();
    assert!(page.ends_with("/account"), "{url}");
    fragment.split_once('=').unwrap().1.to_owned()
}

/// The secret in the newest letter to an address, once there are `count`.
pub(crate) async fn letter(house: &House, email: &str, count: usize) -> String {
    eventually("there", async || house.letters(email).len() == count).await;
    let letters = house.letters(email);
    let url = letters[count - 1]
        .lines()
        .find(|line| line.contains("/account#"));
    secret(url.unwrap())
}

async fn account(house: &House, cookie: &str) -> Raw {
    house.browse("GET", ACCOUNT, cookie, None).await
}

fn json_of(raw: &Raw) -> Value {
    serde_json::from_str(raw.body()).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn an_invited_person_comes_in_by_the_letter() {
    let house = House::new().await;
    let email = "someone@example.com";
    let invite = json!({"email": " Someone@Example.com"});
    let invited = house.post(ADMIN, "/api/v1/ops/invites", invite).await;
    assert_eq!(
        (invited.status, &invited.body["mailed"]),
        (201, &json!(true))
    );
    let token = letter(&house, email, 1).await;
    assert_eq!(secret(invited.body["url"].as_str().unwrap()), token);
    let listed = house.get(ADMIN, "/api/v1/ops/invites").await;
    assert_eq!(listed.body["invites"][0]["email"], email);
    assert!(!listed.body.to_string().contains(&token));

    let shown = page(&house, "invitation", json!({"token": token})).await;
    assert_eq!(shown.body(), r#"{"email":"someone@example.com"}"#);
    let accept =
        |password: &str| json!({"token": token, "display_name": "Some One", "password": password});
    assert_eq!(page(&house, "accept", accept("short")).await.status(), 400);
    let accepted = page(&house, "accept", accept(PASSWORD)).await;
    assert_eq!(accepted.status(), 204, "{}", accepted.body());
    let me = json_of(&account(&house, &cookie_of(&accepted)).await);
    assert_eq!(
        (&me["display_name"], &me["email"]),
        (&json!("Some One"), &json!(email))
    );

    // The link is used up, and the address taken.
    assert_eq!(page(&house, "accept", accept(PASSWORD)).await.status(), 404);
    assert_eq!(
        page(&house, "invitation", json!({"token": token}))
            .await
            .status(),
        404
    );
    let again = house
        .post(ADMIN, "/api/v1/ops/invites", json!({"email": email}))
        .await;
    assert_eq!(again.status, 409);
    assert_eq!(
        sign_in(&house, "SOMEONE@example.com", PASSWORD)
            .await
            .status(),
        204
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn an_invitation_ends_after_a_week_or_with_the_next() {
    let house = House::new().await;
    let invite = async || {
        let body = json!({"email": "someone@example.com"});
        let invited = house.post(ADMIN, "/api/v1/ops/invites", body).await;
        json!({"token": secret(invited.body["url"].as_str().unwrap())})
    };
    let status = async |link: &Value| page(&house, "invitation", link.clone()).await.status();
    let first = invite().await;
    let second = invite().await;
    assert_eq!((status(&first).await, status(&second).await).0, 404);
    assert_eq!(status(&second).await, 200);
    house.advance(Duration::from_secs(7 * 24 * 3600 + 1));
    assert_eq!(status(&second).await, 404);
}

#[tokio::test(flavor = "multi_thread")]
async fn user_enumeration_finds_nothing() {
    let house = House::new().await;
    person(&house, "someone@example.com").await;
    person(&house, "gone@example.com").await;
    let users = house.get(ADMIN, "/api/v1/ops/users").await.body;
    let users = users["users"].as_array().unwrap();
    let gone = users
        .iter()
        .find(|user| user["email"] == "gone@example.com");
    let path = format!(
        "/api/v1/ops/users/{}/disable",
        gone.unwrap()["user_id"].as_str().unwrap()
    );
    assert_eq!(
        house
            .post(ADMIN, &path, json!({"disabled": true}))
            .await
            .status,
        200
    );

    let mut answers = Vec::new();
    for (email, password) in [
        ("someone@example.com", "a wrong password"),
        ("nobody@example.com", PASSWORD),
        ("gone@example.com", PASSWORD),
    ] {
        answers.push(told(&sign_in(&house, email, password).await));
    }
    assert_eq!(answers[0].0, 401);
    assert!(
        answers.iter().all(|answer| *answer == answers[0]),
        "{answers:?}"
    );

    let mut answers = Vec::new();
    for email in [
        "someone@example.com",
        "nobody@example.com",
        "gone@example.com",
    ] {
        answers.push(told(&page(&house, "forgot", json!({"email": email})).await));
    }
    assert_eq!(answers[0].0, 202);
    assert!(
        answers.iter().all(|answer| *answer == answers[0]),
        "{answers:?}"
    );
    letter(&house, "someone@example.com", 2).await;
    assert!(house.letters("nobody@example.com").is_empty());
    assert_eq!(
        house.letters("gone@example.com").len(),
        1,
        "the invitation only"
    );
}

/// All that an answer tells, but its request's id.
fn told(raw: &Raw) -> (u16, Vec<String>, Value) {
    let names = raw.headers().keys().map(ToString::to_string).collect();
    let mut body: Value = serde_json::from_str(raw.body()).unwrap_or_default();
    if let Some(error) = body["error"].as_object_mut() {
        error.remove("request_id");
    }
    (raw.status().as_u16(), names, body)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_forgotten_password_is_reset_once_and_ends_every_sign_in() {
    let house = House::new().await;
    let email = "someone@example.com";
    let cookie = person(&house, email).await;
    let forgot = json!({"email": email});
    assert_eq!(page(&house, "forgot", forgot.clone()).await.status(), 202);
    let token = letter(&house, email, 2).await;
    // Strangers cause no more letters than one a minute.
    assert_eq!(page(&house, "forgot", forgot.clone()).await.status(), 202);

    let reset = json!({"token": token, "password": "another long password"});
    assert_eq!(page(&house, "reset", reset.clone()).await.status(), 204);
    assert_eq!(page(&house, "reset", reset).await.status(), 404);
    assert_eq!(account(&house, &cookie).await.status(), 401);
    assert_eq!(sign_in(&house, email, PASSWORD).await.status(), 401);
    assert_eq!(
        sign_in(&house, email, "another long password")
            .await
            .status(),
        204
    );
    assert_eq!(house.letters(email).len(), 2);

    house.advance(Duration::from_secs(61));
    page(&house, "forgot", forgot).await;
    let late = letter(&house, email, 3).await;
    house.advance(Duration::from_secs(3601));
    let reset = json!({"token": late, "password": "a third long password"});
    assert_eq!(page(&house, "reset", reset).await.status(), 404);
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_has_an_address_may_come_where_registration_is_open() {
    let closed = House::new().await;
    let body = json!({"email": "new@example.com"});
    let refused = page(&closed, "register", body.clone()).await;
    assert_eq!(refused.status(), 403);
    assert_eq!(
        json_of(&refused)["error"]["reason_code"],
        "invitation_needed"
    );

    let open = House::with(|config| config.accounts.registration = Registration::Open).await;
    let answer = told(&page(&open, "register", body).await);
    assert_eq!(answer.0, 202);
    let token = letter(&open, "new@example.com", 1).await;
    let accept = json!({"token": token, "display_name": "New", "password": PASSWORD});
    assert_eq!(page(&open, "accept", accept).await.status(), 204);

    // An address that has an account is told so by its letter only.
    let again = page(&open, "register", json!({"email": "new@example.com"})).await;
    assert_eq!(told(&again), answer);
    let reset = letter(&open, "new@example.com", 2).await;
    assert!(reset.starts_with("sh_reset_"), "{reset}");
}

#[tokio::test(flavor = "multi_thread")]
async fn sign_ins_are_listed_and_ended_by_their_user() {
    let house = House::new().await;
    let email = "someone@example.com";
    let first = person(&house, email).await;
    house.advance(Duration::from_secs(1));
    let second = cookie_of(&sign_in(&house, email, PASSWORD).await);
    let other = person(&house, "other@example.com").await;
    let list = async |cookie: &str| {
        let listed = house.browse("GET", SESSIONS, cookie, None).await;
        json_of(&listed)["sessions"].as_array().unwrap().clone()
    };
    let listed = list(&second).await;
    assert_eq!(listed.len(), 2);
    assert_eq!(
        (&listed[0]["current"], &listed[1]["current"]),
        (&json!(true), &json!(false))
    );
    let text = json!(listed).to_string();
    assert!(!text.contains(second.split_once('=').unwrap().1), "{text}");

    let path = format!("{SESSIONS}/{}", listed[1]["id"].as_str().unwrap());
    assert_eq!(
        house.browse("DELETE", &path, &other, None).await.status(),
        404
    );
    assert_eq!(account(&house, &first).await.status(), 200);
    assert_eq!(
        house.browse("DELETE", &path, &second, None).await.status(),
        204
    );
    assert_eq!(
        house.browse("DELETE", &path, &second, None).await.status(),
        404
    );
    assert_eq!(account(&house, &first).await.status(), 401);

    let left = house
        .browse("POST", "/api/v1/auth/sign-out", &second, None)
        .await;
    assert_eq!(left.status(), 204);
    assert!(cookie_of(&left).ends_with('='), "{:?}", left.headers());
    assert_eq!(account(&house, &second).await.status(), 401);

    let late = cookie_of(&sign_in(&house, email, PASSWORD).await);
    house.advance(Duration::from_secs(30 * 24 * 3600 + 1));
    assert_eq!(account(&house, &late).await.status(), 401);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_password_keeps_only_the_sign_in_that_set_it() {
    let house = House::new().await;
    let email = "someone@example.com";
    let (kept, other) = (
        person(&house, email).await,
        sign_in(&house, email, PASSWORD).await,
    );
    let other = cookie_of(&other);
    let change = async |current: &str, new: &str| {
        let body = json!({"current_password": current, "new_password": new});
        let path = "/api/v1/account/password";
        house.browse("POST", path, &kept, Some(body)).await.status()
    };
    assert_eq!(
        change("a wrong password", "another long password").await,
        403
    );
    assert_eq!(change(PASSWORD, email).await, 400);
    assert_eq!(change(PASSWORD, "another long password").await, 204);
    assert_eq!(account(&house, &kept).await.status(), 200);
    assert_eq!(account(&house, &other).await.status(), 401);
    assert_eq!(
        sign_in(&house, email, "another long password")
            .await
            .status(),
        204
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_address_counts_once_it_is_proven() {
    let house = House::new().await;
    let (old, new) = ("old@example.com", "new@example.com");
    let cookie = person(&house, old).await;
    let change = async |password: &str| {
        let body = json!({"email": new, "current_password": password});
        let path = "/api/v1/account/email";
        house
            .browse("POST", path, &cookie, Some(body))
            .await
            .status()
    };
    assert_eq!(change("a wrong password").await, 403);
    assert_eq!(change(PASSWORD).await, 202);
    let token = letter(&house, new, 1).await;
    assert_eq!(sign_in(&house, new, PASSWORD).await.status(), 401);
    page(&house, "forgot", json!({"email": old})).await;
    let to_the_old_one = letter(&house, old, 2).await;

    assert_eq!(
        page(&house, "verify", json!({"token": token}))
            .await
            .status(),
        204
    );
    assert_eq!(
        page(&house, "verify", json!({"token": token}))
            .await
            .status(),
        404
    );
    assert_eq!(sign_in(&house, new, PASSWORD).await.status(), 204);
    assert_eq!(sign_in(&house, old, PASSWORD).await.status(), 401);
    let reset = json!({"token": to_the_old_one, "password": "another long password"});
    assert_eq!(page(&house, "reset", reset).await.status(), 404);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_user_who_is_shut_out_has_nothing_left_that_opens() {
    let house = House::new().await;
    let (_, _node) = node::joined(&house, "one", 10).await;
    let body = json!({"name": "someone", "email": "someone@example.com"});
    let made = house.post(ADMIN, "/api/v1/ops/users", body).await.body;
    let (id, token) = (
        made["user_id"].as_str().unwrap(),
        made["token"].as_str().unwrap(),
    );
    let user = format!("/api/v1/ops/users/{id}");
    let link = house
        .post(ADMIN, &format!("{user}/password-reset"), json!({}))
        .await;
    let reset = secret(link.body["url"].as_str().unwrap());
    let reset = json!({"token": reset, "password": PASSWORD});
    assert_eq!(page(&house, "reset", reset).await.status(), 204);
    let cookie = cookie_of(&sign_in(&house, "someone@example.com", PASSWORD).await);
    assert_eq!(house.start(token, "cam1").await.status, 201);

    let disable = async |user: &str, disabled: bool| {
        let body = json!({"disabled": disabled});
        house.post(ADMIN, &format!("{user}/disable"), body).await
    };
    assert_eq!(disable(&user, true).await.body["disabled"], true);
    assert_eq!(house.get(token, "/api/v1/relay/active").await.status, 401);
    assert_eq!(account(&house, &cookie).await.status(), 401);
    assert_eq!(disable(&user, false).await.body["disabled"], false);
    assert_eq!(
        house.get(token, "/api/v1/relay/active").await.status,
        204,
        "it was stopped"
    );
    assert_eq!(account(&house, &cookie).await.status(), 401);
    assert_eq!(
        sign_in(&house, "someone@example.com", PASSWORD)
            .await
            .status(),
        204
    );

    let users = house.get(ADMIN, "/api/v1/ops/users").await.body;
    let first = users["users"].as_array().unwrap().last().unwrap();
    let admin = format!("/api/v1/ops/users/{}", first["user_id"].as_str().unwrap());
    assert_eq!(disable(&admin, true).await.status, 409);
    assert_eq!(disable("/api/v1/ops/users/usr_1", true).await.status, 404);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_operator_sees_and_ends_a_users_sign_ins() {
    let house = House::new().await;
    let cookie = person(&house, "someone@example.com").await;
    let id = json_of(&account(&house, &cookie).await)["user_id"].clone();
    let sessions = format!("/api/v1/ops/users/{}/sessions", id.as_str().unwrap());
    let listed = house.get(ADMIN, &sessions).await.body;
    let one = format!(
        "{sessions}/{}",
        listed["sessions"][0]["id"].as_str().unwrap()
    );
    let delete = async |path: &str| {
        let bearer = format!("Bearer {ADMIN}");
        let headers = [("authorization", bearer.as_str())];
        house.call("DELETE", path, &headers, None).await.status
    };
    assert_eq!(delete(&one).await, 204);
    assert_eq!(delete(&one).await, 404);
    assert_eq!(account(&house, &cookie).await.status(), 401);
    let again = cookie_of(&sign_in(&house, "someone@example.com", PASSWORD).await);
    assert_eq!(delete(&sessions).await, 204);
    assert_eq!(account(&house, &again).await.status(), 401);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_accounts_cookie_opens_nothing_else_and_for_no_other_page() {
    let house = House::new().await;
    let cookie = person(&house, "someone@example.com").await;
    for path in [
        "/api/v1/relay/active",
        "/api/v1/dock/connections",
        "/api/v1/ops/users",
    ] {
        assert_eq!(
            house.browse("GET", path, &cookie, None).await.status(),
            401,
            "{path}"
        );
    }
    let secret = cookie.split_once('=').unwrap().1;
    assert_eq!(
        house.get(secret, ACCOUNT).await.status,
        401,
        "as a bearer token"
    );

    for origin in [None, Some("http://127.0.0.1:1"), Some("null")] {
        let mut headers = vec![("cookie", cookie.as_str())];
        headers.extend(origin.map(|origin| ("origin", origin)));
        let out = house
            .call("POST", "/api/v1/auth/sign-out", &headers, None)
            .await;
        assert_eq!(out.status, 403, "{origin:?}");
        let body = json!({"email": "someone@example.com", "password": PASSWORD}).to_string();
        let enter = house
            .call("POST", "/api/v1/auth/sign-in", &headers, Some(body))
            .await;
        assert_eq!(enter.status, 403, "{origin:?}");
    }
    assert_eq!(account(&house, &cookie).await.status(), 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_users_tokens_are_given_listed_and_revoked_one_by_one_and_all() {
    let house = House::new().await;
    let body = json!({"name": "someone", "email": "someone@example.com"});
    let made = house.post(ADMIN, "/api/v1/ops/users", body).await.body;
    let first = made["token"].as_str().unwrap();
    let user = format!("/api/v1/ops/users/{}", made["user_id"].as_str().unwrap());
    let tokens = format!("{user}/tokens");
    let give = async |body: Value| house.post(ADMIN, &tokens, body).await;
    let opens = async |token: &Value| {
        let token = token.as_str().unwrap();
        house.get(token, "/api/v1/streams").await.status == 200
    };
    let second = give(json!({"name": "backup", "days": 30})).await;
    assert_eq!(second.status, 201, "{second:?}");
    let third = give(json!({"name": "alerts"})).await.body;
    assert_eq!(third["expires_at"], Value::Null);
    for wrong in [json!({"name": ""}), json!({"name": "a", "days": 0})] {
        assert_eq!(give(wrong).await.status, 400);
    }
    let listed = house.get(ADMIN, &tokens).await.body;
    assert_eq!(listed["tokens"].as_array().unwrap().len(), 3);
    assert!(!listed.to_string().contains("sh_user_"), "{listed}");

    let path = |made: &Value| format!("{tokens}/{}", made["token_id"].as_str().unwrap());
    assert!(opens(&third["token"]).await);
    assert_eq!(house.delete(ADMIN, &path(&third)).await.status, 204);
    assert_eq!(house.delete(ADMIN, &path(&third)).await.status, 404);
    assert!(!opens(&third["token"]).await);
    assert!(opens(&json!(first)).await && opens(&second.body["token"]).await);
    house.advance(Duration::from_secs(30 * 24 * 3600));
    assert!(!opens(&second.body["token"]).await);

    // Whoever signs a user out of everything means their scripts as well.
    let fourth = give(json!({"name": "other"})).await.body;
    assert_eq!(
        house
            .delete(ADMIN, &format!("{user}/sessions"))
            .await
            .status,
        204
    );
    assert!(!opens(&json!(first)).await && !opens(&fourth["token"]).await);
    assert_eq!(house.delete(ADMIN, &tokens).await.status, 204);
    let path = "/api/v1/ops/audit?limit=1";
    let audit = house.get(ADMIN, path).await.body;
    assert_eq!(audit["entries"][0]["action"], "user.sign_ins.end");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_password_that_was_forgotten_ends_tokens_and_a_first_one_does_not() {
    let house = House::new().await;
    let body = json!({"name": "someone", "email": "someone@example.com"});
    let made = house.post(ADMIN, "/api/v1/ops/users", body).await.body;
    let token = made["token"].as_str().unwrap();
    let path = format!(
        "/api/v1/ops/users/{}/password-reset",
        made["user_id"].as_str().unwrap()
    );
    let set = async || {
        let link = house.post(ADMIN, &path, json!({})).await;
        let reset = secret(link.body["url"].as_str().unwrap());
        let body = json!({"token": reset, "password": PASSWORD});
        assert_eq!(page(&house, "reset", body).await.status(), 204);
        house.get(token, "/api/v1/streams").await.status
    };
    assert_eq!(set().await, 200);
    assert_eq!(set().await, 401);
}
