//! What is kept of sessions, and the reports that are made of it.

use proto::telemetry as pb;
use secrecy::SecretString;
use serde_json::Value;
use streamhaul_metrics_gateway::Config;
use testkit::database::TestDb;

use crate::fake_api::{NODE, OTHER_TENANT, USER};
use crate::viewer::Viewer;
use crate::world::{World, link, now_ms, report, until};

const SESSION: &str = "ses_mine1";
/// A step of ten seconds begins here, minutes ago.
fn start_ms() -> i64 {
    (now_ms() - 400_000) / 60_000 * 60_000
}

fn bearer(token: &str) -> String {
    format!("Authorization: Bearer {token}\r\n")
}

async fn world() -> (TestDb, World) {
    let database = TestDb::new().await;
    let config = Config {
        database_url: SecretString::from(database.url()),
        ..Config::default()
    };
    let world = World::with(config).await;
    (database, world)
}

/// The second of a session that has been published for `second` seconds at 800 kbit/s, three
/// quarters of it over link 1.
fn bonded(start_ms: i64, second: u64, links: &[u64]) -> pb::NodeReport {
    let mut report = report(SESSION, start_ms + second as i64 * 1000, 0);
    let session = &mut report.sessions[0];
    let publisher = session.publisher.as_mut().unwrap();
    publisher.uptime_ms = second * 1000 + 500;
    publisher.bytes_total = (second + 1) * 100_000;
    publisher.packets_total = (second + 1) * 98;
    publisher.packets_lost_total = (second + 1) * 4;
    publisher.packets_dropped_total = (second + 1) * 2;
    session.links = links
        .iter()
        .map(|number| link_after(*number, second))
        .collect();
    report
}

fn link_after(number: u64, second: u64) -> pb::LinkSample {
    let bytes = if number == 1 { 75_000 } else { 25_000 };
    pb::LinkSample {
        carrier: Some(format!("<script>alert({number})</script> & \"Co\"")),
        uptime_ms: second * 1000 + 500,
        total: Some(pb::LinkTally {
            bytes: (second + 1) * bytes,
            packets: second + 1,
            ..Default::default()
        }),
        jitter_us: 2000,
        ..link(number)
    }
}

/// Two minutes and a bit; link 2 is away from second 50 on.
async fn publish(world: &World, start_ms: i64) {
    let node = world.node(NODE);
    for second in 0..125 {
        let links: &[u64] = if second < 50 { &[1, 2] } else { &[1] };
        node.send(bonded(start_ms, second, links)).await;
    }
    assert_eq!(node.end().await.unwrap(), 125);
}

fn ask(world: &World, token: &str, query: &str) -> String {
    world.get(
        &format!("/v1/sessions/{SESSION}/report{query}"),
        &bearer(token),
    )
}

