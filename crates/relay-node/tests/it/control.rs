use std::os::unix::fs::PermissionsExt as _;
use std::time::Duration;

use lease::SigningKey;
use proto::fleet as pb;
use proto::fleet::control_message::Directive;
use serde_json::Value;
use service_kit::GrpcConfig;
use testkit::certificates::Certificates;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;

use crate::node::{config, get, ready, start, stop};
use crate::plane::{
    JOIN_TOKEN, Plane, assignment, assignment_until, keys, node_id, now, signing_key,
};

async fn is_connected(admin: std::net::SocketAddr) -> bool {
    let metrics = get(admin, "/metrics").await.1;
    metrics
        .lines()
        .any(|line| line == "streamhaul_relay_control_connected 1")
}

#[tokio::test]
async fn a_node_enrols_once_and_says_hello() {
    let (mut plane, home) = (Plane::start().await, tempfile::tempdir().unwrap());
    let node = start(config(&plane, home.path()));
    let mut line = plane.line().await;
    assert!(!node.is_ready());
    assert_eq!(line.hello.node_id, node_id().to_string());
    assert_eq!(line.hello.region, "local");
    assert!(line.hello.udp_port != 0 && line.hello.publish_port != 0 && line.hello.play_port != 0);
    assert_eq!(line.hello.held, []);
    line.welcome().await;
    let node = ready(node).await;
    let file = home.path().join("state/node.json");
    assert_eq!(file.metadata().unwrap().permissions().mode() & 0o777, 0o600);
    stop(node).await.unwrap();

    let mut again = config(&plane, home.path());
    again.join_token = None;
    let node = start(again);
    let other_boot = plane.welcomed().await.hello.boot_id;
    assert_ne!(other_boot, line.hello.boot_id);
    assert_eq!(plane.enrolments(), 1);
    stop(ready(node).await).await.unwrap();
}

#[tokio::test]
async fn leases_are_held_until_they_are_revoked() {
    let (mut plane, home) = (Plane::start().await, tempfile::tempdir().unwrap());
    let node = start(config(&plane, home.path()));
    let mut line = plane.welcomed().await;
    assert_eq!(line.direct(Directive::Assign(assignment(1))).await, "");
    assert_eq!(line.direct(Directive::Assign(assignment(2))).await, "");
    let beat = line.heartbeat().await;
    assert_eq!((beat.sessions, beat.held_session_ids.len()), (2, 2));
    assert_eq!(beat.boot_id, line.hello.boot_id);
    let revoke = pb::Revoke {
        session_id: assignment(1).session_id,
        reason: "requested".into(),
    };
    assert_eq!(line.direct(Directive::Revoke(revoke)).await, "");
    assert_eq!(
        line.heartbeat().await.held_session_ids,
        [assignment(2).session_id]
    );
    stop(node).await.unwrap();
}

#[tokio::test]
async fn what_cannot_be_done_is_acknowledged_with_its_reason() {
    let (mut plane, home) = (Plane::start().await, tempfile::tempdir().unwrap());
    let node = start(config(&plane, home.path()));
    let mut line = plane.welcomed().await;
    let past = now().minus(Duration::from_secs(3600));
    assert_eq!(
        line.direct(Directive::Assign(assignment_until(1, past)))
            .await,
        "lease_expired"
    );
    let mut altered = assignment(1);
    altered
        .publish
        .as_mut()
        .unwrap()
        .lease
        .replace_range(100..101, "-");
    let refused = line.direct(Directive::Assign(altered)).await;
    assert_eq!(refused, "bad_signature");
    let mut nonsense = assignment(1);
    nonsense.session_id = "x".into();
    assert_eq!(
        line.direct(Directive::Assign(nonsense)).await,
        "malformed_session_id"
    );
    assert_eq!(
        line.direct(Directive::Keys(pb::KeySet::default())).await,
        "empty_key_set"
    );
    assert_eq!(line.heartbeat().await.sessions, 0);
    stop(node).await.unwrap();
}

#[tokio::test]
async fn a_lost_line_is_restored_and_what_is_held_is_corrected() {
    let (mut plane, home) = (Plane::start().await, tempfile::tempdir().unwrap());
    let node = start(config(&plane, home.path()));
    let mut line = plane.welcomed().await;
    line.direct(Directive::Assign(assignment(1))).await;
    line.direct(Directive::Assign(assignment(2))).await;
    let boot_id = line.hello.boot_id.clone();
    drop(line);

    let mut line = plane.welcomed().await;
    assert_eq!(line.hello.boot_id, boot_id);
    let mut held: Vec<_> = line
        .hello
        .held
        .iter()
        .map(|held| held.session_id.clone())
        .collect();
    held.sort();
    assert_eq!(held, [assignment(1).session_id, assignment(2).session_id]);
    let resync = pb::Resync {
        assigned: vec![assignment(2), assignment(3)],
    };
    assert_eq!(line.direct(Directive::Resync(resync)).await, "");
    let mut held = line.heartbeat().await.held_session_ids;
    held.sort();
    assert_eq!(held, [assignment(2).session_id, assignment(3).session_id]);
    stop(node).await.unwrap();
}

