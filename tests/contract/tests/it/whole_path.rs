//! The plugin from signing in to signing out, with a stream on a real node.

use std::time::Duration;

use e2e::house::House;
use e2e::http::Client;
use e2e::wait;
use serde_json::json;
use streamhaul_contract::{Heartbeat, Login, Plugin, Timers, Verdict};

use crate::publisher::Publisher;

const CONNECTION: &str = "conn_1763700000000_1";
const LIMIT: Duration = Duration::from_secs(30);
/// The plugin's timers, this many times as fast.
const FACTOR: u32 = 30;

/// Lets a plugin in, as the web tier does that the contract names.
fn let_in(house: &House, base: &str, login: &Login) -> String {
    let made = house
        .api()
        .post("/api/v1/ops/users", &json!({"name": "someone"}));
    let made = made.unwrap().success().unwrap();
    let user = made["user_id"].as_str().unwrap().to_owned();
    let key = std::fs::read_to_string(house.file("secret-service_token")).unwrap();
    let body = json!({
        "login_attempt_id": login.id, "outcome": "completed", "user_id": user, "reason_code": "",
    });
    let url = format!("{base}/api/v1/auth/plugin/login/complete");
    let answer = ureq::post(&url)
        .header("X-Plugin-Login-Auth", key.trim())
        .send_json(&body);
    assert_eq!(answer.unwrap().status(), 204);
    user
}

#[test]
fn the_plugin_runs_from_login_to_stop_against_the_real_services() {
    let house = House::start().unwrap();
    let [(_, base), _] = house.administrator();
    let mut plugin = Plugin::new(&base, Timers::faster(FACTOR));

    let (login, _) = plugin.login().unwrap();
    assert_eq!(plugin.poll(&login).unwrap().status, 202);
    let user = let_in(&house, &base, &login);
    let signed_in = plugin.wait_signed_in(&login).unwrap();
    assert_eq!(signed_in.body["user"]["id"], user.as_str());

    let (session, started) = plugin.start(CONNECTION).unwrap();
    assert_eq!(started.status, 201);
    // A restart of OBS: another key, the same session.
    let (again, repeated) = plugin.start(CONNECTION).unwrap();
    assert_eq!((repeated.status, &again.id), (200, &session.id));
    plugin.wait_active(&session, CONNECTION).unwrap();

    let publisher = Publisher::start(house.relay(), &session.stream_token);
    let is_publishing = |plugin: &Plugin| {
        let looked = plugin.active(&session, CONNECTION).ok().flatten()?;
        (looked.body["session"]["publishing"] == true).then_some(())
    };
    wait::until("the node reports the publisher", LIMIT, || {
        is_publishing(&plugin)
    })
    .unwrap();
    let mut heartbeat = Heartbeat::new(Timers::faster(FACTOR));
    let (verdict, _) = plugin.health(&session).unwrap();
    assert!(heartbeat.after(verdict).is_some());

    refresh_in_the_middle(&mut plugin, &base);
    assert!(is_publishing(&plugin).is_some() && !publisher.is_cut());
    for path in ["/relay/manifest", "/usage/current", "/user/stream-slots"] {
        assert_eq!(plugin.get(path).unwrap().status, 200, "{path}");
    }

    let stopped = plugin.stop(&session).unwrap();
    assert_eq!(plugin.stop(&session).unwrap().body, stopped.body);
    wait::until("the publisher is cut", LIMIT, || {
        publisher.is_cut().then_some(())
    })
    .unwrap();
    let (verdict, _) = plugin.health(&session).unwrap();
    assert_eq!(verdict, Verdict::Expired);
    assert_eq!(heartbeat.after(verdict), None);
    assert_eq!(plugin.active(&session, CONNECTION).unwrap(), None);

    assert_eq!(plugin.logout().unwrap().status, 204);
    assert_eq!(plugin.get("/auth/session").unwrap().status, 401);
}

/// The older access token stays good for requests under way, the older refresh token
/// does not.
fn refresh_in_the_middle(plugin: &mut Plugin, base: &str) {
    let (access, refresh) = plugin.tokens();
    let (access, refresh) = (access.to_owned(), refresh.to_owned());
    plugin.refresh().unwrap();
    assert!(plugin.tokens().0 != access && plugin.tokens().1 != refresh);
    let older = Client::at(base, Some(&access));
    assert_eq!(older.fetch("/api/v1/auth/session").unwrap().status, 200);
}
