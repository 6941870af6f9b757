//! What viewers see.

use std::time::Duration;

use streamhaul_metrics_gateway::Config;

use crate::fake_api::{NODE, USER};
use crate::viewer::{self, Viewer};
use crate::world::{World, now_ms, report};

const SESSION: &str = "ses_mine1";

fn bearer() -> String {
    format!("Authorization: Bearer {USER}\r\n")
}

fn after(id: i64) -> String {
    format!("{}Last-Event-ID: {id}\r\n", bearer())
}

fn accepted(reports: usize) -> String {
    format!("streamhaul_gateway_reports_accepted_total {reports}")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_report_reaches_a_viewer() {
    let world = World::new().await;
    let (node, start) = (world.node(NODE), now_ms());
    node.send(report(SESSION, start, 1)).await;
    world.shows(&accepted(1)).await;

    let mut viewer = Viewer::open(world.http, SESSION, &bearer()).await;
    let snapshot = viewer.next().await.unwrap();
    assert_eq!(
        (snapshot.name.as_str(), snapshot.id),
        ("snapshot", Some(start))
    );
    assert_eq!(snapshot.data.as_array().unwrap().len(), 1);
    assert_eq!(
        snapshot.data[0]["ingress_bitrate_bps"],
        serde_json::Value::Null
    );

    node.send(report(SESSION, start + 1000, 1)).await;
    let sample = viewer.next().await.unwrap();
    assert_eq!(
        (sample.name.as_str(), sample.id),
        ("sample", Some(start + 1000))
    );
    assert_eq!(sample.data["observed_at"], start + 1000);
    assert_eq!(sample.data["node_id"], "nod_1");
    assert_eq!(sample.data["ingress_bitrate_bps"], 8000);
    assert_eq!(sample.data["egress_bitrate_bps"], 8000);
    assert_eq!(sample.data["publisher"]["rtt_us"], 40_000);
    assert_eq!(sample.data["players"].as_array().unwrap().len(), 1);
    assert_eq!(node.end().await.unwrap(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_history_is_a_bounded_ring() {
    let world = World::with(Config {
        history_seconds: 5,
        ..Config::default()
    })
    .await;
    let (node, start) = (world.node(NODE), now_ms());
    for second in 0..8 {
        node.send(report(SESSION, start + second * 1000, 0)).await;
    }
    world.shows(&accepted(8)).await;
    let mut viewer = Viewer::open(world.http, SESSION, &bearer()).await;
    let snapshot = viewer.next().await.unwrap();
    let points = snapshot.data.as_array().unwrap();
    assert!((1..=5).contains(&points.len()), "{}", points.len());
    assert_eq!(points.last().unwrap()["observed_at"], start + 7000);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_viewer_that_comes_back_gets_only_what_it_missed() {
    let world = World::new().await;
    let (node, start) = (world.node(NODE), now_ms());
    // More than what is kept as it came.
    for second in 0..200 {
        node.send(report(SESSION, start + second * 1000, 0)).await;
    }
    world.shows(&accepted(200)).await;

    let mut viewer = Viewer::open(world.http, SESSION, &after(start + 1000)).await;
    for second in 2..200 {
        let sample = viewer.next().await.unwrap();
        assert_eq!(
            (sample.name.as_str(), sample.id),
            ("sample", Some(start + second * 1000))
        );
    }
    node.send(report(SESSION, start + 200_000, 0)).await;
    assert_eq!(viewer.next().await.unwrap().id, Some(start + 200_000));

    let mut lost = Viewer::open(world.http, SESSION, &after(start - 1)).await;
    let snapshot = lost.next().await.unwrap();
    assert_eq!(
        (snapshot.name.as_str(), snapshot.id),
        ("snapshot", Some(start + 200_000))
    );
    let points = snapshot.data.as_array().unwrap().iter();
    let times: Vec<_> = points
        .map(|point| point["observed_at"].as_i64().unwrap())
        .collect();
    assert_eq!(
        times,
        (0..=200)
            .map(|second| start + second * 1000)
            .collect::<Vec<_>>()
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_that_is_not_reported_is_stale() {
    let world = World::with(Config {
        stale_after_seconds: 2,
        ..Config::default()
    })
    .await;
    let mut early = Viewer::open(world.http, SESSION, &bearer()).await;
    assert_eq!(early.next().await.unwrap().name, "snapshot");
    let stale = early.next().await.unwrap();
    assert_eq!(
        (stale.name.as_str(), &stale.data["observed_at"]),
        ("stale", &serde_json::Value::Null)
    );

    let (node, start) = (world.node(NODE), now_ms());
    node.send(report(SESSION, start, 0)).await;
    assert_eq!(early.next().await.unwrap().name, "sample");
    let stale = early.next().await.unwrap();
    assert_eq!((stale.name.as_str(), stale.id), ("stale", None));
    assert_eq!(stale.data["observed_at"], start);
    node.send(report(SESSION, start + 9000, 0)).await;
    assert_eq!(early.next().await.unwrap().name, "sample");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_slow_viewer_is_dropped_and_the_others_see_everything() {
    const REPORTS_MAX: i64 = 20_000;
    const DROPPED: &str = "streamhaul_gateway_viewers_dropped_total 1\n";
    let world = World::new().await;
    let (node, start) = (world.node(NODE), now_ms());
    let mut good = Viewer::open(world.http, SESSION, &bearer()).await;
    let slow = viewer::request(world.http, SESSION, &bearer()).await;
    world.shows("streamhaul_gateway_viewers 2").await;
    assert_eq!(good.next().await.unwrap().name, "snapshot");
    assert_eq!(good.next().await.unwrap().name, "stale");
    // In step with the good viewer, so that only the other one falls behind.
    for number in 0..REPORTS_MAX {
        node.send(report(SESSION, start + number, 64)).await;
        assert_eq!(good.next().await.unwrap().id, Some(start + number));
        if number % 50 == 0 && world.metrics().contains(DROPPED) {
            break;
        }
    }
    assert!(world.metrics().contains(DROPPED));
    world.shows("streamhaul_gateway_viewers 1").await;
    drop(slow);
}

#[tokio::test(flavor = "multi_thread")]
async fn viewers_of_a_session_are_bounded() {
    let world = World::with(Config {
        viewers_per_session_max: 2,
        ..Config::default()
    })
    .await;
    let first = Viewer::open(world.http, SESSION, &bearer()).await;
    let _second = Viewer::open(world.http, SESSION, &bearer()).await;
    let path = format!("/v1/sessions/{SESSION}/live");
    let refused = world.get(&path, &bearer());
    assert!(refused.starts_with("HTTP/1.1 429"), "{refused}");
    assert!(refused.contains("too_many_viewers"), "{refused}");
    drop(first);
    world.shows("streamhaul_gateway_viewers 1").await;
    let _third = Viewer::open(world.http, SESSION, &bearer()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_quiet_stream_is_kept_alive() {
    use tokio::io::AsyncReadExt;
    let world = World::new().await;
    let mut stream = viewer::request(world.http, SESSION, &bearer()).await;
    let mut seen = Vec::new();
    let comment = async {
        let mut chunk = [0; 4096];
        // A comment is a line that begins with a colon.
        while !String::from_utf8_lossy(&seen).contains("\n:") {
            let length = stream.read(&mut chunk).await.unwrap();
            assert!(length > 0, "the stream ended");
            seen.extend_from_slice(&chunk[..length]);
        }
    };
    let patience = Duration::from_secs(60);
    tokio::time::timeout(patience, comment).await.unwrap();
}
