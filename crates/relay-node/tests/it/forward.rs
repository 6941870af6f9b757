use std::net::SocketAddr;
use std::time::Duration;

use model::session::Role as KeyRole;
use proto::fleet::control_message::Directive;
use testkit::srt_caller::{Caller, Role};

use crate::node::{config, start, stop};
use crate::plane::{Line, Plane, assignment, stream_key};

const LATENCY: Duration = Duration::from_millis(120);
const PAYLOADS: u32 = 500;

fn caller(to: SocketAddr, role: Role) -> Caller {
    let stream_id = match role {
        Role::Publisher => format!("live_{}", stream_key(1, KeyRole::Publish).expose()),
        Role::Player => format!("play_{}", stream_key(1, KeyRole::Play).expose()),
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
    let node = start(config(&plane, home.path()));
    let mut line = plane.welcomed().await;
    assert_eq!(line.direct(Directive::Assign(assignment(1))).await, "");
    let (publish_port, any_port) = ports(&line);

    let streamed = tokio::task::spawn_blocking(move || {
        let mut publisher = caller(publish_port, Role::Publisher);
        let mut player = caller(any_port, Role::Player);
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
