//! What differs from run to run, taken out of what is recorded. Its place and its kind stay.

use std::net::Ipv4Addr;

use serde_json::Value;

const NUMBER: &str = "[number]";
const TIME: &str = "[time]";
const SOMETHING: &str = "…";
/// Numbers that are measured, or given out by this machine.
const MEASURED: [&str; 22] = [
    "bitrate_10s_bps",
    "bitrate_bps",
    "bytes",
    "delay_ms",
    "duplicates",
    "in_flight_pkts",
    "jitter_ms",
    "last_ms_ago",
    "late",
    "loss_pct",
    "lost",
    "naks",
    "number",
    "observed_at",
    "pkts",
    "retransmitted",
    "rtt_ms",
    "share_10s_pct",
    "share_pct",
    "srt_port",
    "uptime_s",
    "window_pkts",
];
/// Lists whose items come in any order, and what tells them apart: links register as they
/// arrive.
const UNORDERED: (&str, &str) = ("connections", "addr");
/// Letters drawn by lot, too few to be known by their number.
const DRAWN: [&str; 1] = ["user_code"];
/// Headers that differ as a whole.
const SIGNED: [&str; 3] = ["webhook-id", "webhook-signature", "webhook-timestamp"];
/// Shorter runs of digits are numbers of ours.
const RANDOM_DIGITS_MIN: usize = 32;
/// What a refusal for a while says before its seconds.
const WAIT: &str = "try again in ";

/// A body.
pub(crate) fn masked(value: &Value) -> Value {
    match value {
        Value::String(text) => masked_text(text).into(),
        Value::Array(items) => items.iter().map(masked).collect(),
        Value::Object(fields) => fields
            .iter()
            .map(|(name, value)| (name.clone(), masked_field(name, value)))
            .collect(),
        other => other.clone(),
    }
}

fn masked_field(name: &str, value: &Value) -> Value {
    match value {
        Value::Number(_) if MEASURED.contains(&name) => NUMBER.into(),
        Value::String(_) if DRAWN.contains(&name) => SOMETHING.into(),
        Value::Array(items) if name == UNORDERED.0 => ordered(items).map(masked).collect(),
        other => masked(other),
    }
}

fn ordered(items: &[Value]) -> impl Iterator<Item = &Value> {
    let mut items: Vec<&Value> = items.iter().collect();
    items.sort_by_key(|item| item[UNORDERED.1].as_str());
    items.into_iter()
}

/// A header's value; its name is in lower case.
pub(crate) fn masked_header(name: &str, value: &str) -> String {
    match name {
        "retry-after" => NUMBER.into(),
        _ if SIGNED.contains(&name) => SOMETHING.into(),
        _ => masked_text(value),
    }
}

/// Times, random digits, the ports of this machine and seconds to wait.
fn masked_text(text: &str) -> String {
    if is_time(text) {
        return TIME.into();
    }
    let mut shown = String::new();
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        let is_digit = |b: &u8| b.is_ascii_hexdigit() || *b == b'-';
        let run = rest.bytes().take_while(is_digit).count();
        if run >= RANDOM_DIGITS_MIN || (run > 0 && is_number_next(&shown)) {
            shown.push_str(SOMETHING);
            rest = &rest[run..];
        } else {
            let length = run.max(first.len_utf8());
            shown.push_str(&rest[..length]);
            rest = &rest[length..];
        }
    }
    shown
}

/// RFC 3339, in UTC.
fn is_time(text: &str) -> bool {
    let digits = |range: std::ops::Range<usize>| {
        let part = text.as_bytes().get(range);
        part.is_some_and(|part| part.iter().all(u8::is_ascii_digit))
    };
    digits(0..4)
        && digits(5..7)
        && digits(8..10)
        && text[10..].starts_with('T')
        && text.ends_with('Z')
}

fn is_number_next(shown: &str) -> bool {
    shown.ends_with(WAIT) || is_port_next(shown)
}

/// Whether an address of this machine and a colon were last.
fn is_port_next(shown: &str) -> bool {
    let Some(before) = shown.strip_suffix(':') else {
        return false;
    };
    let begins = before.rfind(|c: char| !c.is_ascii_digit() && c != '.');
    let address = &before[begins.map_or(0, |at| at + 1)..];
    address
        .parse()
        .is_ok_and(|address: Ipv4Addr| address.is_loopback())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_is_random_is_not_recorded() {
        let key = "0123456789abcdef0123456789abcdef";
        for (text, shown) in [
            (
                format!("srt://127.0.0.1:40123?streamid=live_{key}&mode=caller"),
                "srt://127.0.0.1:…?streamid=live_…&mode=caller",
            ),
            (
                "http://127.0.0.1:1/?attempt=pla_6b0b0b4e-9a3c-4a52-9c3f-0d1f3b0a6a11".into(),
                "http://127.0.0.1:…/?attempt=pla_…",
            ),
            ("127.0.3.1:40123".into(), "127.0.3.1:…"),
            ("try again in 9 s".into(), "try again in … s"),
            ("2026-01-02T03:04:05.6Z".into(), "[time]"),
            ("conn_1763700000000_1".into(), "conn_1763700000000_1"),
            ("203.0.113.7:5000 – 2026".into(), "203.0.113.7:5000 – 2026"),
        ] {
            assert_eq!(masked_text(&text), shown);
        }
    }

    #[test]
    fn what_is_measured_keeps_its_place() {
        let body = json!({"pkts": 9, "rtt_ms": null, "slot_number": 1, "user_code": "BCDF-GHJK"});
        assert_eq!(
            masked(&body),
            json!({"pkts": "[number]", "rtt_ms": null, "slot_number": 1, "user_code": "…"})
        );
        let links = json!({"connections": [{"addr": "b", "pkts": 1}, {"addr": "a", "pkts": 2}]});
        assert_eq!(
            masked(&links),
            json!({"connections": [{"addr": "a", "pkts": "[number]"}, {"addr": "b", "pkts": "[number]"}]})
        );
        assert_eq!(masked_header("retry-after", "9"), "[number]");
        assert_eq!(masked_header("webhook-signature", "v1,abc="), "…");
    }
}
