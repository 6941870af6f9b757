//! The fleet, the plan, and what else anybody may ask.

use std::time::SystemTime;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit, Mac};
use serde_json::{Value, json};
use sha2::Sha256;

use super::stage::{BILLING_SECRET, Stage};
use super::table::{Ask, ask};

const FLEET: [Ask; 9] = [
    ask("GET /api/v1/relay/manifest 200").until(|body| {
        let regions = body["regions"].as_array();
        let is_available = |region: &Value| region["available"] == true;
        regions.is_some_and(|all| all.len() == 2 && all.iter().all(is_available))
    }),
    ask("GET /api/v1/relay/manifest 401 unauthorized").by_nobody(),
    ask("GET /api/v1/relay/regions 200"),
    ask("GET /api/v1/capacity/status 200").by_nobody(),
    ask("GET /api/v1/usage/current 200"),
    ask("GET /api/v1/usage/current 401 unauthorized").by_nobody(),
    ask("GET /api/v1/ip 200").by_nobody(),
    ask("GET /healthz 200").by_nobody(),
    ask("POST /api/v1/billing/checkout 200").sends(r#"{"plan_tier": "standard"}"#),
];

const BILLING: [Ask; 2] = [
    ask("POST /api/v1/billing/webhook 200")
        .by_nobody()
        .with(&[
            ("webhook-id", "<message>"),
            ("webhook-timestamp", "<signed at>"),
            ("webhook-signature", "<signature>"),
        ])
        .sends("<notice>"),
    ask("POST /api/v1/billing/webhook 401 unauthorized")
        .by_nobody()
        .with(&[
            ("webhook-id", "<message>"),
            ("webhook-timestamp", "<signed at>"),
            ("webhook-signature", "v1,bm90IHNpZ25lZA=="),
        ])
        .sends("<notice>"),
];

pub(crate) fn everything_is_there(stage: &mut Stage) {
    stage.play(&FLEET);
    sign_a_notice(stage);
    stage.play(&BILLING);
}

/// What a billing system says, signed as Standard Webhooks has it.
fn sign_a_notice(stage: &mut Stage) {
    let user = stage.operate("users", &json!({"name": "payer"}));
    let user = user["user_id"].as_str().unwrap();
    let shown = stage
        .house
        .api()
        .fetch(&format!("/api/v1/ops/users/{user}"));
    let tenant = shown.unwrap().success().unwrap()["tenant_id"].clone();
    let notice = json!({
        "type": "subscription.updated", "timestamp": "2026-01-01T00:00:00Z",
        "data": {
            "tenant_id": tenant, "plan_tier": "standard", "status": "active",
            "current_period_start": "2026-01-01T00:00:00Z",
            "current_period_end": "2027-01-01T00:00:00Z",
        },
    });
    let notice = notice.to_string();
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    let signed_at = now.unwrap().as_secs().to_string();
    let mut mac = Hmac::<Sha256>::new_from_slice(&BILLING_SECRET).unwrap();
    mac.update(format!("msg_1.{signed_at}.{notice}").as_bytes());
    let signature = STANDARD.encode(mac.finalize().into_bytes());
    stage.keep("message", "msg_1");
    stage.keep("signed at", &signed_at);
    stage.keep("signature", &format!("v1,{signature}"));
    stage.keep("notice", &notice);
}