/// The report once it has so many points.
async fn reported(world: &World, points: usize) -> Value {
    until(async || {
        let answer = ask(world, USER, "");
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        let report: Value = serde_json::from_str(body).ok()?;
        let is_whole =
            head.starts_with("HTTP/1.1 200") && report["points"].as_array()?.len() >= points;
        is_whole.then_some(report)
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_link_that_goes_away_is_in_the_report() {
    let (_database, world) = world().await;
    let start = start_ms();
    publish(&world, start).await;
    let report = reported(&world, 12).await;
    assert_eq!(report["session_id"], SESSION);
    assert_eq!(
        (&report["from"], &report["resolution_s"]),
        (&start.into(), &10.into())
    );
    assert_eq!(report["nodes"], serde_json::json!(["nod_1"]));

    let totals = &report["totals"];
    assert_eq!(
        totals["bytes"], 12_000_000,
        "of the twelve steps that are complete"
    );
    assert_eq!(
        (&totals["published_s"], &totals["bitrate_bps_mean"]),
        (&120.into(), &800_000.into())
    );
    assert_eq!(
        (&totals["loss_pct"], &totals["given_up_pct"]),
        (&4.0.into(), &2.0.into())
    );
    assert_eq!(totals["rtt_ms_mean"], 40.0);

    let links = report["links"].as_array().unwrap();
    let of = |place: usize, name: &str| links[place][name].clone();
    assert_eq!((of(0, "number"), of(1, "number")), (1.into(), 2.into()));
    assert_eq!(
        (of(0, "bytes"), of(1, "bytes")),
        (9_000_000.into(), 1_250_000.into())
    );
    assert_eq!(
        (of(0, "share_pct"), of(1, "share_pct")),
        (87.8.into(), 12.2.into())
    );
    assert_eq!(
        (of(1, "live_s"), of(1, "link_type")),
        (50.into(), "cellular".into())
    );

    let away = serde_json::json!([
        {"link": 2, "from": start + 50_000, "to": null, "seconds": 70}
    ]);
    assert_eq!(report["interruptions"], away);
    assert_eq!(report["points"][0]["bitrate_bps"], 800_000);
    assert_eq!(report["points"][0]["links"][1]["bitrate_bps"], 200_000);
    assert_eq!(report["points"][5]["links"].as_array().unwrap().len(), 1);
    assert!(!report.to_string().contains("127.0."), "no address is kept");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_report_is_for_whoever_may_see_the_session() {
    let (_database, world) = world().await;
    publish(&world, start_ms()).await;
    reported(&world, 12).await;
    for (answer, status) in [
        (ask(&world, OTHER_TENANT, ""), "404"),
        (ask(&world, "sh_user_unknown", ""), "404"),
        (
            world.get(&format!("/v1/sessions/{SESSION}/report"), ""),
            "401",
        ),
        (
            world.get("/v1/sessions/ses_mine2/report", &bearer(USER)),
            "404",
        ),
        (ask(&world, USER, "?format=pdf"), "400"),
    ] {
        assert!(
            answer.starts_with(&format!("HTTP/1.1 {status} ")),
            "{status}: {answer}"
        );
        assert!(!answer.contains("12000000"), "{answer}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_page_has_no_scripts_and_nothing_from_elsewhere() {
    let (_database, world) = world().await;
    publish(&world, start_ms()).await;
    reported(&world, 12).await;
    let answer = ask(&world, USER, "?format=html");
    let (head, page) = answer.split_once("\r\n\r\n").unwrap();
    let head = head.to_lowercase();
    assert!(
        head.contains("content-type: text/html; charset=utf-8"),
        "{head}"
    );
    assert!(
        head.contains("content-security-policy: default-src 'none'; style-src 'sha256-"),
        "{head}"
    );
    assert!(head.contains("x-content-type-options: nosniff"), "{head}");
    let name = "&lt;script&gt;alert(2)&lt;/script&gt; &amp; &quot;Co&quot;";
    assert!(page.contains(name), "{page}");
    for foreign in [
        "<script", "http://", "https://", "url(", " style=", "@import",
    ] {
        assert!(!page.contains(foreign), "{foreign}: {page}");
    }
    let mut words = page.split_whitespace();
    assert!(words.all(|word| !(word.starts_with("on") && word.contains('='))));
    assert_eq!(page.matches("<figure>").count(), 3);
    assert!(page.contains("link 2"), "{page}");
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_database_there_are_no_reports() {
    let world = World::new().await;
    let answer = ask(&world, USER, "");
    assert!(answer.starts_with("HTTP/1.1 501 "), "{answer}");
    assert!(answer.contains("database_url"), "{answer}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_written_waits_and_the_live_view_goes_on() {
    let (database, world) = world().await;
    let start = start_ms();
    let tables = "LOCK TABLE telemetry.session_10s, telemetry.session_1m";
    let held = database.hold(tables).await;
    publish(&world, start).await;
    until(async || {
        let waiting = "streamhaul_gateway_archive_steps_waiting 0\n";
        (!world.metrics().contains(waiting)).then_some(())
    })
    .await;
    let mut viewer = Viewer::open(world.http, SESSION, &bearer(USER)).await;
    let snapshot = viewer.next().await.unwrap();
    assert_eq!(snapshot.data.as_array().unwrap().len(), 125);
    drop(held);
    let report = reported(&world, 12).await;
    assert_eq!(report["totals"]["bytes"], 12_000_000);
    world
        .shows("streamhaul_gateway_archive_steps_total{outcome=\"dropped\"} 0")
        .await;
}
