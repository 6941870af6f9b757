//! What people ask of events is answered as the events say.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Write as _;
use std::net::TcpStream;

use jiff::Timestamp;
use serde_json::{Value, json};

use crate::app::{Answer, App, Gateway, batch, event_at};
use crate::world::{PATIENCE, now_ms};

const MINUTE_MS: i64 = 60_000;
const HOUR_MS: i64 = 3_600_000;

/// Asks with a token, and says who else asks for it.
pub(crate) fn ask(gateway: &Gateway, path: &str, token: &str, headers: &str) -> Answer {
    Answer::read(begin(gateway, path, token, headers))
}

/// The same, without a look at the answer.
pub(crate) fn begin(gateway: &Gateway, path: &str, token: &str, headers: &str) -> TcpStream {
    let mut stream = TcpStream::connect(gateway.world.http).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    let head = format!(
        "GET {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\nauthorization: Bearer {token}\r\n{headers}\r\n"
    );
    stream.write_all(head.as_bytes()).unwrap();
    stream
}

pub(crate) fn stats(gateway: &Gateway, app: &App, query: &str) -> Value {
    let path = format!("/v1/stats/{}/{}?{query}", app.org, app.name);
    let answer = ask(gateway, &path, &app.token, "");
    assert_eq!(answer.status, 200, "{query}: {}", answer.body);
    answer.body
}

/// What an event of the test says.
#[derive(Debug, Clone)]
struct Said {
    at_ms: i64,
    kind: &'static str,
    version: &'static str,
    os: &'static str,
    user: u64,
    /// None: the field is no number.
    duration: Option<f64>,
}

/// The same events in every run.
fn events(from_ms: i64, span_ms: i64, count: usize) -> Vec<Said> {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut next = move |below: u64| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state % below
    };
    let mut event = || Said {
        at_ms: from_ms + i64::try_from(next(span_ms.unsigned_abs())).unwrap(),
        kind: ["start", "stop", "crash"][next(3) as usize],
        version: ["1.0", "1.1", "2.0", "2.1"][(next(4) * next(4) / 3) as usize],
        os: ["linux", "macos", "windows"][next(3) as usize],
        user: next(40),
        duration: (next(5) > 0).then(|| next(100_000) as f64 / 8.0),
    };
    (0..count).map(|_| event()).collect()
}

fn written(said: &Said) -> Value {
    let mut event = event_at(&Timestamp::from_millisecond(said.at_ms).unwrap().to_string());
    event["event"]["type"] = said.kind.into();
    event["service"]["version"] = said.version.into();
    event["environment"]["os"] = said.os.into();
    event["user_id"] = format!("client_{}", said.user).into();
    event["session_id"] = format!("sess_{}", said.user % 7).into();
    let duration = said.duration.map_or_else(|| json!("long"), |it| json!(it));
    event["event"]["data"] = json!({ "timing": { "total_ms": duration } });
    event
}

fn send(gateway: &Gateway, app: &App, events: &[Said]) {
    for events in events.chunks(500) {
        let events: Vec<Value> = events.iter().map(written).collect();
        assert_eq!(gateway.post(&app.signed(batch(&events))).status, 200);
    }
}

/// The steps of an answer, computed the long way: `None` is all of them together.
fn brute<T>(
    events: &[Said],
    (from_ms, step_ms, steps): (i64, i64, usize),
    of: impl Fn(&[&Said]) -> T,
) -> (T, Vec<T>) {
    let within = |from: i64, to: i64| -> Vec<&Said> {
        let is_in = |event: &&Said| from <= event.at_ms && event.at_ms < to;
        events.iter().filter(is_in).collect()
    };
    let begins = (0..steps as i64).map(|step| from_ms + step * step_ms);
    let each = begins.map(|begin| of(&within(begin, begin + step_ms)));
    let total = of(&within(from_ms, from_ms + step_ms * steps as i64));
    (total, each.collect())
}

