//! A plugin signs in, and out.

use super::stage::Stage;
use super::table::{Ask, ask};

const START: Ask = ask("POST /api/v1/auth/plugin/login/start 201")
    .by_nobody()
    .sends(
        r#"{"client": {"platform": "windows", "plugin_version": "0.0.5", "device_name": "STUDIO"}}"#,
    )
    .keeps(&[
        ("attempt", "/login_attempt_id"),
        ("poll token", "/poll_token"),
    ]);
const POLL: &str = r#"{"login_attempt_id": "<attempt>", "poll_token": "<poll token>"}"#;
const SERVICE: &[(&str, &str)] = &[("X-Plugin-Login-Auth", "<service>")];
const LET_IN: &str = r#"{"login_attempt_id": "<attempt>", "outcome": "completed",
    "user_id": "<user>", "reason_code": ""}"#;
const TURN_AWAY: &str = r#"{"login_attempt_id": "<attempt>", "outcome": "denied",
    "user_id": null, "reason_code": "user_cancelled"}"#;
const PAIR: &[(&str, &str)] = &[
    ("access", "/auth/cp_access_jwt"),
    ("refresh", "/auth/refresh_token"),
];

const fn complete(line: &'static str, body: &'static str) -> Ask {
    ask(line).by_nobody().with(SERVICE).sends(body)
}

const fn poll(line: &'static str) -> Ask {
    ask(line).by_nobody().sends(POLL)
}

const COMPLETED: Ask = complete(
    "POST /api/v1/auth/plugin/login/complete 204: completed",
    LET_IN,
);
const COMES_IN: Ask = poll("POST /api/v1/auth/plugin/login/poll 200: completed").keeps(PAIR);

const UNDECIDED: [Ask; 6] = [
    START,
    poll("POST /api/v1/auth/plugin/login/poll 202: pending"),
    ask("POST /api/v1/auth/plugin/login/poll 404 not_found")
        .by_nobody()
        .sends(r#"{"login_attempt_id": "<attempt>", "poll_token": "another's"}"#),
    ask("POST /api/v1/auth/plugin/login/complete 401 unauthorized")
        .by_nobody()
        .with(&[("X-Plugin-Login-Auth", "a guess")])
        .sends(LET_IN),
    complete(
        "POST /api/v1/auth/plugin/login/complete 404 not_found",
        r#"{"login_attempt_id": "pla_1", "outcome": "completed", "user_id": "<user>", "reason_code": ""}"#,
    ),
    complete(
        "POST /api/v1/auth/plugin/login/complete 400 invalid_request: nobody's user_id",
        r#"{"login_attempt_id": "<attempt>", "outcome": "completed", "user_id": "usr_1", "reason_code": ""}"#,
    ),
];

const LET_IN_ONCE: [Ask; 6] = [
    COMPLETED,
    complete(
        "POST /api/v1/auth/plugin/login/complete 409 conflict: decided",
        LET_IN,
    ),
    COMES_IN,
    poll("POST /api/v1/auth/plugin/login/poll 409 login_already_claimed"),
    ask("GET /api/v1/auth/session 200: nothing active"),
    ask("GET /api/v1/auth/session 401 unauthorized").by_nobody(),
];

const TURNED_AWAY: [Ask; 2] = [
    complete(
        "POST /api/v1/auth/plugin/login/complete 204: denied",
        TURN_AWAY,
    ),
    poll("POST /api/v1/auth/plugin/login/poll 403 login_denied"),
];

const TOO_LATE: [Ask; 2] = [
    poll("POST /api/v1/auth/plugin/login/poll 410 login_attempt_expired").until(|_| true),
    complete(
        "POST /api/v1/auth/plugin/login/complete 410 login_attempt_expired",
        LET_IN,
    ),
];

pub(crate) fn a_plugin_comes_in(stage: &mut Stage) {
    let user = stage.user("someone");
    stage.keep("user", &user);
    stage.play(&UNDECIDED);
    stage.play(&LET_IN_ONCE);
    stage.prepare(&START);
    stage.play(&TURNED_AWAY);
    stage.prepare(&START.hurried());
    stage.play(&TOO_LATE);
}

const REFRESH: Ask = ask("POST /api/v1/auth/refresh 200")
    .by_nobody()
    .sends(r#"{"refresh_token": "<refresh>"}"#)
    .keeps(PAIR);

const LEAVES: [Ask; 5] = [
    REFRESH,
    ask("POST /api/v1/auth/refresh 401 unauthorized: nobody's")
        .by_nobody()
        .sends(r#"{"refresh_token": "a guess"}"#),
    ask("POST /api/v1/auth/logout 204").sends("{}"),
    ask("POST /api/v1/auth/logout 401 unauthorized").sends("{}"),
    ask("POST /api/v1/auth/refresh 410 session_expired")
        .by_nobody()
        .sends(r#"{"refresh_token": "<refresh>"}"#),
];

const USED_TWICE: [Ask; 1] = [
    ask("POST /api/v1/auth/refresh 401 unauthorized: used twice")
        .by_nobody()
        .sends(r#"{"refresh_token": "<used>"}"#),
];

pub(crate) fn a_plugin_leaves(stage: &mut Stage) {
    let user = stage.user("someone who leaves");
    stage.keep("user", &user);
    come_in(stage);
    stage.play(&LEAVES);
    come_in(stage);
    let used = stage.word("refresh").to_owned();
    stage.keep("used", &used);
    stage.prepare(&REFRESH);
    stage.play(&USED_TWICE);
}

fn come_in(stage: &mut Stage) {
    for step in [START, COMPLETED, COMES_IN] {
        stage.prepare(&step);
    }
}
