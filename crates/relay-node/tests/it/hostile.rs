//! Hostile SRTLA at a node that carries a bonded stream.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use proto::fleet::control_message::Directive;
use service_kit::Running;
use srtla::packet::{self, ID_LEN, Packet};
use streamhaul_relay_node::{Config, Srtla};
use testkit::linksim::Impairment;
use testkit::srt_caller::{Caller, Role};
use testkit::srtla_sender::udp::UdpSender;
use testkit::srtla_sender::{KeepAlives, Uplink};

use crate::bonding::{PAYLOADS, stream};
use crate::node::{config, get, start, stop};
use crate::plane::{Plane, assignment};

const PATIENCE: Duration = Duration::from_secs(20);
/// A question without an answer is asked again, as senders do.
const ASK_AGAIN: Duration = Duration::from_millis(250);
const STRANGERS: u8 = 50;
const DATA_THREADS: u16 = 3;

/// Somebody with an address of their own.
struct Stranger {
    socket: UdpSocket,
    said_bytes: usize,
    answered_bytes: usize,
}

impl Stranger {
    fn new(from: impl Into<IpAddr>, to: SocketAddr) -> Self {
        let socket = UdpSocket::bind((from.into(), 0)).expect("an address of loopback");
        socket.connect(to).expect("it is local");
        socket.set_nonblocking(true).expect("a socket");
        Self {
            socket,
            said_bytes: 0,
            answered_bytes: 0,
        }
    }

    /// One of many at other addresses.
    fn number(number: u8, to: SocketAddr) -> Self {
        Self::new(Ipv4Addr::new(127, 9, 9, number), to)
    }

    fn say(&mut self, datagram: &[u8]) {
        // What the kernel has no room for was not said.
        self.said_bytes += self.socket.send(datagram).unwrap_or(0);
    }

    fn hear(&mut self) -> Option<Vec<u8>> {
        let mut buffer = [0; 2048];
        let length = self.socket.recv(&mut buffer).ok()?;
        self.answered_bytes += length;
        Some(buffer[..length].to_vec())
    }

    /// Asks until the answer is the one that is wanted.
    fn ask(&mut self, question: &[u8], is_wanted: impl Fn(&[u8]) -> bool) -> Vec<u8> {
        let give_up_at = Instant::now() + PATIENCE;
        let (mut ask_at, mut others) = (Instant::now(), Vec::new());
        while Instant::now() < give_up_at {
            if Instant::now() >= ask_at {
                self.say(question);
                ask_at += ASK_AGAIN;
            }
            match self.hear() {
                Some(answer) if is_wanted(&answer) => return answer,
                Some(other) => others.push(other),
                None => std::thread::sleep(Duration::from_millis(1)),
            }
        }
        panic!("not the answer to {question:?}: {others:?}");
    }

    fn is_answered(&mut self, question: &[u8], with: &[u8]) {
        self.ask(question, |answer| answer == with);
    }

    /// The id of a group that the node would found.
    fn id(&mut self, half: u8) -> [u8; ID_LEN] {
        let is_id = |answer: &[u8]| matches!(Packet::parse(answer), Ok(Packet::Reg2(_)));
        let answer = self.ask(&packet::reg1(&[half; ID_LEN]), is_id);
        match Packet::parse(&answer) {
            Ok(Packet::Reg2(id)) => *id,
            other => panic!("no id: {other:?}"),
        }
    }
}

/// Everything that is wrong, from many; dropping it ends it.
struct Flood {
    is_over: Arc<AtomicBool>,
    thread: Option<JoinHandle<(usize, usize)>>,
}

impl Flood {
    fn start(to: SocketAddr) -> Self {
        let is_over = Arc::new(AtomicBool::new(false));
        let seen = Arc::clone(&is_over);
        let thread = std::thread::spawn(move || flood(to, &seen));
        Self {
            is_over,
            thread: Some(thread),
        }
    }

    /// How many bytes were said, and how many came back.
    fn end(mut self) -> (usize, usize) {
        self.is_over.store(true, Ordering::Relaxed);
        let thread = self.thread.take().expect("it ends once");
        thread.join().expect("it does not panic")
    }
}

impl Drop for Flood {
    fn drop(&mut self) {
        self.is_over.store(true, Ordering::Relaxed);
    }
}

