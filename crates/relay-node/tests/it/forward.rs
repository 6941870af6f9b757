use std::net::SocketAddr;
use std::time::Duration;

use model::session::Role as KeyRole;
use proto::fleet as pb;
use proto::fleet::control_message::Directive;
use service_kit::Running;
use streamhaul_relay_node::Config;
use testkit::srt_caller::{Caller, Role};

use crate::node::{config, get, ready, start, stop};
use crate::plane::{Line, Plane, assignment, stream_key};

const LATENCY: Duration = Duration::from_millis(120);
const PAYLOADS: u32 = 500;
const PATIENCE: Duration = Duration::from_secs(60);

fn caller(to: SocketAddr, session: u128, role: Role) -> Caller {
    let stream_id = match role {
        Role::Publisher => format!("live_{}", stream_key(session, KeyRole::Publish).expose()),
        Role::Player => format!("play_{}", stream_key(session, KeyRole::Play).expose()),
    };
    Caller::connect(to, &stream_id, role, LATENCY).expect("admitted")
}

fn payload(number: u32) -> Vec<u8> {
    number.to_be_bytes().repeat(329)
}

/// Sends payloads and receives each, in order, as it was.
fn forward(publisher: &mut Caller, player: &mut Caller) {
    for number in 0..PAYLOADS {
        publisher.send(&payload(number)).expect("sent");
        let received = player
            .receive(Duration::from_secs(5))
            .expect("a working socket");
        assert_eq!(received.expect("forwarded").bytes, payload(number));
    }
}

fn ports(line: &Line) -> (SocketAddr, SocketAddr) {
    let at = |port: u32| SocketAddr::from(([127, 0, 0, 1], port as u16));
    (at(line.hello.publish_port), at(line.hello.udp_port))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_goes_through_and_on_without_the_control_plane() {
    let (mut plane, home) = (Plane::start().await, tempfile::tempdir().unwrap());
    // One that does not come back.
    let node = start(streamhaul_relay_node::Config {
        resume_seconds: 0,
        ..config(&plane, home.path())
    });
    let mut line = plane.welcomed().await;
    assert_eq!(line.direct(Directive::Assign(assignment(1))).await, "");
    let (publish_port, any_port) = ports(&line);

    let streamed = tokio::task::spawn_blocking(move || {
        let mut publisher = caller(publish_port, 1, Role::Publisher);
        let mut player = caller(any_port, 1, Role::Player);
        forward(&mut publisher, &mut player);
        (publisher, player)
    });
    let (mut publisher, mut player) = streamed.await.unwrap();
    drop(line);
    plane.stop().await;
    let streamed = tokio::task::spawn_blocking(move || {
        forward(&mut publisher, &mut player);
        player
    });
    let mut player = streamed.await.unwrap();

    stop(node).await.unwrap();
    let told = tokio::task::spawn_blocking(move || {
        let _ = player.receive(Duration::from_secs(5));
        player.is_closed()
    });
    assert!(told.await.unwrap(), "a stopping node says good-bye");
}

/// How many data threads say what they do.
async fn threads_reported(node: &Running) -> usize {
    let (_, metrics) = get(node.admin_addr(), "/metrics").await;
    let is_load = |line: &&str| line.starts_with("streamhaul_relay_data_thread_load_ratio{");
    metrics.lines().filter(is_load).count()
}

/// The first heartbeat with so many publishers and players; older ones wait to be read.
async fn heartbeat_with(line: &mut Line, callers: (u32, u32)) -> pb::Heartbeat {
    loop {
        let beat = line.heartbeat().await;
        if (beat.publishers, beat.players) == callers {
            return beat;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn streams_on_several_threads_all_go_through() {
    const SESSIONS: u128 = 6;
    let (mut plane, home) = (Plane::start().await, tempfile::tempdir().unwrap());
    let several = Config {
        data_threads: 3,
        ..config(&plane, home.path())
    };
    let node = start(several);
    let mut line = plane.welcomed().await;
    let node = ready(node).await;
    for session in 1..=SESSIONS {
        let directive = Directive::Assign(assignment(session));
        assert_eq!(line.direct(directive).await, "");
    }
    let (publish_port, any_port) = ports(&line);
    let streamed = tokio::task::spawn_blocking(move || {
        let callers = (1..=SESSIONS).map(|session| {
            let publisher = caller(publish_port, session, Role::Publisher);
            (publisher, caller(any_port, session, Role::Player))
        });
        let mut callers: Vec<_> = callers.collect();
        for (publisher, player) in &mut callers {
            forward(publisher, player);
        }
        callers
    });
    let callers = streamed.await.unwrap();
    let all = SESSIONS as u32;
    let beat = tokio::time::timeout(PATIENCE, heartbeat_with(&mut line, (all, all))).await;
    let beat = beat.expect("everybody is counted");
    assert_eq!(beat.held_session_ids.len(), SESSIONS as usize);
    assert_eq!(threads_reported(&node).await, 3);
    drop(callers);
    stop(node).await.unwrap();
}
