use crate::node::{config, ended, start, stop, taken_udp};
use crate::plane::Plane;

#[tokio::test]
async fn a_refused_join_token_ends_the_node_and_says_so() {
    let (plane, home) = (Plane::start().await, tempfile::tempdir().unwrap());
    let mut config = config(&plane, home.path());
    config.join_token = Some("sh_join_wrong".into());
    let error = format!("{:#}", ended(start(config)).await.unwrap_err());
    assert!(
        error.contains("refused the join token: unknown join token"),
        "{error}"
    );
    assert!(!home.path().join("state/node.json").exists());
}

#[tokio::test]
async fn a_node_without_identity_and_token_says_what_is_missing() {
    let (plane, home) = (Plane::start().await, tempfile::tempdir().unwrap());
    let mut config = config(&plane, home.path());
    config.join_token = None;
    let error = format!("{:#}", ended(start(config)).await.unwrap_err());
    assert!(
        error.contains("set join_token or join_token_file"),
        "{error}"
    );
}

#[tokio::test]
async fn a_join_token_can_come_from_a_file() {
    let (mut plane, home) = (Plane::start().await, tempfile::tempdir().unwrap());
    let mut config = config(&plane, home.path());
    config.join_token = None;
    let file = home.path().join("join-token");
    std::fs::write(&file, format!("{}\n", crate::plane::JOIN_TOKEN)).unwrap();
    config.join_token_file = Some(file);
    let node = start(config);
    plane.welcomed().await;
    stop(node).await.unwrap();
}

#[tokio::test]
async fn a_taken_port_is_named() {
    let (plane, home) = (Plane::start().await, tempfile::tempdir().unwrap());
    let taken = taken_udp();
    let mut config = config(&plane, home.path());
    config.listen_publish = taken.local_addr().unwrap();
    let error = format!("{:#}", ended(start(config)).await.unwrap_err());
    assert!(error.contains("cannot bind listen_publish"), "{error}");
}

#[tokio::test]
async fn a_node_that_waits_for_its_control_plane_can_be_stopped() {
    let (plane, home) = (Plane::start().await, tempfile::tempdir().unwrap());
    let config = config(&plane, home.path());
    plane.stop().await;
    stop(start(config)).await.unwrap();
}