fn check<T: Into<Value>>(shown: &Value, (total, values): (T, Vec<T>)) {
    let values: Vec<Value> = values.into_iter().map(Into::into).collect();
    assert_eq!(shown["total"], total.into(), "{}", shown["group"]);
    assert_eq!(shown["values"], Value::Array(values), "{}", shown["group"]);
}

fn distinct(events: &[&Said], who: fn(&Said) -> u64) -> u64 {
    let who: BTreeSet<u64> = events.iter().map(|event| who(event)).collect();
    who.len() as u64
}

/// Between two values in proportion, as `percentile_cont` of PostgreSQL.
fn quantile(sorted: &[f64], share: f64) -> f64 {
    let place = share * (sorted.len() - 1) as f64;
    let (low, high) = (place.floor() as usize, place.ceil() as usize);
    sorted[low] + (sorted[high] - sorted[low]) * (place - place.floor())
}

fn close(shown: &Value, expected: f64) {
    let shown = shown.as_f64().unwrap();
    assert!(
        (shown - expected).abs() <= 1e-9 * expected.abs().max(1.0),
        "{shown} {expected}"
    );
}

/// Three hours of events, asked for from the middle of a step to the middle of another.
struct Past {
    gateway: Gateway,
    app: App,
    events: Vec<Said>,
    /// Of the first step.
    from_ms: i64,
}

const STEP_MS: i64 = 15 * MINUTE_MS;
const STEPS: usize = 12;

impl Past {
    async fn new() -> Self {
        let gateway = Gateway::new().await;
        let app = gateway.app("acme", "cam").await;
        let other = gateway.app("acme", "other").await;
        let from_ms = (now_ms() / HOUR_MS - 30) * HOUR_MS;
        // Some lie before and after what is asked for.
        let events = events(from_ms - HOUR_MS, 5 * HOUR_MS, 3000);
        send(&gateway, &app, &events);
        send(&gateway, &other, &events[..100]);
        Self {
            gateway,
            app,
            events,
            from_ms,
        }
    }

    fn ask(&self, query: &str) -> Value {
        let at = |ms: i64| Timestamp::from_millisecond(self.from_ms + ms).unwrap();
        let (from, to) = (at(7 * MINUTE_MS), at(3 * HOUR_MS - 7 * MINUTE_MS));
        let query = format!("step=15m&from={from}&to={to}&{query}");
        let answer = stats(&self.gateway, &self.app, &query);
        assert_eq!(answer["times"].as_array().unwrap().len(), STEPS);
        assert_eq!(answer["times"][0], at(0).to_string());
        assert_eq!(answer["to"], at(3 * HOUR_MS).to_string());
        answer
    }

    fn span(&self) -> (i64, i64, usize) {
        (self.from_ms, STEP_MS, STEPS)
    }

