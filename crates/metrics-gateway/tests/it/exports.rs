//! Events go out as they came in, all of them, or visibly not.

use std::collections::BTreeMap;
use std::io::{Read as _, Write as _};
use std::net::TcpStream;

use jiff::Timestamp;
use proto::telemetry as pb;
use serde_json::{Value, json};
use streamhaul_metrics_gateway::{EventsConfig, QueriesConfig};

use crate::app::{App, Gateway, batch, event_at, fresh};
use crate::queries::ask;
use crate::world::{PATIENCE, now_ms};

const LAST_CHUNK: &[u8] = b"0\r\n\r\n";

/// An export that was begun.
struct Download(TcpStream);

/// What came of it.
struct Got {
    head: String,
    /// Without the framing.
    body: Vec<u8>,
    /// Whether the last chunk came.
    is_whole: bool,
}

impl Download {
    fn begin(gateway: &Gateway, app: &App, query: &str, headers: &str) -> Self {
        let mut stream = TcpStream::connect(gateway.world.http).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        let head = format!(
            "GET /v1/export/{}/{}?{query} HTTP/1.1\r\nhost: x\r\nconnection: close\r\nauthorization: Bearer {}\r\n{headers}\r\n",
            app.org, app.name, app.token
        );
        stream.write_all(head.as_bytes()).unwrap();
        Self(stream)
    }

    /// Waits for the first byte.
    fn wait(&self) {
        self.0.peek(&mut [0]).unwrap();
    }

    fn end(mut self) -> Got {
        let (mut bytes, mut buffer) = (Vec::new(), [0; 65_536]);
        while let Ok(length @ 1..) = self.0.read(&mut buffer) {
            bytes.extend_from_slice(&buffer[..length]);
        }
        let end = bytes
            .windows(4)
            .position(|four| four == b"\r\n\r\n")
            .unwrap();
        let head = String::from_utf8(bytes[..end].to_vec()).unwrap();
        let is_whole = bytes.ends_with(LAST_CHUNK);
        Got {
            head: head.to_ascii_lowercase(),
            body: unchunked(&bytes[end + 4..]),
            is_whole,
        }
    }
}

fn unchunked(mut rest: &[u8]) -> Vec<u8> {
    let mut body = Vec::new();
    while let Some(end) = rest.windows(2).position(|two| two == b"\r\n") {
        let length = std::str::from_utf8(&rest[..end]).unwrap();
        let length = usize::from_str_radix(length, 16).unwrap();
        let chunk = &rest[end + 2..];
        body.extend_from_slice(&chunk[..length.min(chunk.len())]);
        rest = chunk.get(length + 2..).unwrap_or_default();
    }
    body
}

/// Events of several days, the last of which have no partition of their own.
async fn several_days() -> (Gateway, App, BTreeMap<String, Value>) {
    let gateway = Gateway::new().await;
    let app = gateway.app("acme", "cam").await;
    let mut sent = BTreeMap::new();
    for days_ago in [0, 1, 3, 20, 21, 40] {
        let at = |number: i64| now_ms() - days_ago * 86_400_000 - 3_600_000 - number * 7;
        let event = |number| {
            let time = Timestamp::from_millisecond(at(number)).unwrap().to_string();
            let mut event = event_at(&time);
            event["event"]["type"] = ["start", "=stop"][number as usize % 2].into();
            event["event"]["data"] = json!({ "number": number, "text": "a \"quoted\"\nline, é" });
            event
        };
        let events: Vec<Value> = (0..150).map(event).collect();
        assert_eq!(gateway.post(&app.signed(batch(&events))).status, 200);
        let named = events
            .into_iter()
            .map(|it| (it["event_id"].as_str().unwrap().to_owned(), it));
        sent.extend(named);
    }
    (gateway, app, sent)
}

