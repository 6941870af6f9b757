//! Nodes that call: each other, and listeners of libsrt's own.
//!
//! Needs `srt-live-transmit` (Debian: `srt-tools`) and `ffmpeg`.

#![allow(clippy::unwrap_used, reason = "a helper that fails fails its test")]

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, UdpSocket};
use std::path::Path;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::time::Duration;

use model::session::Role as KeyRole;
use proto::fleet as pb;
use proto::fleet::control_message::Directive;
use proto::fleet::node_message::Message;
use service_kit::Running;
use streamhaul_relay_node::Remotes;
use tempfile::TempDir;
use testkit::srt_caller::{Caller, Role};

use crate::node::{config, start, stop};
use crate::plane::{Line, Plane, assignment, stream_key};

/// Long: the machine may be busy, and nothing here is about time.
pub(crate) const LATENCY: Duration = Duration::from_secs(2);
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);
pub(crate) const PAYLOAD: usize = 1316;

/// A node with its control plane; it may push to this machine.
pub(crate) struct Relay {
    node: Running,
    line: Line,
    _plane: Plane,
    _home: TempDir,
}

impl Relay {
    pub(crate) async fn start() -> Self {
        let remotes = Remotes {
            push_private_allowed: true,
            ..Remotes::default()
        };
        Self::start_with(remotes).await
    }

    async fn start_with(remotes: Remotes) -> Self {
        let (mut plane, home) = (Plane::start().await, tempfile::tempdir().expect("a home"));
        let mut config = config(&plane, home.path());
        config.remotes = remotes;
        // It does not come back.
        config.resume_seconds = 0;
        let node = start(config);
        let line = plane.welcomed().await;
        Self {
            node,
            line,
            _plane: plane,
            _home: home,
        }
    }

    pub(crate) fn port(&self) -> u16 {
        self.line.hello.udp_port as u16
    }

    pub(crate) async fn assign(&mut self, assignment: pb::AssignLease) {
        let acknowledged = self.line.direct(Directive::Assign(assignment)).await;
        assert_eq!(acknowledged, "");
    }

    /// Waits until so many publishers and players are connected.
    pub(crate) async fn connected(&mut self, publishers: u32, players: u32) {
        loop {
            let beat = self.line.heartbeat().await;
            if (beat.publishers, beat.players) == (publishers, players) {
                return;
            }
        }
    }

    /// Waits until its session is published, by a remote that it pulls or by a caller.
    async fn published(&mut self, pulled: bool) {
        loop {
            let beat = self.line.heartbeat().await;
            let is_published = !beat.publishing_session_ids.is_empty();
            if is_published && beat.traffic.iter().all(|it| it.pulled == pulled) {
                return;
            }
        }
    }

    /// Waits for what happened to a session.
    pub(crate) async fn event(&mut self, kind: pb::SessionEventKind) -> String {
        loop {
            if let Message::Event(event) = self.line.message().await
                && event.kind() == kind
            {
                return event.reason;
            }
        }
    }

    pub(crate) async fn stop(self) {
        stop(self.node).await.expect("it ends well");
    }
}

pub(crate) fn remote(port: u16, stream_id: String) -> pb::Remote {
    pb::Remote {
        host: "127.0.0.1".into(),
        port: port.into(),
        stream_id,
        latency_ms: 0,
        passphrase: String::new(),
        key_length: 0,
    }
}

pub(crate) fn live(session: u128) -> String {
    format!("live_{}", stream_key(session, KeyRole::Publish).expose())
}

pub(crate) fn play(session: u128) -> String {
    format!("play_{}", stream_key(session, KeyRole::Play).expose())
}

pub(crate) async fn connect(port: u16, stream_id: String, role: Role) -> Caller {
    let to = SocketAddr::from(([127, 0, 0, 1], port));
    let call = move || Caller::connect(to, &stream_id, role, LATENCY).expect("admitted");
    let called = tokio::task::spawn_blocking(call).await;
    called.expect("no panic")
}

pub(crate) fn payload(number: u32) -> Vec<u8> {
    number.to_be_bytes().repeat(PAYLOAD / 4)
}

/// Sends so many payloads, at some 5 Mbit/s.
fn publish(publisher: &mut Caller, payloads: u32) {
    for number in 0..payloads {
        publisher.send(&payload(number)).expect("sent");
        std::thread::sleep(Duration::from_millis(2));
    }
}

/// A port that nobody has at the moment.
fn free_port() -> u16 {
    let socket = UdpSocket::bind("127.0.0.1:0").expect("a free port");
    socket.local_addr().expect("bound").port()
}

/// A program, killed when dropped.
struct Program(Child);

impl Program {
    fn run(command: &mut Command) -> Self {
        let child = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn();
        Self(child.expect("srt-tools and ffmpeg must be installed"))
    }

    fn srt_live_transmit(from: &str, to: &str) -> Self {
        let arguments = ["-q", "-chunk:1316", from, to];
        Self::run(Command::new("srt-live-transmit").args(arguments))
    }

