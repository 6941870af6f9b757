//! Who may report, and what Prometheus sees of it.

use streamhaul_metrics_gateway::Config;
use testkit::control_plane::SERVICE_TOKEN;
use tokio::io::AsyncReadExt as _;
use tokio::net::TcpStream;
use tonic::Code;

use crate::fake_api::{NOBODYS, NODE};
use crate::world::{PATIENCE, World, now_ms, report};

const SESSION: &str = "ses_mine1";

fn refused(reason: &str) -> String {
    format!(r#"streamhaul_gateway_reports_refused_total{{reason="{reason}"}} 1"#)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_credential_is_refused() {
    let world = World::new().await;
    let node = world.node("sh_node_unknown");
    node.send(report(SESSION, now_ms(), 0)).await;
    assert_eq!(node.end().await.unwrap_err().code(), Code::Unauthenticated);
    world.shows(&refused("unauthenticated")).await;
    world
        .shows("streamhaul_gateway_reports_accepted_total 0")
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_shows_no_credential_is_cut_and_a_node_that_did_reports_on() {
    let mut config = Config::default();
    config.kit.grpc.connections.stranger_seconds = 1;
    let world = World::with(config).await;
    let (node, start) = (world.node(NODE), now_ms());
    node.send(report(SESSION, start, 3)).await;
    world
        .shows("streamhaul_gateway_reports_accepted_total 1")
        .await;
    let mut silent = TcpStream::connect(world.grpc).await.unwrap();
    // Came later: when its time is up, that of the node would be, too.
    let mut said = Vec::new();
    let cut = tokio::time::timeout(PATIENCE, silent.read_to_end(&mut said)).await;
    assert!(cut.is_ok(), "it stays");
    node.send(report(SESSION, start + 1000, 3)).await;
    assert_eq!(node.end().await.unwrap(), 2, "by one stream");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_reports_for_itself_only() {
    let world = World::new().await;
    let node = world.node("sh_node_2");
    node.send(report(SESSION, now_ms(), 0)).await;
    assert_eq!(node.end().await.unwrap_err().code(), Code::PermissionDenied);
    world.shows(&refused("wrong_node")).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn nonsense_is_counted_and_the_stream_goes_on() {
    let world = World::new().await;
    let node = world.node(NODE);
    node.send(report("not an id", now_ms(), 0)).await;
    node.send(report(SESSION, i64::MAX / 2, 0)).await;
    node.send(report(SESSION, now_ms(), 0)).await;
    assert_eq!(node.end().await.unwrap(), 1);
    world.shows(&refused("invalid")).await;
    world.shows(&refused("clock")).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn totals_are_shown_per_node() {
    let world = World::new().await;
    let (node, start) = (world.node(NODE), now_ms());
    node.send(report(SESSION, start, 3)).await;
    node.send(report(SESSION, start + 1000, 3)).await;
    assert_eq!(node.end().await.unwrap(), 2);
    for line in [
        "streamhaul_gateway_nodes 1".to_owned(),
        "streamhaul_gateway_sessions 1".to_owned(),
        "streamhaul_gateway_publishers 1".to_owned(),
        "streamhaul_gateway_players 3".to_owned(),
        format!(
            r#"streamhaul_gateway_node_ingress_bytes_total{{node="nod_1"}} {}"#,
            start + 1000
        ),
        format!(
            r#"streamhaul_gateway_node_egress_bytes_total{{node="nod_1"}} {}"#,
            2 * (start + 1000)
        ),
        "streamhaul_gateway_viewers 0".to_owned(),
    ] {
        world.shows(&line).await;
    }
    let last = r#"streamhaul_gateway_node_last_report_timestamp_seconds{node="nod_1"} 1"#;
    assert!(world.metrics().contains(last));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_credential_is_asked_for_once() {
    let world = World::new().await;
    for stream in 0..3 {
        let node = world.node(NODE);
        for number in 0..5 {
            node.send(report(SESSION, now_ms() + stream * 10 + number, 0))
                .await;
        }
        node.end().await.unwrap();
    }
    assert_eq!(world.api.asked.counts().nodes, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_known_node_reports_on_while_the_api_is_away() {
    let world = World::new().await;
    let node = world.node(NODE);
    node.send(report(SESSION, now_ms(), 0)).await;
    assert_eq!(node.end().await.unwrap(), 1);
    world.api.asked.go_away();
    let node = world.node(NODE);
    node.send(report(SESSION, now_ms() + 1000, 0)).await;
    assert_eq!(node.end().await.unwrap(), 1);
    let unseen = world.node("sh_node_2");
    assert_eq!(unseen.end().await.unwrap_err().code(), Code::Unavailable);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_tells_of_sessions_that_it_was_given_only() {
    let world = World::new().await;
    let node = world.node(NODE);
    for number in 0..3 {
        let mut told = report(SESSION, now_ms() + number, 0);
        let foreign = report(NOBODYS, now_ms() + number, 0);
        told.sessions.extend(foreign.sessions);
        node.send(told).await;
    }
    assert_eq!(node.end().await.unwrap(), 3);
    world
        .shows(r#"streamhaul_gateway_samples_refused_total{reason="not_given"} 3"#)
        .await;
    let known = async |session: &str| {
        let newest = world.newest_links(SERVICE_TOKEN, session).await.unwrap();
        newest.observed_at_unix_ms.is_some()
    };
    assert!(known(SESSION).await);
    assert!(!known(NOBODYS).await);
    assert_eq!(
        world.api.asked.counts().sessions,
        1,
        "answers are remembered"
    );

    // What it was given stays its own while the api is away; what is new waits.
    world.api.asked.go_away();
    let node = world.node(NODE);
    node.send(report(SESSION, now_ms() + 1000, 0)).await;
    node.send(report("ses_mine2", now_ms() + 1001, 0)).await;
    assert_eq!(node.end().await.unwrap(), 2);
    assert!(!known("ses_mine2").await);
}