#[tokio::test(flavor = "multi_thread")]
async fn what_came_in_goes_out_once() {
    let (gateway, app, sent) = several_days().await;
    let other = gateway.app("acme", "other").await;
    assert_eq!(gateway.post(&other.signed(fresh(5))).status, 200);
    let got = Download::begin(&gateway, &app, "from=-50d", "").end();
    assert!(
        got.is_whole && got.head.contains("content-type: application/x-ndjson"),
        "{}",
        got.head
    );
    let body = String::from_utf8(got.body).unwrap();
    let lines: Vec<Value> = body
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    assert_eq!(lines.len(), sent.len());
    for line in &lines {
        let event = &sent[line["event_id"].as_str().unwrap()];
        assert_eq!(line["data"], event["event"]["data"]);
        assert_eq!(line["type"], event["event"]["type"]);
        assert_eq!(line["user_id"], event["user_id"]);
        assert_eq!(line["service_version"], event["service"]["version"]);
        let at = |time: &Value| time.as_str().unwrap().parse::<Timestamp>().unwrap();
        assert_eq!(at(&line["timestamp"]), at(&event["timestamp"]));
    }
    let mut ids: Vec<&str> = lines
        .iter()
        .map(|line| line["event_id"].as_str().unwrap())
        .collect();
    ids.sort_unstable();
    ids.dedup();
    assert_eq!(ids.len(), sent.len(), "each once");
    let some = Download::begin(&gateway, &app, "from=-22d&to=-12h&type=start", "").end();
    let some = String::from_utf8(some.body).unwrap();
    assert_eq!(some.lines().count(), 4 * 75);
    gateway
        .world
        .shows("streamhaul_gateway_exports_total{outcome=\"complete\"} 2")
        .await;
    gateway
        .world
        .shows("streamhaul_gateway_exported_events_total 1200")
        .await;
    let request = pb::ExportAppRequest {
        org: "acme".into(),
        name: "cam".into(),
        query: "from=-50d".into(),
    };
    let stream = gateway.admin().export_app(request).await.unwrap();
    let (mut stream, mut bytes) = (stream.into_inner(), Vec::new());
    while let Some(piece) = stream.message().await.unwrap() {
        bytes.extend(piece.piece);
    }
    assert!(bytes == body.as_bytes(), "by gRPC it is the same");
}

#[tokio::test(flavor = "multi_thread")]
async fn bodies_are_compressed_for_whom_likes_it() {
    let (gateway, app, sent) = several_days().await;
    let query = "from=-50d&format=csv";
    let plain = Download::begin(&gateway, &app, query, "").end();
    let text = String::from_utf8(plain.body.clone()).unwrap();
    assert!(text.starts_with("event_id,timestamp,"), "{}", &text[..80]);
    assert_eq!(text.matches("\r\n").count(), sent.len() + 1);
    assert_eq!(
        text.matches(",\"'=stop\",").count(),
        sent.len() / 2,
        "no formula"
    );
    assert!(
        text.contains("a \\\"\"quoted\\\"\"\\nline, é"),
        "{}",
        &text[..600]
    );
    for coding in ["gzip", "zstd"] {
        let headers = format!("accept-encoding: {coding}\r\n");
        let got = Download::begin(&gateway, &app, query, &headers).end();
        assert!(got.is_whole && got.head.contains(&format!("content-encoding: {coding}")));
        assert!(got.body.len() < plain.body.len() / 3);
        let mut read = Vec::new();
        match coding {
            "gzip" => {
                let mut decoder = flate2::read::GzDecoder::new(&got.body[..]);
                decoder.read_to_end(&mut read).unwrap();
            }
            _ => read = zstd::decode_all(&got.body[..]).unwrap(),
        }
        assert!(read == plain.body, "{coding}");
    }
}

/// A reader that takes its time holds a place; an app that may not read any more is cut, and what
/// it has does not look like the whole.
#[tokio::test(flavor = "multi_thread")]
async fn an_export_that_breaks_off_has_no_end() {
    let limits = QueriesConfig {
        exports_each_max: 1,
        ..QueriesConfig::default()
    };
    let gateway = Gateway::limited(EventsConfig::default(), limits).await;
    let app = gateway.app("acme", "cam").await;
    let filler = "x".repeat(200 << 10);
    for _ in 0..5 {
        let event = |_| {
            let mut event = event_at(&Timestamp::now().to_string());
            event["event"]["data"] = json!({ "filler": filler });
            event
        };
        let events: Vec<Value> = (0..20).map(event).collect();
        assert_eq!(gateway.post(&app.signed(batch(&events))).status, 200);
    }
    let slow = Download::begin(&gateway, &app, "", "");
    slow.wait();
    let second = ask(&gateway, "/v1/export/acme/cam", &app.token, "");
    assert_eq!((second.status, second.code()), (429, "too_many_queries"));
    let request = pb::DisableAppRequest {
        org: "acme".into(),
        name: "cam".into(),
        disabled: true,
    };
    gateway.admin().disable_app(request).await.unwrap();
    let got = slow.end();
    assert!(got.head.starts_with("http/1.1 200"), "{}", got.head);
    assert!(!got.is_whole && got.body.len() < 100 * filler.len());
    gateway
        .world
        .shows("streamhaul_gateway_exports_total{outcome=\"broken\"} 1")
        .await;
}