    fn ffmpeg(arguments: &[&str]) -> Self {
        Self::run(Command::new("ffmpeg").arg("-nostdin").args(arguments))
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_pulls_from_another() {
    let (mut first, mut second) = (Relay::start().await, Relay::start().await);
    first.assign(assignment(1)).await;
    let mut publisher = connect(first.port(), live(1), Role::Publisher).await;
    let mut pulled = assignment(2);
    pulled.pull = Some(remote(first.port(), play(1)));
    second.assign(pulled).await;
    second.connected(1, 0).await;
    let mut player = connect(second.port(), play(2), Role::Player).await;
    let whole = tokio::task::spawn_blocking(move || {
        for number in 0..500 {
            publisher.send(&payload(number)).expect("sent");
            let received = player.receive(PATIENCE).expect("a working socket");
            assert_eq!(received.expect("relayed").bytes, payload(number));
        }
    });
    whole.await.unwrap();
    first.stop().await;
    assert_eq!(
        second.event(pb::SessionEventKind::PublisherGone).await,
        "closed"
    );
    second.stop().await;
}

/// Sends payloads of these numbers and reads them at the other end, each at once.
async fn pass(
    mut publisher: Caller,
    mut player: Caller,
    numbers: std::ops::Range<u32>,
) -> (Caller, Caller) {
    let passed = tokio::task::spawn_blocking(move || {
        for number in numbers {
            publisher.send(&payload(number)).expect("sent");
            let received = player.receive(PATIENCE).expect("a working socket");
            assert_eq!(received.expect("relayed").bytes, payload(number));
        }
        (publisher, player)
    });
    passed.await.expect("no panic")
}

/// What the control plane does when a stream moves, as the nodes are told of it.
#[tokio::test(flavor = "multi_thread")]
async fn a_player_misses_nothing_when_the_publisher_follows_its_stream() {
    let (mut old, mut new) = (Relay::start().await, Relay::start().await);
    old.assign(assignment(1)).await;
    let publisher = connect(old.port(), live(1), Role::Publisher).await;
    let mut moving = assignment(1);
    moving.pull = Some(remote(old.port(), play(1)));
    new.assign(moving).await;
    new.published(true).await;
    let player = connect(new.port(), play(1), Role::Player).await;
    let (publisher, player) = pass(publisher, player, 0..300).await;

    // It calls the new node before it leaves the old one, and takes over from the pull.
    let followed = connect(new.port(), live(1), Role::Publisher).await;
    new.published(false).await;
    drop(publisher);
    let (followed, player) = pass(followed, player, 300..600).await;
    new.assign(assignment(1)).await;
    old.stop().await;
    pass(followed, player, 600..900).await;
    new.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_pushes_to_a_libsrt_listener() {
    push_to_libsrt("", "", 0).await;
}

/// A node pushes to a libsrt listener with these options, which plays what was sent.
pub(crate) async fn push_to_libsrt(options: &str, passphrase: &str, key_length: u32) {
    const PAYLOADS: u32 = 500;
    let port = free_port();
    let from = format!("srt://127.0.0.1:{port}?mode=listener&latency=200{options}");
    let mut listener = Program::srt_live_transmit(&from, "file://con");
    let mut relay = Relay::start().await;
    let mut pushed = assignment(1);
    pushed.push = vec![pb::Remote {
        passphrase: passphrase.into(),
        key_length,
        ..remote(port, "live_elsewhere".into())
    }];
    relay.assign(pushed).await;
    let mut publisher = connect(relay.port(), live(1), Role::Publisher).await;
    relay.connected(1, 1).await;
    let mut output = listener.0.stdout.take().unwrap();
    let read = tokio::task::spawn_blocking(move || {
        let mut bytes = vec![0; PAYLOAD * PAYLOADS as usize];
        output.read_exact(&mut bytes).expect("all of it");
        bytes
    });
    let sent = tokio::task::spawn_blocking(move || {
        // The program keeps its last ones to itself until it has enough to write.
        publish(&mut publisher, PAYLOADS + 100);
        // What the listener missed is asked for until then.
        let _ = publisher.receive(Duration::from_secs(3));
    });
    let bytes = tokio::time::timeout(PATIENCE, read).await;
    let bytes = bytes.expect("the listener plays in time").unwrap();
    let expected: Vec<u8> = (0..PAYLOADS).flat_map(payload).collect();
    assert!(bytes == expected, "what arrived is not what was sent");
    sent.await.unwrap();
    relay.stop().await;
}

/// Feeds numbered payloads for as long as the program lives: it throws away
/// what it reads while nobody is connected.
fn feed(mut input: ChildStdin) {
    std::thread::spawn(move || {
        let mut numbers = 0..;
        while numbers
            .next()
            .is_some_and(|number| input.write_all(&payload(number)).is_ok())
        {
            std::thread::sleep(Duration::from_millis(5));
        }
    });
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_pulls_from_a_libsrt_listener() {
    pull_from_libsrt("", "", 0, 300).await;
}

/// A node pulls from a libsrt listener with these options, and its player gets so many
/// payloads in a row.
pub(crate) async fn pull_from_libsrt(
    options: &str,
    passphrase: &str,
    key_length: u32,
    payloads: u32,
) {
    let port = free_port();
    let to = format!("srt://127.0.0.1:{port}?mode=listener&latency=1000{options}");
    let mut source = Program::srt_live_transmit("file://con", &to);
    feed(source.0.stdin.take().unwrap());
    let mut relay = Relay::start().await;
    let mut pulled = assignment(1);
    pulled.pull = Some(pb::Remote {
        passphrase: passphrase.into(),
        key_length,
        ..remote(port, String::new())
    });
    relay.assign(pulled).await;
    relay.connected(1, 0).await;
    let mut player = connect(relay.port(), play(1), Role::Player).await;
    assert!(
        player.agreed_latency().send_ms >= 1060,
        "the source's and a margin"
    );
    let whole = tokio::task::spawn_blocking(move || {
        let mut next = || {
            let received = player.receive(PATIENCE).expect("a working socket");
            let bytes = received.expect("pulled").bytes;
            let number = u32::from_be_bytes(bytes[..4].try_into().unwrap());
            assert_eq!(bytes, payload(number));
            number
        };
        let first = next();
        let numbers: Vec<_> = (0..payloads).map(|_| next()).collect();
        assert_eq!(numbers, (first + 1..=first + payloads).collect::<Vec<_>>());
    });
    whole.await.unwrap();
    drop(source);
    relay.stop().await;
}

/// The hashes of a `framemd5` file, in order: the sixth column.
fn frames(path: &Path) -> Vec<String> {
    let text = std::fs::read_to_string(path).expect("ffmpeg wrote it");
    let lines = text.lines().filter(|line| !line.starts_with('#'));
    let hash = |line: &str| line.split(',').nth(5).unwrap_or_default().trim().to_owned();
    lines.map(hash).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_ffmpeg_sends_is_what_ffmpeg_gets_behind_two_nodes() {
    const FRAMES: usize = 100;
    let home = tempfile::tempdir().unwrap();
    let (sent, got) = (home.path().join("sent"), home.path().join("got"));
    let (mut first, mut second) = (Relay::start().await, Relay::start().await);
    first.assign(assignment(1)).await;
    let mut pulled = assignment(2);
    pulled.pull = Some(remote(first.port(), play(1)));
    let url = |port: u16, id: String| {
        format!("srt://127.0.0.1:{port}?streamid={id}&latency=2000000&pkt_size=1316")
    };
    let tee = format!(
        "[f=mpegts]{}|[f=framemd5:flush_packets=1]{}",
        url(first.port(), live(1)),
        sent.display()
    );
    let source = "testsrc2=size=320x240:rate=25:duration=60";
    let encoder = Program::ffmpeg(&[
        "-re",
        "-f",
        "lavfi",
        "-i",
        source,
        "-c:v",
        "mpeg2video",
        "-b:v",
        "1M",
        "-map",
        "0:v",
        "-flush_packets",
        "1",
        "-f",
        "tee",
        &tee,
    ]);
    first.connected(1, 0).await;
    second.assign(pulled).await;
    second.connected(1, 0).await;
    let frames_max = FRAMES.to_string();
    let input = url(second.port(), play(2));
    let mut player = Program::ffmpeg(&[
        "-i",
        &input,
        "-c",
        "copy",
        "-map",
        "0:v",
        "-frames:v",
        &frames_max,
        "-f",
        "framemd5",
        &got.display().to_string(),
    ]);
    let played = tokio::task::spawn_blocking(move || player.0.wait());
    let played = tokio::time::timeout(Duration::from_secs(60), played).await;
    assert!(
        played
            .expect("it plays in time")
            .unwrap()
            .unwrap()
            .success()
    );
    drop(encoder);
    let (sent, got) = (frames(&sent), frames(&got));
    assert_eq!(got.len(), FRAMES);
    // The first frame may have been joined in its middle.
    let start = sent.iter().position(|frame| *frame == got[1]);
    let start = start.expect("a frame that was sent");
    assert_eq!(got[1..], sent[start..start + FRAMES - 1]);
    first.stop().await;
    second.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_called_is_reported() {
    let mut relay = Relay::start_with(Remotes::default()).await;
    let mut pulled = assignment(1);
    pulled.pull = Some(remote(relay.port(), play(9)));
    relay.assign(pulled).await;
    let reason = relay.event(pb::SessionEventKind::PullFailed).await;
    assert_eq!(reason, "rejected_unauthorized");
    let mut pushed = assignment(2);
    pushed.push = vec![remote(free_port(), String::new())];
    relay.assign(pushed).await;
    let publisher = connect(relay.port(), live(2), Role::Publisher).await;
    let reason = relay.event(pb::SessionEventKind::PushFailed).await;
    assert_eq!(reason, "forbidden_address", "this machine is private");
    drop(publisher);
    let mut malformed = assignment(3);
    malformed.pull = Some(remote(0, String::new()));
    let acknowledged = relay.line.direct(Directive::Assign(malformed)).await;
    assert_eq!(acknowledged, "malformed_remote");
    relay.stop().await;
}
