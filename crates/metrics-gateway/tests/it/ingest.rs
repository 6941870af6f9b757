//! Signed batches come in: the contract that SDKs rely on.

use flate2::write::GzEncoder;
use proto::telemetry as pb;
use serde_json::{Value, json};
use std::io::Write as _;
use uuid::Uuid;

use crate::app::{Answer, Gateway, batch, event, event_at, fresh};
use crate::world::now_ms;

/// An answer without what is another each time.
fn shown(answer: &Answer) -> Value {
    let mut body = answer.body.clone();
    if let Some(id) = body.pointer_mut("/error/request_id") {
        assert_ne!(id.as_str(), Some(""));
        *id = "…".into();
    }
    if let Some(wait) = body.get_mut("retry_after") {
        assert!(wait.as_u64().is_some_and(|wait| wait > 0));
        *wait = "…".into();
    }
    json!([answer.status, body])
}

#[tokio::test(flavor = "multi_thread")]
async fn both_ways_to_sign_are_understood() {
    let gateway = Gateway::new().await;
    let app = gateway.app("acme", "cam").await;
    let with_nonce = gateway.post(&app.signed(fresh(3)).with("x-batch-size", "3"));
    insta::assert_json_snapshot!("taken", shown(&with_nonce));
    assert!(
        with_nonce
            .head
            .contains("x-clacks-overhead: gnu terry pratchett")
    );
    let with_token = gateway.post(&app.signed_with_token(fresh(2)));
    assert_eq!(with_token.status, 200);
    let both = gateway.post(
        &app.signed(fresh(1))
            .with("authorization", &format!("Bearer {}", app.token)),
    );
    assert_eq!(both.status, 200);
    let post = app.signed(fresh(1));
    let upper = post.headers[1].1.to_uppercase();
    assert_eq!(gateway.post(&post.set("x-signature", &upper)).status, 200);
    assert_eq!(gateway.events().await, 7);
    let sums = "SELECT sum(events)::bigint FROM telemetry.rollups WHERE os = 'linux'";
    assert_eq!(gateway.database.number(sums).await, 7);
    let contexts = "SELECT count(*) FROM telemetry.contexts";
    assert_eq!(gateway.database.number(contexts).await, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn every_refusal_has_its_shape() {
    let gateway = Gateway::new().await;
    let app = gateway.app("acme", "cam").await;
    let post = || app.signed(fresh(1));
    let mut stranger = app.clone();
    stranger.name = "other".to_owned();
    let mut forger = app.clone();
    forger.secret = "other".to_owned();
    let at = |seconds: i64| app.signed_at(now_ms() / 1000 + seconds, fresh(1));
    let first = app.signed_by(now_ms() / 1000, "once", fresh(1));
    assert_eq!(gateway.post(&first).status, 200);
    let refused = [
        ("unknown app", stranger.signed(fresh(1))),
        ("wrong secret", forger.signed(fresh(1))),
        (
            "wrong token",
            post().with("authorization", "Bearer tk_wrong"),
        ),
        ("no token", post().with("authorization", "Basic x")),
        ("no signature", post().without("x-signature")),
        ("no timestamp", post().without("x-timestamp")),
        ("no nonce that was signed", post().without("x-nonce")),
        ("short signature", post().set("x-signature", "ab")),
        ("old", at(-700)),
        ("of 1970", app.signed_at(0, fresh(1))),
        ("of 2100", app.signed_at(4_102_444_800, fresh(1))),
        ("twice signed", post().with("x-signature", &"ab".repeat(32))),
        ("wrong media type", post().set("content-type", "text/plain")),
        ("unknown encoding", post().with("content-encoding", "br")),
        ("no gzip", post().with("content-encoding", "gzip")),
        ("no JSON", app.signed("{\"events\":[")),
        ("empty", app.signed(batch(&[]))),
        ("too many", app.signed(batch(&vec![json!(1); 1001]))),
        ("wrong count", post().with("x-batch-size", "2")),
        (
            "another request of that nonce",
            app.signed_by(now_ms() / 1000, "once", fresh(1)),
        ),
        (
            "unknown origin",
            post().with("origin", "https://evil.example"),
        ),
    ];
    let answers = refused.map(|(what, post)| (what, shown(&gateway.post(&post))));
    insta::assert_json_snapshot!("refusals", answers);
    assert_eq!(gateway.events().await, 1);
    assert_eq!(gateway.post(&at(-500)).status, 200, "within the window");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_same_again_is_accepted_and_adds_nothing() {
    let gateway = Gateway::new().await;
    let app = gateway.app("acme", "cam").await;
    let body = fresh(5);
    let post = app.signed(body.clone());
    let first = gateway.post(&post);
    // Byte by byte, as whoever recorded it; and signed again, as whoever lost the answer.
    for again in [
        post.clone(),
        app.signed(body.clone()),
        app.signed_with_token(body.clone()),
    ] {
        let answer = gateway.post(&again);
        assert_eq!(answer.status, 200);
        assert_eq!(answer.body, first.body);
    }
    assert_eq!(gateway.events().await, 5);
    let sums = "SELECT sum(events)::bigint FROM telemetry.rollups";
    assert_eq!(gateway.database.number(sums).await, 5);
    let other = app.signed(fresh(1)).set("x-nonce", &post.headers[3].1);
    assert_eq!(
        gateway.post(&other).code(),
        "unauthorized",
        "it was signed with another"
    );
    let mixed: Vec<Value> = serde_json::from_str::<Value>(&body).unwrap()["events"]
        .as_array()
        .unwrap()
        .iter()
        .cloned()
        .chain([event()])
        .collect();
    assert_eq!(gateway.post(&app.signed(batch(&mixed))).body["accepted"], 6);
    assert_eq!(gateway.events().await, 6);
    gateway.world.shows("events_ingested_total 6").await;
    gateway
        .world
        .shows("streamhaul_gateway_events_duplicate_total 15")
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn tenants_do_not_see_each_others_ids() {
    let gateway = Gateway::new().await;
    let body = fresh(4);
    for org in ["acme", "other"] {
        let app = gateway.app(org, "cam").await;
        assert_eq!(gateway.post(&app.signed(body.clone())).status, 200);
    }
    assert_eq!(gateway.events().await, 8);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_no_event_is_put_aside_and_blocks_nothing() {
    let gateway = Gateway::new().await;
    let app = gateway.app("acme", "cam").await;
    let mut nul = event();
    nul["event"]["data"]["command"] = "a\0b".into();
    let mut deep = event();
    deep["event"]["data"] =
        serde_json::from_str(&format!("{}{}", "[".repeat(64), "]".repeat(64))).unwrap();
    let strange = [
        json!(1),
        json!({"event_id": Uuid::new_v4().to_string()}),
        nul,
        deep,
        event_at("1970-01-01T00:00:00Z"),
        event_at("2100-01-01T00:00:00Z"),
    ];
    let good = [event(), event_at("2026-01-05T10:00:00Z")];
    let body = batch(&[&strange[..], &good].concat());
    let answer = gateway.post(&app.signed(body.clone()));
    insta::assert_json_snapshot!("quarantined", shown(&answer));
    let only_strange = gateway.post(&app.signed(batch(&strange)));
    assert_eq!(
        only_strange.body["accepted"], 6,
        "or the SDK sends it for ever"
    );
    assert_eq!(gateway.events().await, 2);
    let aside = "SELECT count(*) FROM telemetry.quarantine";
    assert_eq!(gateway.database.number(aside).await, 6, "each once");
    let reasons = "SELECT count(DISTINCT reason) FROM telemetry.quarantine";
    assert_eq!(gateway.database.number(reasons).await, 5);
}

/// What was checked here and PostgreSQL refuses all the same spoils nothing else.
#[tokio::test(flavor = "multi_thread")]
async fn an_event_that_the_database_refuses_is_put_aside() {
    let gateway = Gateway::new().await;
    let app = gateway.app("acme", "cam").await;
    let constraint = "ALTER TABLE telemetry.events ADD CHECK (category <> 'poison')";
    gateway.database.execute(constraint).await;
    let mut poison = event();
    poison["event"]["category"] = "poison".into();
    let mut events: Vec<Value> = (0..9).map(|_| event()).collect();
    events.insert(4, poison);
    let answer = gateway.post(&app.signed(batch(&events)));
    assert_eq!((answer.status, &answer.body["accepted"]), (200, &json!(10)));
    assert_eq!(gateway.events().await, 9);
    let aside = "SELECT count(*) FROM telemetry.quarantine WHERE reason = 'refused_by_database'";
    assert_eq!(gateway.database.number(aside).await, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn old_events_have_a_place_until_their_day_has_one() {
    let gateway = Gateway::new().await;
    let app = gateway.app("acme", "cam").await;
    let old = jiff::Timestamp::from_millisecond(now_ms() - 86_400_000 * 90).unwrap();
    let body = batch(&[event(), event_at(&old.to_string())]);
    assert_eq!(gateway.post(&app.signed(body.clone())).status, 200);
    let stray = "SELECT count(*) FROM telemetry.events_default";
    assert_eq!(gateway.database.number(stray).await, 1);
    let day = old.as_millisecond() / 86_400_000;
    let made = format!("SELECT telemetry.make_event_days({day}, {day})::bigint");
    assert_eq!(gateway.database.number(&made).await, 1);
    assert_eq!(gateway.database.number(stray).await, 0);
    assert_eq!(gateway.post(&app.signed(body)).status, 200);
    assert_eq!(gateway.events().await, 2, "it is found where it is now");
}

#[tokio::test(flavor = "multi_thread")]
async fn bodies_may_be_compressed_and_what_is_sent_is_what_is_signed() {
    let gateway = Gateway::new().await;
    let app = gateway.app("acme", "cam").await;
    let mut gzip = GzEncoder::new(Vec::new(), flate2::Compression::default());
    gzip.write_all(fresh(10).as_bytes()).unwrap();
    let zstd = zstd::encode_all(fresh(10).as_bytes(), 3).unwrap();
    for (encoding, body) in [("gzip", gzip.finish().unwrap()), ("zstd", zstd)] {
        let post = app.signed(body).with("content-encoding", encoding);
        assert_eq!(gateway.post(&post).status, 200, "{encoding}");
    }
    assert_eq!(gateway.events().await, 20);
}

#[tokio::test(flavor = "multi_thread")]
async fn who_asks_not_to_be_tracked_is_not() {
    let gateway = Gateway::new().await;
    let app = gateway.app("acme", "cam").await;
    for header in ["dnt", "sec-gpc"] {
        let answer = gateway.post(&app.signed(fresh(2)).with(header, "1"));
        assert_eq!((answer.status, &answer.body["accepted"]), (200, &json!(2)));
    }
    assert_eq!(
        gateway.post(&app.signed(fresh(1)).with("dnt", "0")).status,
        200
    );
    assert_eq!(gateway.events().await, 1);
    gateway.world.shows("dnt_requests_total 2").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_app_has_its_rate() {
    let gateway = Gateway::new().await;
    let app = gateway
        .make(pb::CreateAppRequest {
            org: "acme".into(),
            name: "cam".into(),
            rate_events: Some(1),
            ..Default::default()
        })
        .await;
    let first = gateway.post(&app.signed(fresh(900)));
    assert_eq!(first.status, 200);
    assert!(
        first.head.contains("x-ratelimit-limit: 1000"),
        "{}",
        first.head
    );
    assert!(
        first.head.contains("x-ratelimit-remaining: 100"),
        "{}",
        first.head
    );
    let more = gateway.post(&app.signed(fresh(200)));
    insta::assert_json_snapshot!("rate", shown(&more));
    assert!(more.head.contains("retry-after: "), "{}", more.head);
    assert_eq!(gateway.events().await, 900);
}

#[tokio::test(flavor = "multi_thread")]
async fn pages_send_from_origins_of_the_app_only() {
    let gateway = Gateway::new().await;
    let page = "https://app.example";
    let app = gateway
        .make(pb::CreateAppRequest {
            org: "acme".into(),
            name: "web".into(),
            origins: vec![page.into()],
            ..Default::default()
        })
        .await;
    let answer = gateway.post(&app.signed(fresh(1)).with("origin", page));
    assert_eq!(answer.status, 200);
    let allowed = format!("access-control-allow-origin: {page}\r\n");
    assert!(answer.head.contains(&allowed), "{}", answer.head);
    let mut asks = app.signed("");
    asks.headers = vec![("origin".into(), page.into())];
    let preflight = |post: &crate::app::Post| {
        let head = String::from_utf8(post.head(0)).unwrap();
        let mut stream = std::net::TcpStream::connect(gateway.world.http).unwrap();
        let head = head.replacen("POST", "OPTIONS", 1);
        stream.write_all(head.as_bytes()).unwrap();
        Answer::read(stream)
    };
    let told = preflight(&asks);
    assert_eq!(told.status, 204);
    assert!(
        told.head.contains(&allowed) && told.head.contains("x-signature"),
        "{}",
        told.head
    );
    let other = preflight(&asks.clone().set("origin", "https://evil.example"));
    assert!(
        !other.head.contains("access-control-allow"),
        "{}",
        other.head
    );
}

/// The names that dashboards of self-hosted telemetry ask for.
#[tokio::test(flavor = "multi_thread")]
async fn the_promised_metrics_are_there() {
    let gateway = Gateway::new().await;
    let app = gateway.app("acme", "cam").await;
    assert_eq!(gateway.post(&app.signed(fresh(2))).status, 200);
    gateway.post(&app.signed(batch(&[json!(1)])));
    let labels = "{method=\"POST\",route=\"/v1/ingest/{org}/{app}\",status=\"200\"}";
    for line in [
        format!("http_requests_total{labels} 2"),
        format!("http_request_duration_seconds_count{labels} 2"),
        "events_ingested_total 2".to_owned(),
        "events_failed_total{reason=\"malformed\"} 1".to_owned(),
    ] {
        gateway.world.shows(&line).await;
    }
    assert!(gateway.world.metrics().contains("\ndb_connections_active "));
}