fn flood(to: SocketAddr, is_over: &AtomicBool) -> (usize, usize) {
    let mut strangers: Vec<Stranger> = (1..=STRANGERS)
        .map(|number| Stranger::number(number, to))
        .collect();
    let mut round = 0_u8;
    while !is_over.load(Ordering::Relaxed) {
        round = round.wrapping_add(1);
        for stranger in &mut strangers {
            let id = [round; ID_LEN];
            stranger.say(&packet::reg1(&id));
            stranger.say(&packet::reg2(&id));
            stranger.say(&packet::keepalive());
            let claim = packet::ConnectionInfo::default();
            stranger.say(&packet::keepalive_with_info(7, &claim));
            stranger.say(&packet::REG3);
            stranger.say(&[0x92, 0x01, round]);
            while stranger.hear().is_some() {}
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    let sum = |bytes: fn(&Stranger) -> usize| strangers.iter().map(bytes).sum();
    (sum(|s| s.said_bytes), sum(|s| s.answered_bytes))
}

/// A group that takes all the room it gets, and ids that are none.
fn take_room(to: SocketAddr) {
    let mut founder = Stranger::number(200, to);
    let id = founder.id(9);
    founder.is_answered(&packet::reg2(&id), &packet::REG3);
    for number in 201..=202 {
        // Three links are allowed.
        Stranger::number(number, to).is_answered(&packet::reg2(&id), &packet::REG3);
    }
    Stranger::number(203, to).is_answered(&packet::reg2(&id), &packet::REG_ERR);
    let mut forged = id;
    forged[200] ^= 1;
    Stranger::number(204, to).is_answered(&packet::reg2(&forged), &packet::REG_NGP);
    let keepalive = packet::keepalive();
    founder.ask(&keepalive, |answer| answer.starts_with(&keepalive));
}

/// A sender whose stream key is none: its group is closed, and its source founds no
/// other on any thread.
fn guess(to: SocketAddr) {
    let source = Ipv4Addr::new(127, 9, 8, 1);
    let link = Uplink::new("guesser", source, Impairment::default());
    let sender = UdpSender::start(to, vec![link], KeepAlives::Timed, 3).expect("sockets");
    let give_up_at = Instant::now() + PATIENCE;
    while !sender.links().iter().any(|link| link.is_live) {
        assert!(Instant::now() < give_up_at, "it does not register");
        std::thread::sleep(Duration::from_millis(10));
    }
    let key = format!("live_{}", "0".repeat(32));
    let refused = Caller::connect(sender.address(), &key, Role::Publisher, PATIENCE);
    assert!(refused.is_err());
    for half in 0..DATA_THREADS as u8 {
        let reg1 = packet::reg1(&[half; ID_LEN]);
        Stranger::new(source, to).is_answered(&reg1, &packet::REG_ERR);
        Stranger::number(205, to).id(half);
    }
}

/// How many datagrams the node dropped for this reason.
async fn dropped(node: &Running, reason: &str) -> f64 {
    let metrics = get(node.admin_addr(), "/metrics").await.1;
    let name = format!("streamhaul_relay_dropped_datagrams_total{{reason=\"{reason}\"}} ");
    let line = metrics.lines().find_map(|line| line.strip_prefix(&name));
    line.expect("every reason is shown")
        .parse()
        .expect("a number")
}

#[tokio::test(flavor = "multi_thread")]
async fn hostile_srtla_harms_no_running_group() {
    let (mut plane, home) = (Plane::start().await, tempfile::tempdir().unwrap());
    let node = start(Config {
        data_threads: DATA_THREADS,
        srtla: Srtla {
            links_per_group_max: 3,
            failures_max: 1,
            ..Srtla::default()
        },
        ..config(&plane, home.path())
    });
    let mut line = plane.welcomed().await;
    assert_eq!(line.direct(Directive::Assign(assignment(1))).await, "");
    let to = SocketAddr::from(([127, 0, 0, 1], line.hello.udp_port as u16));
    let flood = Flood::start(to);
    let attacks = tokio::task::spawn_blocking(move || {
        take_room(to);
        guess(to);
    });
    let streamed = tokio::task::spawn_blocking(move || {
        stream(to, |number, sender| {
            if number == PAYLOADS / 2 {
                // A NAT forgets one of them, in the middle of all that.
                sender.rebind(1);
            }
        });
    });
    streamed.await.unwrap();
    attacks.await.unwrap();
    let (said, answered) = flood.end();
    assert!(said > 100_000, "there was a flood: {said}");
    assert!(answered <= said, "{answered} bytes for {said}");
    for reason in [
        "srtla_malformed",
        "srtla_unknown_link",
        "srtla_not_for_receivers",
    ] {
        let give_up_at = Instant::now() + PATIENCE;
        while dropped(&node, reason).await < 100.0 {
            assert!(Instant::now() < give_up_at, "{reason} is not counted");
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }
    drop(line);
    stop(node).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn one_group_has_links_over_both_versions_of_ip() {
    let (mut plane, home) = (Plane::start().await, tempfile::tempdir().unwrap());
    let node = start(Config {
        listen_udp: SocketAddr::from((Ipv6Addr::UNSPECIFIED, 0)),
        ..config(&plane, home.path())
    });
    let line = plane.welcomed().await;
    let port = line.hello.udp_port as u16;
    let registered = tokio::task::spawn_blocking(move || {
        let four = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        let six = SocketAddr::from((Ipv6Addr::LOCALHOST, port));
        let mut six = Stranger::new(Ipv6Addr::LOCALHOST, six);
        let mut four = Stranger::new(Ipv4Addr::LOCALHOST, four);
        let id = six.id(5);
        for link in [&mut four, &mut six] {
            link.is_answered(&packet::reg2(&id), &packet::REG3);
            let keepalive = packet::keepalive_at(77);
            link.ask(&keepalive, |answer| answer.starts_with(&keepalive));
        }
    });
    registered.await.unwrap();
    drop(line);
    stop(node).await.unwrap();
}
