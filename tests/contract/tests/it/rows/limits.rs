//! What is refused: by the plan, by its form, and for a while.

use serde_json::json;

use super::sessions::PROVISIONED;
use super::stage::Stage;
use super::table::{Ask, ask};

/// As configured when nothing is.
const BODY_BYTES_MAX: usize = 64 * 1024;
const BODY: &str = r#"{"connection_id": "conn_1763700000000_1"}"#;
const OTHER_BODY: &str = r#"{"connection_id": "conn_1763700000000_2"}"#;

const AT_THE_LIMIT: [Ask; 2] = [
    ask("POST /api/v1/relay/start 403 connection_limit_reached")
        .by("limited")
        .sends(OTHER_BODY),
    ask("GET /api/v1/auth/session 200: the plan used up").by("limited"),
];
const WITHOUT_A_PLAN: [Ask; 2] = [
    ask("POST /api/v1/relay/start 403 entitlement_denied: no plan")
        .by("limited")
        .sends(OTHER_BODY),
    ask("GET /api/v1/auth/session 200: no plan").by("limited"),
];
const INACTIVE: [Ask; 1] = [
    ask("POST /api/v1/relay/start 403 entitlement_denied: inactive plan")
        .by("limited")
        .sends(OTHER_BODY),
];

pub(crate) fn a_plan_limits(stage: &mut Stage) {
    let plan = format!("users/{}/plan", stage.user("limited"));
    stage.set(
        "plans/single",
        &json!({"max_concurrent_conns": 1, "included_seconds": 3600}),
    );
    stage.set("plans/none", &json!({"max_concurrent_conns": 0}));
    stage.set(
        &plan,
        &json!({"plan_tier": "single", "plan_status": "active"}),
    );
    stage.prepare(
        &ask("POST /api/v1/relay/start 201")
            .by("limited")
            .sends(BODY),
    );
    stage.prepare(&PROVISIONED.by("limited"));
    stage.play(&AT_THE_LIMIT);
    stage.set(
        &plan,
        &json!({"plan_tier": "none", "plan_status": "active"}),
    );
    stage.play(&WITHOUT_A_PLAN);
    stage.set(
        &plan,
        &json!({"plan_tier": "single", "plan_status": "inactive"}),
    );
    stage.play(&INACTIVE);
}

const ILL_FORMED: [Ask; 6] = [
    ask("POST /api/v1/relay/start 400 invalid_request: bad key")
        .by("careless")
        .with(&[("Idempotency-Key", "")])
        .sends(BODY),
    ask("POST /api/v1/relay/start 400 invalid_request: unknown field")
        .by("careless")
        .sends(r#"{"connection_id": "conn_1763700000000_1", "colour": "red"}"#),
    ask("POST /api/v1/relay/start 400 invalid_request: region_preference")
        .by("careless")
        .sends(r#"{"region_preference": "a-region-with-a-name-of-more-than-sixty-four-letters-is-none-of-ours"}"#),
    ask("POST /api/v1/relay/start 400 invalid_request: connection_id")
        .by("careless")
        .sends(r#"{"connection_id": "a/b"}"#),
    ask("POST /api/v1/relay/start 400 invalid_request: stream_token")
        .by("careless")
        .sends(r#"{"stream_token": "<fresh token>"}"#),
    ask("POST /api/v1/relay/start 413 payload_too_large")
        .by("careless")
        .sends(r#"{"connection_id": "<too long>"}"#),
];

/// Each is asked as long as it is allowed.
const TOO_OFTEN: [Ask; 3] = [
    ask("POST /api/v1/relay/start 429 rate_limited")
        .by("eager")
        .sends(BODY)
        .until(|_| true),
    ask("POST /api/v1/relay/stop 429 rate_limited")
        .by("eager")
        .sends(BODY)
        .until(|_| true),
    ask("GET /api/v1/usage/current 429 rate_limited")
        .by("eager")
        .until(|_| true),
];

pub(crate) fn too_much_is_refused(stage: &mut Stage) {
    for user in ["careless", "eager"] {
        stage.user(user);
    }
    stage.keep("too long", &"a".repeat(BODY_BYTES_MAX));
    stage.play(&ILL_FORMED);
    stage.play(&TOO_OFTEN);
}