#[tokio::test]
async fn a_node_outlives_its_control_plane() {
    let (mut plane, home) = (Plane::start().await, tempfile::tempdir().unwrap());
    let node = start(config(&plane, home.path()));
    let mut line = plane.welcomed().await;
    line.direct(Directive::Assign(assignment(1))).await;
    let node = ready(node).await;
    let address = plane.address;
    drop(line);
    plane.stop().await;
    while is_connected(node.admin_addr()).await {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    assert!(node.is_ready());

    let mut plane = Plane::start_at(address).await;
    let line = plane.welcomed().await;
    assert_eq!(line.hello.held.len(), 1);
    stop(node).await.unwrap();
}

#[tokio::test]
async fn new_keys_are_believed_and_kept() {
    let (mut plane, home) = (Plane::start().await, tempfile::tempdir().unwrap());
    let node = start(config(&plane, home.path()));
    let mut line = plane.welcomed().await;
    let next = SigningKey::from_seed(&[4; 32]);
    let set = keys(&[signing_key(), next.clone()]);
    assert_eq!(line.direct(Directive::Keys(set)).await, "");
    let json = std::fs::read(home.path().join("state/node.json")).unwrap();
    let file: Value = serde_json::from_slice(&json).unwrap();
    assert_eq!(file["keys"][1]["kid"], next.kid().as_str());
    stop(node).await.unwrap();
}

#[tokio::test]
async fn draining_is_told_and_seen() {
    let (mut plane, home) = (Plane::start().await, tempfile::tempdir().unwrap());
    let config = config(&plane, home.path());
    let stats = config.listen_stats;
    let node = start(config);
    let mut line = plane.welcomed().await;
    assert_eq!(
        line.direct(Directive::Drain(pb::Drain { draining: true }))
            .await,
        ""
    );
    assert!(line.heartbeat().await.draining);
    assert!(get(stats, "/health").await.1.contains("\"draining\""));
    assert_eq!(
        line.direct(Directive::Assign(assignment(1))).await,
        "draining"
    );
    assert_eq!(
        line.direct(Directive::Drain(pb::Drain { draining: false }))
            .await,
        ""
    );
    assert_eq!(line.direct(Directive::Assign(assignment(1))).await, "");
    let limits = pb::Limits { sessions_max: 1 };
    assert_eq!(line.direct(Directive::Limits(limits)).await, "");
    assert_eq!(
        line.direct(Directive::Assign(assignment(2))).await,
        "over_capacity"
    );
    stop(node).await.unwrap();
}

#[tokio::test]
async fn a_node_sends_its_credential_to_nobody_in_the_clear() {
    let (plane, home) = (Plane::start().await, tempfile::tempdir().unwrap());
    let mut across = config(&plane, home.path());
    across.api_grpc = "http://streamhaul.example:7001".into();
    let refused = service_kit::launch("relay-node", across, streamhaul_relay_node::run);
    let refused = refused.err().unwrap().to_string();
    assert!(refused.contains("https://"), "{refused}");

    // Who answers on the line of one that goes by TLS hears the first word of TLS, and
    // nothing else however often.
    let wiretap = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let mut by_tls = config(&plane, home.path());
    by_tls.api_grpc = format!("https://{}", wiretap.local_addr().unwrap());
    let node = start(by_tls);
    for _ in 0..3 {
        let (mut stream, _) = wiretap.accept().await.unwrap();
        stream.write_all(b"HTTP/1.1 200 OK\r\n\r\n").await.unwrap();
        let mut heard = Vec::new();
        stream.read_to_end(&mut heard).await.unwrap();
        // A handshake record of TLS (RFC 8446 section 5.1).
        assert_eq!(heard.first_chunk(), Some(&[0x16, 3]), "{heard:?}");
        assert!(!String::from_utf8_lossy(&heard).contains(JOIN_TOKEN));
    }
    stop(node).await.unwrap();
}

#[tokio::test]
async fn a_node_tells_its_credential_by_tls_to_whom_its_authority_vouches_for_only() {
    let ours = Certificates::new("127.0.0.1");
    let strangers = Certificates::new("127.0.0.1");
    let listening = |of: &Certificates| GrpcConfig {
        cert_file: Some(of.cert()),
        key_file: Some(of.key()),
        ..GrpcConfig::default()
    };
    let (mut plane, home) = (
        Plane::start_by(&listening(&ours)).await,
        tempfile::tempdir().unwrap(),
    );
    let stranger = Plane::start_by(&listening(&strangers)).await;
    let mut config = config(&plane, home.path());
    // Whichever it asks first, it settles on ours.
    config.api_grpc = format!("{},{}", stranger.url(), plane.url());
    config.kit.grpc.ca_file = Some(ours.ca());
    let node = start(config);
    let line = plane.welcomed().await;
    assert_eq!(line.hello.node_id, node_id().to_string());
    assert_eq!((plane.enrolments(), stranger.enrolments()), (1, 0));
    stop(ready(node).await).await.unwrap();
}