    fn brute<T>(
        &self,
        is_meant: impl Fn(&Said) -> bool,
        of: impl Fn(&[&Said]) -> T,
    ) -> (T, Vec<T>) {
        let events: Vec<Said> = self
            .events
            .iter()
            .filter(|it| is_meant(it))
            .cloned()
            .collect();
        brute(&events, self.span(), of)
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn counts_and_rates_are_what_the_events_say() {
    let past = Past::new().await;
    let count = |events: &[&Said]| events.len() as u64;
    let all = past.ask("");
    check(&all["series"][0], past.brute(|_| true, count));
    assert_eq!(all["series"][0]["group"], Value::Null);
    let crashes = past.ask("measure=count&type=crash&by=none");
    check(
        &crashes["series"][0],
        past.brute(|it| it.kind == "crash", count),
    );
    let versions = past.ask("by=version&groups=2");
    let mut sizes: BTreeMap<&str, u64> = BTreeMap::new();
    for version in ["1.0", "1.1", "2.0", "2.1"] {
        sizes.insert(version, past.brute(|it| it.version == version, count).0);
    }
    let mut order: Vec<&str> = sizes.keys().copied().collect();
    order.sort_by_key(|version| (std::cmp::Reverse(sizes[version]), *version));
    let series = versions["series"].as_array().unwrap();
    let shown: Vec<&str> = series
        .iter()
        .map(|it| it["group"].as_str().unwrap())
        .collect();
    assert_eq!(shown, order[..2]);
    for (shown, version) in series.iter().zip(&order) {
        check(shown, past.brute(|it| it.version == *version, count));
    }
    let rest = past.brute(|it| order[2..].contains(&it.version), count);
    check(&versions["other"], rest);
    let rates = past.ask("measure=rate&by=os");
    for shown in rates["series"].as_array().unwrap() {
        let os = shown["group"].as_str().unwrap();
        let (total, each) = past.brute(|it| it.os == os, |events| events.len() as f64);
        close(&shown["total"], total / 10_800.0);
        for (shown, events) in shown["values"].as_array().unwrap().iter().zip(each) {
            close(shown, events / 900.0);
        }
    }
    assert_eq!(rates["other"], Value::Null);
}

#[tokio::test(flavor = "multi_thread")]
async fn uniques_and_percentiles_are_what_the_events_say() {
    let past = Past::new().await;
    let users = |events: &[&Said]| distinct(events, |it| it.user);
    let all = past.ask("measure=uniques");
    check(&all["series"][0], past.brute(|_| true, users));
    let sessions = past.ask("measure=uniques&of=session&type=stop");
    let brute = past.brute(
        |it| it.kind == "stop",
        |events| distinct(events, |it| it.user % 7),
    );
    check(&sessions["series"][0], brute);
    let by = past.ask("measure=uniques&by=os&groups=1");
    let largest = by["series"][0]["group"].as_str().unwrap().to_owned();
    check(&by["series"][0], past.brute(|it| it.os == largest, users));
    check(&by["other"], past.brute(|it| it.os != largest, users));
    let by = past.ask("measure=percentiles&field=timing.total_ms&by=type");
    for shown in by["series"].as_array().unwrap() {
        let kind = shown["group"].as_str().unwrap();
        let sorted = |events: &[&Said]| {
            let mut values: Vec<f64> = events.iter().filter_map(|it| it.duration).collect();
            values.sort_by(f64::total_cmp);
            values
        };
        let (total, each) = past.brute(|it| it.kind == kind, sorted);
        let values = shown["values"].as_array().unwrap();
        for (shown, sorted) in values.iter().zip(&each).chain([(&shown["total"], &total)]) {
            assert_eq!(shown["samples"], sorted.len());
            for (name, share) in [("p50", 0.5), ("p95", 0.95), ("p99", 0.99)] {
                close(&shown[name], quantile(sorted, share));
            }
        }
    }
    let none = past.ask("measure=percentiles&field=timing");
    assert_eq!(
        none["series"][0]["total"],
        Value::Null,
        "an object is no number"
    );
}

/// Numbers that no double holds, and what only looks like one.
#[tokio::test(flavor = "multi_thread")]
async fn hostile_data_spoil_no_percentile() {
    let gateway = Gateway::new().await;
    let app = gateway.app("acme", "cam").await;
    let values = [
        "1e399",
        "-1e399",
        "1e-399",
        "\"7\"",
        "true",
        "null",
        "[7]",
        "{\"a\":7}",
        "5",
    ];
    let events = values.map(|value| {
        let mut event = event_at(&Timestamp::now().to_string());
        event["event"]["data"] = json!({ "ms": "PLACE" });
        event.to_string().replace("\"PLACE\"", value)
    });
    let body = format!("{{\"events\":[{}]}}", events.join(","));
    let answer = gateway.post(&app.signed(body));
    assert_eq!(
        (answer.status, &answer.body["quarantined"]),
        (200, &json!(0))
    );
    let shown = stats(&gateway, &app, "measure=percentiles&field=ms");
    let total = &shown["series"][0]["total"];
    assert_eq!((&total["samples"], &total["p99"]), (&json!(1), &json!(5.0)));
}
