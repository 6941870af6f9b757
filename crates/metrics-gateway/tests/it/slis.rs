//! What clients measure counts once, if their app counts.

use jiff::{SignedDuration, Timestamp};
use proto::telemetry as pb;
use serde_json::{Value, json};

use crate::app::{App, Gateway, batch, event_at};

fn event(kind: &str, data: &Value) -> Value {
    let mut event = event_at(&Timestamp::now().to_string());
    event["event"] = json!({ "type": kind, "data": data });
    event
}

fn connection(path: &str) -> Value {
    event("stream_connection", &json!({ "path": path }))
}

fn latency(ms: f64) -> Value {
    event("input_to_present", &json!({ "latency_ms": ms }))
}

fn send(gateway: &Gateway, app: &App, events: &[Value]) {
    let answer = gateway.post(&app.signed(batch(events)));
    assert_eq!(
        (answer.status, &answer.body["quarantined"]),
        (200, &json!(0))
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn measurements_count_once_and_hostile_ones_never() {
    let gateway = Gateway::new().await;
    let request = pb::CreateAppRequest {
        org: "acme".into(),
        name: "cam".into(),
        counts_for_slis: true,
        ..Default::default()
    };
    let app = gateway.make(request).await;
    let mut old = connection("relay");
    let yesterday = Timestamp::now() - SignedDuration::from_hours(24);
    old["timestamp"] = yesterday.to_string().into();
    let events = [
        connection("direct"),
        connection("direct"),
        connection("relay"),
        latency(120.0),
        latency(4000.0),
        latency(60_001.0),
        latency(-1.0),
        connection("acme\"} 1"),
        old,
        event("something", &json!({ "path": "direct" })),
    ];
    for _ in 0..2 {
        send(&gateway, &app, &events);
    }
    let shows = async |line: &str| gateway.world.shows(line).await;
    shows("streamhaul_gateway_events_duplicate_total 10").await;
    for line in [
        "connections_total{path=\"direct\"} 2",
        "connections_total{path=\"relay\"} 1",
        "input_to_present_seconds_count 2",
        "input_to_present_seconds_bucket{le=\"0.1\"} 0",
        "input_to_present_seconds_bucket{le=\"0.25\"} 1",
        "reports_ignored_total{reason=\"value\"} 2",
        "reports_ignored_total{reason=\"malformed\"} 1",
        "reports_ignored_total{reason=\"time\"} 1",
        "reports_ignored_total{reason=\"app\"} 0",
    ] {
        shows(&format!("streamhaul_gateway_client_{line}")).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_app_counts_when_an_operator_says_so() {
    let gateway = Gateway::new().await;
    let app = gateway.app("acme", "cam").await;
    send(&gateway, &app, &[connection("direct")]);
    let ignored = "streamhaul_gateway_client_reports_ignored_total{reason=\"app\"} 1";
    gateway.world.shows(ignored).await;
    let request = pb::ChangeAppRequest {
        org: "acme".into(),
        name: "cam".into(),
        counts_for_slis: Some(true),
        ..Default::default()
    };
    let changed = gateway
        .admin()
        .change_app(request)
        .await
        .unwrap()
        .into_inner();
    assert!(changed.changed && changed.app.unwrap().counts_for_slis);
    send(&gateway, &app, &[connection("direct")]);
    let counted = "streamhaul_gateway_client_connections_total{path=\"direct\"} 1";
    gateway.world.shows(counted).await;
}
