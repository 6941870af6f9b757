//! A log on disk in front of the database, over HTTP.

use std::path::Path;

use serde_json::json;
use streamhaul_metrics_gateway::{EventsConfig, SpoolConfig};
use uuid::Uuid;

use crate::app::{Gateway, batch, event, fresh};
use crate::world::until;

/// Nothing is written where there is no table.
const AWAY: &str = "ALTER TABLE telemetry.events RENAME TO events_elsewhere";
const BACK: &str = "ALTER TABLE telemetry.events_elsewhere RENAME TO events";

async fn gateway(dir: &Path, bytes_max: u64) -> Gateway {
    Gateway::with(EventsConfig {
        spool: SpoolConfig {
            dir: Some(dir.to_owned()),
            bytes_max,
        },
        ..EventsConfig::default()
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn an_outage_costs_no_events_and_no_answers() {
    let dir = tempfile::tempdir().unwrap();
    let gateway = gateway(dir.path(), 1 << 30).await;
    let app = gateway.app("acme", "cam").await;
    assert_eq!(gateway.post(&app.signed(fresh(3))).status, 200);
    gateway
        .world
        .shows("streamhaul_gateway_spool_appended_total 0")
        .await;
    gateway.database.execute(AWAY).await;
    let body = batch(&[event(), event(), json!("no event")]);
    for _ in 0..2 {
        let answer = gateway.post(&app.signed(body.clone()));
        assert_eq!((answer.status, &answer.body["accepted"]), (200, &json!(3)));
        assert_eq!(answer.body["quarantined"], 1);
    }
    gateway
        .world
        .shows("streamhaul_gateway_spool_batches 2")
        .await;
    gateway.database.execute(BACK).await;
    gateway
        .world
        .shows("streamhaul_gateway_spool_batches 0")
        .await;
    gateway
        .world
        .shows("streamhaul_gateway_spool_replayed_total 2")
        .await;
    assert_eq!(gateway.events().await, 5, "each once");
    let aside = "SELECT count(*) FROM telemetry.quarantine";
    assert_eq!(gateway.database.number(aside).await, 1);
    assert_eq!(gateway.post(&app.signed(fresh(1))).status, 200);
    gateway
        .world
        .shows("streamhaul_gateway_spool_appended_total 2")
        .await;
}

/// Five megabytes that cannot be packed.
fn large() -> String {
    let noise = |_| Uuid::new_v4().simple().to_string();
    let one = |_| {
        let mut event = event();
        event["event"]["data"] = (0..7_000).map(noise).collect::<String>().into();
        event
    };
    batch(&(0..20).map(one).collect::<Vec<_>>())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_spool_is_said_and_has_room_again() {
    let dir = tempfile::tempdir().unwrap();
    let gateway = gateway(dir.path(), 16 << 20).await;
    let app = gateway.app("acme", "cam").await;
    gateway.database.execute(AWAY).await;
    let mut taken = 0;
    let refused = loop {
        let answer = gateway.post(&app.signed(large()));
        if answer.status != 200 {
            break answer;
        }
        taken += 20;
    };
    assert_eq!((refused.status, refused.code()), (503, "overloaded"));
    assert!(refused.head.contains("retry-after: "), "{}", refused.head);
    assert!(taken >= 60, "{taken}");
    gateway.database.execute(BACK).await;
    gateway
        .world
        .shows("streamhaul_gateway_spool_bytes 0")
        .await;
    assert_eq!(gateway.events().await, taken);
    let post = app.signed(large());
    until(async || (gateway.post(&post).status == 200).then_some(())).await;
}
