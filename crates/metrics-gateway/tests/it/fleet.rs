//! The fleet as Prometheus reads it.

use proto::fleet::{FleetNode, FleetNodeBudget};
use proto::telemetry::{ForwardDelay, ReasonCount};

use crate::fake_api::NODE;
use crate::world::{World, now_ms, report, until};

const SESSION: &str = "ses_mine1";

fn node(id: &str, state: &str) -> FleetNode {
    FleetNode {
        node_id: id.to_owned(),
        name: format!("name of {id}"),
        region: "eu-west".to_owned(),
        state: state.to_owned(),
        sessions: 2,
        sessions_max: 100,
        heartbeat_age_ms: Some(0),
        budget: Some(FleetNodeBudget {
            limit_bytes: Some(1000),
            used_bytes: Some(250),
            projected_ratio: 0.75,
            exhausted_at_unix_ms: None,
        }),
        ..Default::default()
    }
}

fn count(reason: &str, total: u64) -> ReasonCount {
    ReasonCount {
        reason: reason.to_owned(),
        total,
    }
}

/// Node 1 counted so much since its boot.
fn counted(boot_id: &str, at_ms: i64, total: u64) -> proto::telemetry::NodeReport {
    let mut report = report(SESSION, at_ms, 0);
    report.boot_id = boot_id.to_owned();
    let node = report.node.as_mut().unwrap();
    node.sessions_held = 5;
    node.admitted_total = total;
    node.drops = vec![count("malformed", total), count("bad cookie\"}", total)];
    node.refusals = vec![count("lease_expired", total)];
    node.forward_delay = Some(ForwardDelay {
        counts: vec![total; 13],
        sum_us: total,
    });
    report
}

#[tokio::test(flavor = "multi_thread")]
async fn counters_go_on_over_a_restart_of_their_node() {
    let world = World::new().await;
    let (stream, start) = (world.node(NODE), now_ms());
    stream.send(counted("first", start, 10)).await;
    stream.send(counted("first", start + 1000, 13)).await;
    // More than before, so that only the boot's name tells.
    stream.send(counted("second", start + 2000, 20)).await;
    assert_eq!(stream.end().await.unwrap(), 3);
    for line in [
        r#"streamhaul_gateway_node_admissions_total{node="nod_1"} 33"#,
        r#"streamhaul_gateway_node_dropped_datagrams_total{node="nod_1",reason="malformed"} 33"#,
        r#"streamhaul_gateway_node_dropped_datagrams_total{node="nod_1",reason="other"} 33"#,
        r#"streamhaul_gateway_node_refusals_total{node="nod_1",reason="lease_expired"} 33"#,
        r#"streamhaul_gateway_node_sessions_held{node="nod_1"} 5"#,
        r#"streamhaul_gateway_node_forward_delay_seconds_bucket{node="nod_1",le="0.00005"} 66"#,
        r#"streamhaul_gateway_node_forward_delay_seconds_count{node="nod_1"} 429"#,
    ] {
        world.shows(line).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn nodes_are_what_the_control_plane_says_and_go_with_it() {
    let world = World::new().await;
    world
        .api
        .asked
        .set_fleet(vec![node("nod_1", "draining"), node("nod_2", "active")]);
    for line in [
        r#"streamhaul_gateway_node_state{node="nod_1",state="draining"} 1"#,
        r#"streamhaul_gateway_node_state{node="nod_1",state="active"} 0"#,
        r#"streamhaul_gateway_node_state{node="nod_2",state="active"} 1"#,
        r#"streamhaul_gateway_node_sessions{node="nod_2"} 2"#,
        r#"streamhaul_gateway_node_budget_used_bytes{node="nod_1"} 250"#,
        r#"streamhaul_gateway_node_budget_projected_ratio{node="nod_1"} 0.75"#,
        r#"streamhaul_gateway_fleet_nodes{state="draining"} 1"#,
        "streamhaul_gateway_fleet_sessions 4",
    ] {
        world.shows(line).await;
    }
    let age = r#"streamhaul_gateway_node_heartbeat_age_seconds{node="nod_1"} "#;
    assert!(world.metrics().contains(age));
    world.api.asked.set_fleet(vec![node("nod_2", "active")]);
    until(async || (!world.metrics().contains("nod_1")).then_some(())).await;
    world
        .shows(r#"streamhaul_gateway_fleet_nodes{state="draining"} 0"#)
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hundred_reasons_more_are_one_series() {
    let world = World::new().await;
    let (stream, start) = (world.node(NODE), now_ms());
    let mut told = counted("boot", start, 1);
    let reasons = (0..300).map(|number| count(&format!("reason_{number}"), 1));
    let node = told.node.as_mut().unwrap();
    (node.drops, node.refusals) = (reasons.clone().collect(), reasons.collect());
    stream.send(told).await;
    assert_eq!(stream.end().await.unwrap(), 1);
    let metrics = world.metrics();
    let of_node = metrics
        .lines()
        .filter(|line| line.contains("{node=\"nod_1\""));
    assert!(of_node.count() <= 200);
    let other = r#"streamhaul_gateway_node_refusals_total{node="nod_1",reason="other"} 252"#;
    world.shows(other).await;
}
