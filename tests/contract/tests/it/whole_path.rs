//! The plugin from signing in to signing out, with a stream on a real node.

use std::collections::BTreeSet;
use std::time::Duration;

use e2e::house::{House, Options, READY_LIMIT, Service};
use e2e::wait;
use serde_json::json;
use streamhaul_contract::{
    Clock, Exchange, Login, Plugin, Request, Running, Seen, Session, Verdict, Wire,
};

use crate::meddler::Meddler;
use crate::publisher::Publisher;

const CONNECTION: &str = "conn_1763700000000_1";
const LIMIT: Duration = Duration::from_secs(30);
/// The plugin's clock, this many times as fast.
const FACTOR: u32 = 60;
/// Good for longer than the plugin keeps one, which is 12 s of ours, and not much.
const ACCESS_TOKEN_SECONDS: &str = "20";

/// Of a house that a plugin in a hurry may ask as often as it likes.
fn options() -> Options {
    let unlimited = Options::default().unlimited();
    ["ACTIVE", "HEALTH"]
        .into_iter()
        .fold(unlimited, |options, class| {
            let name = format!("HTTP__RATE_LIMITS__{class}");
            options.with(Service::Api, &name, "0")
        })
}

/// Lets a plugin in, as the web tier does that the contract names.
fn let_in(house: &House, login: &Login) -> String {
    let made = house
        .api()
        .post("/api/v1/ops/users", &json!({"name": "someone"}));
    let made = made.unwrap().success().unwrap();
    let user = made["user_id"].as_str().unwrap().to_owned();
    let key = std::fs::read_to_string(house.file("secret-service_token")).unwrap();
    let body = json!({
        "login_attempt_id": login.id, "outcome": "completed", "user_id": user, "reason_code": "",
    });
    let request = Request::post("/api/v1/auth/plugin/login/complete", body)
        .with("X-Plugin-Login-Auth", key.trim());
    let wire = Wire::new(&house.api_url(Service::Api));
    assert_eq!(wire.ask(request).unwrap().status, 204);
    user
}

fn signed_in(house: &House, base: &str) -> Plugin {
    let mut plugin = Plugin::new(base, Clock::faster(FACTOR));
    let login = plugin.login().unwrap();
    assert_eq!(plugin.poll(&login).unwrap().status, 202);
    let user = let_in(house, &login);
    let signed_in = plugin.wait_signed_in(&login).unwrap();
    assert_eq!(signed_in.body["user"]["id"], user.as_str());
    plugin
}

fn is_publishing(seen: &Seen) -> bool {
    seen.session["publishing"] == true
}

#[test]
fn the_plugin_runs_from_login_to_stop_across_a_restart_of_the_control_plane() {
    let name = "ACCOUNTS__ACCESS_TOKEN_SECONDS";
    let options = options().with(Service::Api, name, ACCESS_TOKEN_SECONDS);
    let mut house = House::start_with(options).unwrap();
    let base = house.api_url(Service::Api);
    let mut plugin = signed_in(&house, &base);
    let first_access = plugin.tokens().0.to_owned();

    let (session, asked) = plugin.start(CONNECTION).unwrap();
    assert_eq!(statuses(&asked), [201]);
    plugin.wait_active(&session, CONNECTION).unwrap();
    let publisher = Publisher::start(house.relay(), &session.stream_token);
    let mut running = Running::new(&plugin, &session, CONNECTION);
    running.until(&mut plugin, is_publishing).unwrap();

    house.kill(Service::Api).unwrap();
    let has_backed_off = |seen: &Seen| seen.failures() >= 3;
    running.until(&mut plugin, has_backed_off).unwrap();
    house.launch(Service::Api).unwrap();
    house.wait_ready(READY_LIMIT).unwrap();
    let is_back = |seen: &Seen| seen.failures() == 0;
    running.until(&mut plugin, is_back).unwrap();
    // A restart of OBS as well: another key, the same session.
    let (again, repeated) = plugin.start(CONNECTION).unwrap();
    assert_eq!((statuses(&repeated), &again.id), (vec![200], &session.id));
    assert_ne!(key_of(&repeated[0]), key_of(&asked[0]));
    assert_eq!(again.stream_token, session.stream_token);

    // Its token is good no longer, and it has another since before that.
    let wire = Wire::new(&base);
    let is_stale = |_: &Seen| {
        let older = Request::get("/api/v1/auth/session").by(&first_access);
        wire.ask(older).unwrap().status == 401
    };
    running.until(&mut plugin, is_stale).unwrap();
    assert!(running.seen().refreshes > 0);
    assert_eq!(plugin.get("/auth/session").unwrap().status, 200);
    assert!(is_publishing(running.seen()) && !publisher.is_cut());

    leave(&mut plugin, &session, &mut running, &publisher);
    assert_eq!(plugin.logout().unwrap().status, 204);
    assert_eq!(plugin.get("/auth/session").unwrap().status, 401);
}

#[test]
fn the_plugin_bears_what_stands_between() {
    let house = House::start_with(options()).unwrap();
    let meddler = Meddler::start(&house.api_url(Service::Api));
    let mut plugin = signed_in(&house, &meddler.url());

    // The first answer is lost, so the session that is found is the one that it made.
    let (session, asked) = plugin.start(CONNECTION).unwrap();
    assert_eq!(statuses(&asked), [502, 503, 200]);
    let keys: BTreeSet<_> = asked.iter().map(key_of).collect();
    assert_eq!(keys.len(), asked.len());
    plugin.wait_active(&session, CONNECTION).unwrap();
    let publisher = Publisher::start(house.relay(), &session.stream_token);
    let mut running = Running::new(&plugin, &session, CONNECTION);
    let has_borne_some = |seen: &Seen| {
        let had = |verdict| seen.reports.contains(&verdict);
        is_publishing(seen) && had(Verdict::Failed) && had(Verdict::Alive)
    };
    running.until(&mut plugin, has_borne_some).unwrap();
    leave(&mut plugin, &session, &mut running, &publisher);
}

/// Stops, and is told that it is over: by then nobody publishes, and nothing is active.
fn leave(plugin: &mut Plugin, session: &Session, running: &mut Running, publisher: &Publisher) {
    let stopped = plugin.stop(session).unwrap();
    assert_eq!(plugin.stop(session).unwrap().body, stopped.body);
    running.until(plugin, Seen::is_over).unwrap();
    let reports = running.seen().reports.len();
    running
        .until(plugin, |seen| seen.session.is_null())
        .unwrap();
    wait::until("the publisher is cut", LIMIT, || {
        publisher.is_cut().then_some(())
    })
    .unwrap();
    assert_eq!(running.seen().reports.len(), reports, "it reports no more");
}

fn statuses(asked: &[Exchange]) -> Vec<u16> {
    asked.iter().map(|exchange| exchange.status).collect()
}

fn key_of(asked: &Exchange) -> &str {
    let mut headers = asked.request.headers.iter();
    let key = headers.find(|(name, _)| *name == "Idempotency-Key");
    key.map(|(_, key)| key.as_str()).unwrap()
}
