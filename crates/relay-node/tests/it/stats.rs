use serde_json::Value;

use crate::node::{config, get, ready, start, stop};
use crate::plane::Plane;

#[tokio::test]
async fn health_is_json_and_so_is_everything_else() {
    let (mut plane, home) = (Plane::start().await, tempfile::tempdir().unwrap());
    let config = config(&plane, home.path());
    let stats = config.listen_stats;
    let node = start(config);
    plane.welcomed().await;
    let node = ready(node).await;
    let (status, body) = get(stats, "/health").await;
    let health: Value = serde_json::from_str(&body).unwrap();
    assert!(
        status.contains("200") && health["status"] == "ok",
        "{status} {body}"
    );
    assert!(health["version"].is_string());
    let (status, body) = get(stats, "/nothing").await;
    let error: Value = serde_json::from_str(&body).unwrap();
    assert!(
        status.contains("404") && error["error"]["code"] == "not_found",
        "{status} {body}"
    );
    stop(node).await.unwrap();
}

#[tokio::test]
async fn every_series_is_there_from_the_start() {
    let (mut plane, home) = (Plane::start().await, tempfile::tempdir().unwrap());
    let node = start(config(&plane, home.path()));
    plane.welcomed().await;
    let node = ready(node).await;
    let metrics = get(node.admin_addr(), "/metrics").await.1;
    for series in [
        "streamhaul_relay_traffic_bytes_total{direction=\"ingress\"}",
        "streamhaul_relay_traffic_datagrams_total{direction=\"egress\"}",
        "streamhaul_relay_dropped_datagrams_total{reason=\"malformed\"}",
        "streamhaul_relay_refusals_total{reason=\"lease_expired\"}",
        "streamhaul_relay_admissions_total",
        "streamhaul_relay_forward_delay_seconds_bucket{le=\"0.00002\"}",
        "streamhaul_relay_forward_delay_seconds_count",
        "streamhaul_relay_sessions{role=\"publish\"}",
        "streamhaul_relay_sessions_held",
        "streamhaul_relay_data_thread_load_ratio",
        "streamhaul_relay_socket_calls_total{direction=\"egress\"}",
        "streamhaul_relay_send_errors_total{cause=\"queue_full\"}",
        "streamhaul_relay_control_connected",
        "streamhaul_relay_reports_dropped_total",
    ] {
        assert!(
            metrics.lines().any(|line| line.starts_with(series)),
            "{series}\n{metrics}"
        );
    }
    stop(node).await.unwrap();
}
