use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use model::session::Role as KeyRole;
use proto::fleet::control_message::Directive;
use testkit::linksim::Impairment;
use testkit::srt_caller::{Caller, Role};
use testkit::srtla_sender::udp::UdpSender;
use testkit::srtla_sender::{KeepAlives, Uplink};

use crate::node::{config, start, stop};
use crate::plane::{Plane, assignment, stream_key};

const LATENCY: Duration = Duration::from_secs(2);
const PATIENCE: Duration = Duration::from_secs(30);
const PAYLOADS: u32 = 3000;

fn modem(delay_ms: u64) -> Impairment {
    Impairment::delayed(Duration::from_millis(delay_ms))
}

/// A sender with three links, all of them registered.
fn bonded(to: SocketAddr) -> UdpSender {
    let links = Uplink::numbered([modem(5), modem(20), modem(45)]);
    let sender = UdpSender::start(to, links, KeepAlives::Extended, 7).expect("sockets");
    let give_up_at = Instant::now() + PATIENCE;
    while !(sender.links().len() == 3 && sender.links().iter().all(|link| link.is_live)) {
        assert!(Instant::now() < give_up_at, "{:?}", sender.links());
        std::thread::sleep(Duration::from_millis(10));
    }
    sender
}

/// Publishes over the links, one of which loses everything for a third of the time,
/// and plays all of it.
fn stream(to: SocketAddr) {
    let sender = bonded(to);
    let live = format!("live_{}", stream_key(1, KeyRole::Publish).expose());
    let play = format!("play_{}", stream_key(1, KeyRole::Play).expose());
    let connect = |to, id: &str, role| Caller::connect(to, id, role, LATENCY).expect("admitted");
    let mut publisher = connect(sender.address(), &live, Role::Publisher);
    let mut player = connect(to, &play, Role::Player);
    let mut played = BTreeSet::new();
    for number in 0..PAYLOADS {
        if number == PAYLOADS / 3 {
            sender.black_out(0);
        }
        if number == PAYLOADS / 3 * 2 {
            sender.restore(0);
        }
        let payload = number.to_be_bytes().repeat(250);
        publisher.send(&payload).expect("sent");
        played.extend(receive(&mut player, Duration::from_millis(1)));
    }
    let give_up_at = Instant::now() + PATIENCE;
    while played.len() < PAYLOADS as usize && Instant::now() < give_up_at {
        publisher.service().expect("a working socket");
        played.extend(receive(&mut player, Duration::from_millis(5)));
    }
    let missing: Vec<u32> = (0..PAYLOADS).filter(|n| !played.contains(n)).collect();
    assert!(missing.is_empty(), "{missing:?}");
    let links = sender.links();
    assert!(links.iter().all(|link| link.packets > 0), "{links:?}");
    publisher.shutdown().expect("a working socket");
}

/// The numbers of the payloads that are there within `patience`.
fn receive(player: &mut Caller, patience: Duration) -> Option<u32> {
    let payload = player.receive(patience).expect("a working socket")?;
    let number = u32::from_be_bytes(*payload.bytes.first_chunk().expect("a number"));
    assert_eq!(payload.bytes, number.to_be_bytes().repeat(250));
    Some(number)
}

#[tokio::test(flavor = "multi_thread")]
async fn three_links_carry_a_stream_beside_plain_srt_on_one_port() {
    let (mut plane, home) = (Plane::start().await, tempfile::tempdir().unwrap());
    let node = start(streamhaul_relay_node::Config {
        data_threads: 3,
        ..config(&plane, home.path())
    });
    let mut line = plane.welcomed().await;
    assert_eq!(line.direct(Directive::Assign(assignment(1))).await, "");
    let to = SocketAddr::from(([127, 0, 0, 1], line.hello.udp_port as u16));
    tokio::task::spawn_blocking(move || stream(to))
        .await
        .unwrap();
    drop(line);
    stop(node).await.unwrap();
}
