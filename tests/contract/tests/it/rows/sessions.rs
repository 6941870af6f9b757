//! A session from its start to its end.

use e2e::house::ELSEWHERE;
use serde_json::Value;

use super::stage::Stage;
use super::table::{Ask, ask};
use crate::publisher::{Phone, Publisher};

const KEY: &[(&str, &str)] = &[("Idempotency-Key", "of one call")];
const ANOTHER_KEY: &[(&str, &str)] = &[("Idempotency-Key", "of another call")];
/// As the plugin asks.
const BODY: &str = r#"{
    "client_context": {"obs_connected": true, "mode": "auto", "requested_by": "obs-plugin"},
    "region_preference": "local", "connection_id": "conn_1763700000000_1", "stream_token": ""}"#;
const OTHER_BODY: &str =
    r#"{"region_preference": "local", "connection_id": "conn_1763700000000_2"}"#;
const OF_CONNECTION: &str = "/api/v1/relay/active?connection_id=conn_1763700000000_1";
const SESSION: &str = r#"{"session_id": "<session>", "instance_id": "<node>"}"#;

const START: Ask = ask("POST /api/v1/relay/start 201")
    .with(KEY)
    .sends(BODY)
    .keeps(&[
        ("session", "/session/session_id"),
        ("node", "/session/instance_id"),
        ("publish", "/session/credentials/stream_token"),
    ]);

/// The node has it, and has said so to the gateway.
pub(crate) const PROVISIONED: Ask =
    ask("GET /api/v1/relay/active 200: provisioned").until(|body| {
        body["session"]["status"] == "active" && body["per_link"]["observed_at"].is_number()
    });

const BEGINS: [Ask; 8] = [
    START,
    PROVISIONED,
    ask("POST /api/v1/relay/start 200: live")
        .with(ANOTHER_KEY)
        .sends(BODY),
    ask("POST /api/v1/relay/start 200: replay")
        .with(KEY)
        .sends(BODY),
    ask("POST /api/v1/relay/start 409 idempotency_mismatch")
        .with(KEY)
        .sends(OTHER_BODY),
    ask("POST /api/v1/relay/start 401 unauthorized")
        .by_nobody()
        .sends(BODY),
    ask("GET /api/v1/relay/active 200: of a connection").at(OF_CONNECTION),
    ask("GET /api/v1/auth/session 200: a relay active"),
];

pub(crate) fn a_session_begins_once(stage: &mut Stage) {
    stage.play(&BEGINS);
}

const PUBLISHES: [Ask; 1] = [ask("GET /api/v1/relay/active 200: with links")
    .at(OF_CONNECTION)
    .until(has_links)];
const IS_GONE: [Ask; 1] = [ask("GET /api/v1/relay/active 200: in grace")
    .at(OF_CONNECTION)
    .until(|body| {
        let links = body["per_link"]["connections"].as_array();
        body["session"]["status"] == "grace" && links.is_some_and(Vec::is_empty)
    })];

/// Every link of the phone carries something and is measured.
fn has_links(body: &Value) -> bool {
    let links = body["per_link"]["connections"].as_array();
    let is_measured = |link: &Value| {
        let measured = ["rtt_ms", "loss_pct", "delay_ms"];
        link["bitrate_bps"].as_u64() > Some(0)
            && link["sender"].is_object()
            && measured.iter().all(|name| link[name].is_number())
    };
    body["session"]["publishing"] == true
        && links.is_some_and(|links| links.len() == Phone::LINKS && links.iter().all(is_measured))
}

pub(crate) fn a_phone_publishes(stage: &mut Stage) {
    let phone = Phone::start(stage.house.relay());
    let publisher = Publisher::start(phone.address(), stage.word("publish"));
    stage.play(&PUBLISHES);
    drop(publisher);
    drop(phone);
    stage.play(&IS_GONE);
}

