use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::time::{Duration, Instant};

use model::session::Role as KeyRole;
use proto::fleet::control_message::Directive;
use service_kit::Running;
use streamhaul_relay_node::Config;
use testkit::linksim::Impairment;
use testkit::srt_caller::{Caller, Role};
use testkit::srtla_sender::udp::UdpSender;
use testkit::srtla_sender::{KeepAlives, Uplink};

use crate::node::{config, free_udp, start, stop};
use crate::plane::{Plane, assignment, stream_key};

const LATENCY: Duration = Duration::from_secs(2);
const PATIENCE: Duration = Duration::from_secs(30);
pub(crate) const PAYLOADS: u32 = 3000;
/// From one payload to the next: 4 Mbit/s.
const INTERVAL: Duration = Duration::from_millis(2);

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

/// Publishes over the links and plays all of it, whatever is done before each payload.
pub(crate) fn stream(to: SocketAddr, mut before: impl FnMut(u32, &UdpSender)) {
    let sender = bonded(to);
    let live = format!("live_{}", stream_key(1, KeyRole::Publish).expose());
    let play = format!("play_{}", stream_key(1, KeyRole::Play).expose());
    let connect = |to, id: &str, role| Caller::connect(to, id, role, LATENCY).expect("admitted");
    let mut publisher = connect(sender.address(), &live, Role::Publisher);
    let mut player = connect(to, &play, Role::Player);
    let mut played = BTreeSet::new();
    let began = Instant::now();
    let mut publish = |number: u32, played: &mut BTreeSet<u32>| {
        let due = began + INTERVAL * number;
        while let Some(wait) = due.checked_duration_since(Instant::now()) {
            played.extend(receive(&mut player, wait));
        }
        publisher
            .send(&number.to_be_bytes().repeat(250))
            .expect("sent");
    };
    for number in 0..PAYLOADS {
        before(number, &sender);
        publish(number, &mut played);
    }
    // It goes on: what follows shows that something is missing.
    let is_whole = |played: &BTreeSet<u32>| played.range(..PAYLOADS).count() == PAYLOADS as usize;
    let end = PAYLOADS + PATIENCE.div_duration_f64(INTERVAL) as u32;
    for number in PAYLOADS..end {
        if is_whole(&played) {
            break;
        }
        publish(number, &mut played);
    }
    let missing: Vec<u32> = (0..PAYLOADS).filter(|n| !played.contains(n)).collect();
    let figures = (publisher.sent(), player.received());
    assert!(missing.is_empty(), "{missing:?}, {figures:?}");
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
    let node = start(Config {
        data_threads: 3,
        ..config(&plane, home.path())
    });
    let mut line = plane.welcomed().await;
    assert_eq!(line.direct(Directive::Assign(assignment(1))).await, "");
    let to = SocketAddr::from(([127, 0, 0, 1], line.hello.udp_port as u16));
    let one_fails_for_a_while = |number, sender: &UdpSender| {
        if number == PAYLOADS / 3 {
            sender.black_out(0);
        }
        if number == PAYLOADS / 3 * 2 {
            sender.restore(0);
        }
    };
    tokio::task::spawn_blocking(move || stream(to, one_fails_for_a_while))
        .await
        .unwrap();
    drop(line);
    stop(node).await.unwrap();
}

/// What is left of the process when it ends.
enum End {
    /// What it writes when it is stopped.
    Stopped,
    /// This, which it wrote some time before: it is killed.
    Killed(String),
}

/// What the node writes down, once this is in it.
fn written(kept: &Path, what: &str) -> String {
    let give_up_at = Instant::now() + PATIENCE;
    loop {
        let text = std::fs::read_to_string(kept).unwrap_or_default();
        if text.contains(what) {
            return text;
        }
        assert!(Instant::now() < give_up_at, "{text}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// Ends the node and starts the next one, as a supervisor does.
fn restart(node: Running, config: Config, end: &End) -> Running {
    node.shutdown();
    node.join().expect("it stops");
    if let End::Killed(written) = end {
        let kept = config.state_dir.join("connections.json");
        std::fs::write(kept, written).expect("its own file");
    }
    std::thread::sleep(Duration::from_millis(300));
    start(config)
}

async fn a_stream_outlives(end: impl Fn(String) -> End + Send + 'static) {
    let (mut plane, home) = (Plane::start().await, tempfile::tempdir().expect("a place"));
    let config = Config {
        data_threads: 3,
        listen_udp: free_udp(),
        ..config(&plane, home.path())
    };
    let to = config.listen_udp;
    let first = start(config.clone());
    let mut line = plane.welcomed().await;
    assert_eq!(line.direct(Directive::Assign(assignment(1))).await, "");
    let streamed = tokio::task::spawn_blocking(move || {
        let kept = config.state_dir.join("connections.json");
        let (mut running, mut restarting) = (Some(first), None);
        let mut before = String::new();
        stream(to, |number, _| {
            if number == PAYLOADS / 3 {
                // The player is in it.
                before = written(&kept, "payload_max");
            }
            if number == PAYLOADS / 2 {
                let (node, config) = (running.take().expect("it runs"), config.clone());
                let end = end(std::mem::take(&mut before));
                let restart = std::thread::spawn(move || restart(node, config, &end));
                restarting = Some(restart);
            }
        });
        restarting.map(|thread| thread.join().expect("it starts"))
    });
    let second = streamed
        .await
        .expect("no panic")
        .expect("half of the stream is over");
    drop(line);
    stop(second).await.expect("it stops");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_outlives_a_node_that_is_stopped_and_started() {
    a_stream_outlives(|_| End::Stopped).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_outlives_a_node_that_is_killed() {
    a_stream_outlives(End::Killed).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_node_keeps_over_a_restart_only_its_user_can_read() {
    let (mut plane, home) = (Plane::start().await, tempfile::tempdir().unwrap());
    let config = config(&plane, home.path());
    let kept = config.state_dir.join("connections.json");
    let node = start(config);
    let mut line = plane.welcomed().await;
    assert_eq!(line.direct(Directive::Assign(assignment(1))).await, "");
    let to = SocketAddr::from(([127, 0, 0, 1], line.hello.udp_port as u16));
    let live = format!("live_{}", stream_key(1, KeyRole::Publish).expose());
    tokio::task::spawn_blocking(move || {
        let _publisher = Caller::connect(to, &live, Role::Publisher, LATENCY).expect("admitted");
        let text = written(&kept, "ack_point");
        let mode = std::fs::metadata(&kept)
            .expect("it exists")
            .permissions()
            .mode();
        assert_eq!(mode & 0o777, 0o600);
        assert!(!text.contains(stream_key(1, KeyRole::Publish).expose()));
    })
    .await
    .unwrap();
    drop(line);
    stop(node).await.unwrap();
}
