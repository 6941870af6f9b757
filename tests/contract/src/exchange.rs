//! One request and its answer, as they are recorded.

use serde_json::{Value, json};

/// Fields that differ from run to run whatever they hold.
const VOLATILE: [&str; 12] = [
    "login_attempt_id",
    "user_code",
    "authorize_url",
    "expires_at",
    "started_at",
    "stopped_at",
    "lease_expires_at",
    "observed_at",
    "heartbeat_at",
    "cycle_start",
    "cycle_end",
    "srt_port",
];
/// Shorter runs of digits are numbers of ours.
const RANDOM_DIGITS_MIN: usize = 32;

/// One request and its answer.
#[derive(Debug, Clone, PartialEq)]
pub struct Exchange {
    /// Method and path.
    pub request: String,
    /// What was sent; null when nothing was.
    pub sent: Value,
    /// The answer's status.
    pub status: u16,
    /// Its JSON; null when it has none.
    pub body: Value,
}

impl Exchange {
    /// Any 2xx, as the plugin has it.
    #[must_use]
    pub const fn is_good(&self) -> bool {
        self.status / 100 == 2
    }

    /// Without what differs from run to run.
    #[must_use]
    pub fn recorded(&self) -> Value {
        json!({
            "request": self.request,
            "sent": masked(&self.sent),
            "status": self.status,
            "body": masked(&self.body),
        })
    }
}

fn masked(value: &Value) -> Value {
    match value {
        Value::String(text) => Value::String(masked_text(text)),
        Value::Array(items) => items.iter().map(masked).collect(),
        Value::Object(fields) => fields
            .iter()
            .map(|(name, value)| {
                let is_volatile = VOLATILE.contains(&name.as_str()) && !value.is_null();
                let shown = if is_volatile {
                    json!("…")
                } else {
                    masked(value)
                };
                (name.clone(), shown)
            })
            .collect(),
        other => other.clone(),
    }
}

/// Random digits and the ports of this machine become `…`.
fn masked_text(text: &str) -> String {
    let mut shown = String::new();
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        let digits = rest.bytes().take_while(u8::is_ascii_hexdigit).count();
        let is_port = shown.ends_with("127.0.0.1:") && digits > 0;
        if digits >= RANDOM_DIGITS_MIN || is_port {
            shown.push('…');
            rest = &rest[digits..];
        } else {
            let length = digits.max(first.len_utf8());
            shown.push_str(&rest[..length]);
            rest = &rest[length..];
        }
    }
    shown
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_random_is_not_recorded() {
        let key = "0123456789abcdef0123456789abcdef";
        let url = format!("srt://127.0.0.1:40123?streamid=live_{key}&mode=caller");
        assert_eq!(
            masked_text(&url),
            "srt://127.0.0.1:…?streamid=live_…&mode=caller"
        );
        let body = masked(&json!({"started_at": "now", "stopped_at": null, "region": "local"}));
        assert_eq!(
            body,
            json!({"started_at": "…", "stopped_at": null, "region": "local"})
        );
    }
}
