//! Stream slots, and what a user prefers.

use super::stage::Stage;
use super::table::{Ask, ask};

const LABEL: &str = "/api/v1/user/stream-slots/1/label";

const SLOTS: [Ask; 9] = [
    ask("GET /api/v1/user/stream-slots 200").keeps(&[("token", "/stream_slots/0/stream_token")]),
    ask("GET /api/v1/user/stream-slots 401 unauthorized").by_nobody(),
    ask("PUT /api/v1/user/stream-slots/{n}/label 200")
        .at(LABEL)
        .sends(r#"{"label": "Backpack"}"#),
    ask("PUT /api/v1/user/stream-slots/{n}/label 400 invalid_request")
        .at(LABEL)
        .sends(r#"{"label": ""}"#),
    ask("PUT /api/v1/user/stream-slots/{n}/label 404 not_found")
        .at("/api/v1/user/stream-slots/0/label")
        .sends(r#"{"label": "Backpack"}"#),
    ask("POST /api/v1/user/regenerate-token 200")
        .sends(r#"{"slot_number": 1}"#)
        .keeps(&[("fresh token", "/stream_token")]),
    ask("POST /api/v1/user/regenerate-token 404 not_found").sends(r#"{"slot_number": 9}"#),
    ask("PUT /api/v1/user/preferences 200").sends(r#"{"preferred_region": "local"}"#),
    ask("GET /api/v1/user/preferences 200"),
];

pub(crate) fn slots_are_kept(stage: &mut Stage) {
    stage.play(&SLOTS);
    assert_ne!(stage.word("token"), stage.word("fresh token"));
}