const HEALTH: [Ask; 5] = [
    ask("POST /api/v1/relay/health 200: of a conn_<ms>_<n>")
        .with(&[("X-Relay-Auth", "a key of the user's vault")])
        .sends(SESSION),
    ask("POST /api/v1/relay/health 200: with all that a client may say").sends(
        r#"{"session_id": "<session>", "instance_id": "<node>", "ingest_active": true,
            "egress_active": false, "session_uptime_seconds": 604800,
            "observed_at": "2026-01-01T00:00:00Z"}"#,
    ),
    ask("POST /api/v1/relay/health 400 invalid_request: session_uptime_seconds")
        .sends(r#"{"session_id": "<session>", "session_uptime_seconds": 604801}"#),
    ask("POST /api/v1/relay/health 401 unauthorized")
        .by_nobody()
        .sends(SESSION),
    ask("POST /api/v1/relay/health 404 not_found: unknown").sends(r#"{"session_id": "ses_1"}"#),
];

/// Under the name that older plugins give a connection.
const NAMED_BY_UUID: Ask = ask("POST /api/v1/relay/start 201")
    .sends(r#"{"connection_id": "6b0b0b4e-9a3c-4a52-9c3f-0d1f3b0a6a11"}"#)
    .keeps(&[
        ("other session", "/session/session_id"),
        ("other node", "/session/instance_id"),
    ]);
const OF_A_UUID: [Ask; 1] = [ask("POST /api/v1/relay/health 200: of a UUID")
    .sends(r#"{"session_id": "<other session>", "instance_id": "<other node>"}"#)];

/// A session that has a second to live.
const SHORT: Ask = ask("POST /api/v1/relay/start 201")
    .by("someone else")
    .hurried()
    .sends(r#"{"connection_id": "conn_1763700000000_3"}"#)
    .keeps(&[("short session", "/session/session_id")]);
const EXPIRED: [Ask; 1] = [ask("POST /api/v1/relay/health 404 not_found: expired")
    .by("someone else")
    .sends(r#"{"session_id": "<short session>"}"#)
    .until(|_| true)];

pub(crate) fn a_session_is_alive_until_it_is_over(stage: &mut Stage) {
    stage.play(&HEALTH);
    stage.prepare(&NAMED_BY_UUID);
    stage.play(&OF_A_UUID);
    stage.user("someone else");
    stage.prepare(&SHORT);
    stage.play(&EXPIRED);
}

const MOVES: [Ask; 6] = [
    ask("POST /api/v1/relay/migrate 401 unauthorized")
        .by_nobody()
        .sends(r#"{"connection_id": "conn_1763700000000_3", "new_region": "<elsewhere>"}"#),
    ask("POST /api/v1/relay/migrate 404 not_found")
        .by("traveller")
        .sends(r#"{"connection_id": "conn_1763700000000_9", "new_region": "<elsewhere>"}"#),
    ask("POST /api/v1/relay/migrate 409 conflict: there already")
        .by("traveller")
        .sends(r#"{"connection_id": "conn_1763700000000_3", "new_region": "local"}"#),
    ask("POST /api/v1/relay/migrate 202")
        .by("traveller")
        .sends(r#"{"connection_id": "conn_1763700000000_3", "new_region": "<elsewhere>"}"#),
    ask("POST /api/v1/relay/migrate 409 conflict: moves already")
        .by("traveller")
        .sends(r#"{"session_id": "<leaving>", "new_region": "<elsewhere>"}"#),
    ask("POST /api/v1/relay/migrate 429 rate_limited: cooldown")
        .by("traveller")
        .sends(r#"{"connection_id": "conn_1763700000000_3", "new_region": "local"}"#),
];

pub(crate) fn a_stream_moves(stage: &mut Stage) {
    stage.keep("elsewhere", ELSEWHERE);
    stage.user("traveller");
    let leaving = ask("POST /api/v1/relay/start 201")
        .by("traveller")
        .sends(r#"{"connection_id": "conn_1763700000000_3", "region_preference": "local"}"#)
        .keeps(&[("leaving", "/session/session_id")]);
    stage.prepare(&leaving);
    stage.play(&MOVES);
}

const STOP: &str = r#"{"session_id": "<session>"}"#;

const ENDS: [Ask; 9] = [
    ask("POST /api/v1/relay/stop 400 invalid_request: reason")
        .sends(r#"{"session_id": "<session>", "reason": "one line\nand another"}"#),
    ask("POST /api/v1/relay/stop 401 unauthorized")
        .by_nobody()
        .sends(STOP),
    ask("POST /api/v1/relay/stop 404 not_found").sends(r#"{"session_id": "ses_1"}"#),
    ask("POST /api/v1/relay/stop 200").sends(STOP),
    ask("POST /api/v1/relay/stop 200: again").sends(STOP),
    ask("POST /api/v1/relay/stop 200: by connection_id").sends(
        r#"{"connection_id": "6b0b0b4e-9a3c-4a52-9c3f-0d1f3b0a6a11", "reason": "provisioning timed out"}"#,
    ),
    ask("POST /api/v1/relay/health 404 not_found: stopped").sends(SESSION),
    ask("GET /api/v1/relay/active 204"),
    ask("GET /api/v1/relay/active 401 unauthorized").by_nobody(),
];

const REPLAYED: [Ask; 1] = [ask("POST /api/v1/relay/start 200: replay of a stopped one")
    .with(KEY)
    .sends(BODY)];

pub(crate) fn sessions_end(stage: &mut Stage) {
    stage.play(&ENDS);
    stage.play(&REPLAYED);
}
