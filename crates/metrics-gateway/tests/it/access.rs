//! Who may watch.

use crate::fake_api::{OTHER_TENANT, USER};
use crate::viewer::Viewer;
use crate::world::World;

const PATH: &str = "/v1/sessions/ses_mine1/live";

fn bearer(token: &str) -> String {
    format!("Authorization: Bearer {token}\r\n")
}

#[track_caller]
fn assert_error(answer: &str, status: u16, code: &str) {
    assert!(
        answer.starts_with(&format!("HTTP/1.1 {status} ")),
        "{answer}"
    );
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    let body: serde_json::Value = serde_json::from_str(body).unwrap();
    assert_eq!(body["error"]["code"], code, "{answer}");
    assert!(body["error"]["message"].is_string(), "{answer}");
    let id = body["error"]["request_id"].as_str().unwrap();
    assert!(head.contains(&format!("x-request-id: {id}")), "{answer}");
}

#[tokio::test(flavor = "multi_thread")]
async fn strangers_and_other_tenants_see_nothing() {
    let world = World::new().await;
    assert_error(&world.get(PATH, ""), 401, "unauthorized");
    assert_error(
        &world.get(PATH, "Authorization: Basic eDp5\r\n"),
        401,
        "unauthorized",
    );
    assert_error(&world.get(PATH, &bearer(OTHER_TENANT)), 403, "forbidden");
    assert_error(
        &world.get(PATH, &bearer("sh_user_unknown")),
        403,
        "forbidden",
    );
    assert_error(
        &world.get(PATH, &bearer(&"x".repeat(5000))),
        403,
        "forbidden",
    );
    let theirs = "/v1/sessions/ses_theirs/live";
    assert_error(&world.get(theirs, &bearer(USER)), 403, "forbidden");
    world
        .shows(r#"streamhaul_gateway_viewers_refused_total{reason="forbidden"} 4"#)
        .await;
    world.shows("streamhaul_gateway_viewers 0").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_does_not_exist_says_so_in_json() {
    let world = World::new().await;
    assert_error(&world.get("/nothing", ""), 404, "not_found");
    let odd = world.get("/v1/sessions/not-an-id/live", &bearer(USER));
    assert_error(&odd, 404, "not_found");
    assert!(world.get("/healthz", "").starts_with("HTTP/1.1 200"));
}

#[tokio::test(flavor = "multi_thread")]
async fn answers_are_remembered() {
    let world = World::new().await;
    for _ in 0..3 {
        let mut viewer = Viewer::open(world.http, "ses_mine1", &bearer(USER)).await;
        viewer.next().await.unwrap();
        assert_error(&world.get(PATH, &bearer(OTHER_TENANT)), 403, "forbidden");
    }
    let asked = world.api.asked.counts();
    assert_eq!(asked.viewers, 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn who_was_let_in_stays_in_while_the_api_is_away() {
    let world = World::new().await;
    Viewer::open(world.http, "ses_mine1", &bearer(USER)).await;
    world.api.asked.go_away();
    Viewer::open(world.http, "ses_mine1", &bearer(USER)).await;
    let unseen = world.get("/v1/sessions/ses_mine2/live", &bearer(USER));
    assert_error(&unseen, 503, "unavailable");
}
