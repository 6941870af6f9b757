use proto::fleet::control_message::Directive;

use crate::gateway::Gateway;
use crate::node::{config, start, stop};
use crate::plane::{Plane, assignment, node_id};

#[tokio::test]
async fn samples_reach_the_gateway_and_find_it_again() {
    let (mut plane, home) = (Plane::start().await, tempfile::tempdir().unwrap());
    let mut gateway = Gateway::start().await;
    let mut config = config(&plane, home.path());
    config.gateway_grpc = Some(format!("http://{}", gateway.address));
    let node = start(config);
    let mut line = plane.welcomed().await;
    line.direct(Directive::Assign(assignment(1))).await;

    let mut report = gateway.report().await;
    while report.sessions.is_empty() {
        report = gateway.report().await;
    }
    assert_eq!(report.node_id, node_id().to_string());
    assert_eq!(report.boot_id, line.hello.boot_id);
    let told = report.node.as_ref().unwrap();
    assert_eq!(told.sessions_held, 1);
    assert_eq!(told.forward_delay.as_ref().unwrap().counts.len(), 13);
    let has = |counts: &[proto::telemetry::ReasonCount], reason: &str| {
        counts.iter().any(|count| count.reason == reason)
    };
    assert!(has(&told.drops, "malformed") && has(&told.refusals, "lease_expired"));
    assert_eq!(report.sessions[0].session_id, assignment(1).session_id);
    let before = report.observed_at_unix_ms;

    let address = gateway.address;
    gateway.stop().await;
    let mut gateway = Gateway::start_at(address).await;
    let after = gateway.report().await;
    assert_eq!(after.boot_id, report.boot_id);
    assert!(after.observed_at_unix_ms > before);
    stop(node).await.unwrap();
}
