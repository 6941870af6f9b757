//! A node, asked as people's tools ask.

#![allow(clippy::unwrap_used, reason = "a helper that fails fails its test")]

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use futures_util::StreamExt as _;
use model::session::Role as KeyRole;
use proto::fleet as pb;
use proto::fleet::control_message::Directive;
use serde_json::Value;
use service_kit::Running;
use streamhaul_relay_node::{Config, StatsLimits};
use testkit::asn_database::{self, Dialect};
use testkit::linksim::Impairment;
use testkit::srt_caller::{Caller, Role};
use testkit::srtla_sender::udp::UdpSender;
use testkit::srtla_sender::{KeepAlives, Uplink};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::{self, Message};

use crate::noalbs::{Scene, Server, Triggers};
use crate::node::{config, get, start, stop};
use crate::plane::{Line, Plane, assignment, stream_key};

const LATENCY: Duration = Duration::from_millis(500);
const PATIENCE: Duration = Duration::from_secs(60);
const OK: &str = "HTTP/1.1 200 OK";
const NOT_FOUND: &str = "HTTP/1.1 404 Not Found";

/// A node that holds sessions 1 and 2.
struct House {
    _home: tempfile::TempDir,
    _plane: Plane,
    line: Line,
    node: Running,
    stats: SocketAddr,
}

impl House {
    async fn start(limits: StatsLimits) -> Self {
        let (mut plane, home) = (Plane::start().await, tempfile::tempdir().unwrap());
        let carriers = home.path().join("asn.mmdb");
        let database = asn_database::write(Dialect::GeoLite2Asn, &asn_database::carriers());
        std::fs::write(&carriers, database).unwrap();
        let config = Config {
            stats: limits,
            asn_database: Some(carriers),
            publisher_timeout_seconds: 2,
            ..config(&plane, home.path())
        };
        let stats = config.listen_stats;
        let node = start(config);
        let mut line = plane.welcomed().await;
        for session in [1, 2] {
            assert_eq!(
                line.direct(Directive::Assign(assignment(session))).await,
                ""
            );
        }
        Self {
            _home: home,
            _plane: plane,
            line,
            node,
            stats,
        }
    }

    fn udp(&self) -> SocketAddr {
        SocketAddr::from(([127, 0, 0, 1], self.line.hello.udp_port as u16))
    }

    async fn revoke(&mut self, session: u128) {
        let revoke = pb::Revoke {
            session_id: assignment(session).session_id,
            reason: "requested".into(),
        };
        assert_eq!(self.line.direct(Directive::Revoke(revoke)).await, "");
    }

    /// Asks until the answer is as it should be.
    async fn ask_until(&self, path: &str, is_it: impl Fn(&str) -> bool) -> String {
        let asked = tokio::time::timeout(PATIENCE, async {
            loop {
                let (status, body) = get(self.stats, path).await;
                assert_eq!(status, OK, "{path} {body}");
                if is_it(&body) {
                    return body;
                }
                tokio::time::sleep(Duration::from_millis(250)).await;
            }
        });
        asked.await.unwrap_or_else(|_| panic!("{path}"))
    }
}

fn play_key(session: u128) -> String {
    stream_key(session, KeyRole::Play).expose().into()
}

/// The path of each of NOALBS's servers that are polled.
fn polled(session: u128) -> [(Server, String); 4] {
    let key = play_key(session);
    [
        (Server::Sls, format!("/stats/play_{key}?legacy=1")),
        (Server::OpenIrl, format!("/stats/{key}")),
        (Server::Belabox, format!("/belabox/{key}")),
        (Server::Irlhosting, format!("/irlhosting/{key}")),
    ]
}

/// Publishes a stream of about 2 Mbit/s until it is dropped.
struct Stream {
    stop: Arc<AtomicBool>,
    thread: Option<std::thread::JoinHandle<()>>,
}

impl Stream {
    fn start(to: SocketAddr, session: u128) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = Arc::clone(&stop);
        let live = format!("live_{}", stream_key(session, KeyRole::Publish).expose());
        let thread = std::thread::spawn(move || {
            let mut caller = Caller::connect(to, &live, Role::Publisher, LATENCY).unwrap();
            while !stopped.load(Ordering::Relaxed) {
                caller.send(&[0x47; 1316]).unwrap();
                caller.service().unwrap();
                std::thread::sleep(Duration::from_millis(5));
            }
            caller.shutdown().unwrap();
        });
        Self {
            stop,
            thread: Some(thread),
        }
    }
}

impl Drop for Stream {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn noalbs_sees_a_stream_come_and_go() {
    let house = House::start(StatsLimits::default()).await;
    let low = Triggers {
        low_kbps: Some(1_000_000),
        ..Triggers::default()
    };
    for (server, path) in polled(1) {
        let (status, body) = get(house.stats, &path).await;
        assert_eq!(status, OK, "{body}");
        assert_eq!(server.scene(&body, low), Scene::Offline, "{body}");
    }
    let stream = Stream::start(house.udp(), 1);
    for (server, path) in polled(1) {
        let body = house
            .ask_until(&path, |body| {
                server.scene(body, Triggers::default()) == Scene::Normal
            })
            .await;
        assert_eq!(server.scene(&body, low), Scene::Low, "{body}");
        let figures = server.parse(&body).unwrap();
        assert!(figures.rtt_ms.is_some_and(|rtt| rtt > 0.0), "{body}");
    }
    let (_, legacy) = get(house.stats, &polled(1)[0].1).await;
    let legacy: Value = serde_json::from_str(&legacy).unwrap();
    let publisher = &legacy["publishers"]["live"];
    assert!(publisher["pktRecv"].as_u64() > Some(0), "{publisher}");
    assert_eq!(publisher["latency"], LATENCY.as_millis() as u64);
    let line = house
        .ask_until(&format!("/bitrate/{}", play_key(1)), |line| {
            line.contains("Mbit/s")
        })
        .await;
    assert!(line.contains(" ms") && !line.contains("link"), "{line}");
    let links = get(house.stats, &format!("/links/{}", play_key(1))).await;
    assert_eq!(links.1, r#"{"groups":[]}"#, "it does not bond");
    for (server, path) in polled(2) {
        let (_, body) = get(house.stats, &path).await;
        assert_eq!(server.scene(&body, low), Scene::Offline, "{body}");
    }
    drop(stream);
    for (server, path) in polled(1) {
        let is_offline = |body: &str| server.scene(body, low) == Scene::Offline;
        house.ask_until(&path, is_offline).await;
    }
    stop(house.node).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn the_links_of_a_bonded_stream_are_told() {
    let house = House::start(StatsLimits::default()).await;
    let modem = |ms| Impairment::delayed(Duration::from_millis(ms));
    let uplinks = Uplink::numbered([modem(5), modem(25)]);
    let bonded = UdpSender::start(house.udp(), uplinks, KeepAlives::Extended, 3).unwrap();
    let _stream = Stream::start(bonded.address(), 1);
    let connections = |body: &str| {
        let body: Value = serde_json::from_str(body).unwrap();
        body["groups"][0]["connections"].as_array().cloned()
    };
    let path = format!("/links/{}", play_key(1));
    let both_carry = |body: &str| {
        let carries = |link: &Value| link["share_pct"].as_f64() > Some(0.0);
        connections(body).is_some_and(|all| all.len() == 2 && all.iter().all(carries))
    };
    let links = connections(&house.ask_until(&path, both_carry).await).unwrap();
    for (host, carrier) in [("127.0.1.1:", "T-Mobile"), ("127.0.2.1:", "Verizon")] {
        let comes_from = |link: &&Value| link["addr"].as_str().unwrap().starts_with(host);
        let link = links.iter().find(comes_from).unwrap();
        assert_eq!(link["asn_org"], carrier, "{link}");
        assert_eq!(link["link_type"], "cellular", "{link}");
        assert!(link["bytes"].as_u64() > Some(0), "{link}");
        assert!(link["pkts"].as_u64() > Some(0), "{link}");
        assert!(link["last_ms_ago"].is_u64() && link["uptime_s"].is_u64());
    }
    let path = format!("/stats/{}", play_key(1));
    let two_peers = |body: &str| {
        let body: Value = serde_json::from_str(body).unwrap();
        body["publisher"]["peers"].as_array().map(Vec::len) == Some(2)
    };
    let body = house.ask_until(&path, two_peers).await;
    assert!(Server::OpenIrl.parse(&body).unwrap().rtt_ms.is_some());
    let path = format!("/bitrate/{}", play_key(1));
    let two_links = |line: &str| line.ends_with(" · 2 links\n");
    house.ask_until(&path, two_links).await;
    stop(house.node).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn only_a_play_key_of_a_session_here_is_answered() {
    let mut house = House::start(StatsLimits::default()).await;
    let publish = stream_key(1, KeyRole::Publish);
    let mut answers = Vec::new();
    for kind in ["stats", "belabox", "irlhosting", "links", "bitrate", "ws"] {
        for key in [
            publish.expose(),
            &format!("live_{}", publish.expose()),
            &play_key(3),
            &"0".repeat(31),
            "%00",
            "x",
        ] {
            answers.push(get(house.stats, &format!("/{kind}/{key}")).await);
        }
    }
    answers.push(get(house.stats, "/ws").await);
    let body = r#"{"message":"Invalid player key","status":"error"}"#;
    for answer in answers {
        assert_eq!(answer, (NOT_FOUND.into(), body.into()));
    }
    let path = format!("/stats/{}", play_key(1));
    assert_eq!(get(house.stats, &path).await.0, OK);
    house.revoke(1).await;
    assert_eq!(get(house.stats, &path).await.0, NOT_FOUND);
    let resync = pb::Resync {
        assigned: vec![assignment(1)],
    };
    assert_eq!(house.line.direct(Directive::Resync(resync)).await, "");
    assert_eq!(get(house.stats, &path).await.0, OK);
    let path = format!("/stats/{}", play_key(2));
    assert_eq!(get(house.stats, &path).await.0, NOT_FOUND);
    stop(house.node).await.unwrap();
}

/// The whole answer to a request.
async fn request(to: SocketAddr, head: &str) -> String {
    let mut stream = TcpStream::connect(to).await.unwrap();
    let head = format!("{head}\r\nhost: x\r\nconnection: close\r\n\r\n");
    stream.write_all(head.as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    answer
}

#[tokio::test(flavor = "multi_thread")]
async fn pages_from_anywhere_may_ask_and_nobody_keeps_the_answer() {
    let house = House::start(StatsLimits::default()).await;
    let path = format!("/stats/{}", play_key(1));
    for head in [
        format!("GET {path} HTTP/1.1"),
        "GET /nothing HTTP/1.1".into(),
        format!("OPTIONS {path} HTTP/1.1\r\norigin: https://overlay.example"),
        format!("POST {path} HTTP/1.1\r\ncontent-length: 0"),
    ] {
        let answer = request(house.stats, &head).await;
        assert!(
            answer.contains("access-control-allow-origin: *\r\n"),
            "{answer}"
        );
        assert!(answer.contains("cache-control: no-store\r\n"), "{answer}");
        assert!(!answer.contains("set-cookie"), "{answer}");
    }
    stop(house.node).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_asks_too_often_is_told_when_to_come_again() {
    let house = House::start(StatsLimits {
        requests_per_minute_max: 3,
        ..StatsLimits::default()
    })
    .await;
    let head = format!("GET /stats/{} HTTP/1.1", play_key(1));
    let mut answers = Vec::new();
    for _ in 0..4 {
        answers.push(request(house.stats, &head).await);
    }
    let refused = answers.pop().unwrap();
    assert!(answers.iter().all(|answer| answer.starts_with(OK)));
    assert!(refused.starts_with("HTTP/1.1 429 "), "{refused}");
    let retry = refused
        .lines()
        .find_map(|l| l.strip_prefix("retry-after: "));
    let seconds: u64 = retry.unwrap().parse().unwrap();
    assert!((1..=20).contains(&seconds), "{refused}");
    let metrics = get(house.node.admin_addr(), "/metrics").await.1;
    for series in [
        "streamhaul_relay_stats_requests_total{dialect=\"open_irl\",status=\"200\"} 3",
        "streamhaul_relay_stats_refused_total{reason=\"rate_limited\"} 1",
    ] {
        assert!(metrics.lines().any(|line| line == series), "{metrics}");
    }
    stop(house.node).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn clients_that_only_wait_leave_room_for_others() {
    let house = House::start(StatsLimits {
        connections_max: 4,
        connections_per_source_max: 2,
        ..StatsLimits::default()
    })
    .await;
    let first = TcpStream::connect(house.stats).await.unwrap();
    let _second = TcpStream::connect(house.stats).await.unwrap();
    let mut third = TcpStream::connect(house.stats).await.unwrap();
    assert!(
        !matches!(third.read(&mut [0; 8]).await, Ok(1..)),
        "it is ended without a word"
    );
    let socket = tokio::net::TcpSocket::new_v4().unwrap();
    socket.bind(SocketAddr::from(([127, 0, 0, 2], 0))).unwrap();
    let mut other = socket.connect(house.stats).await.unwrap();
    let head = "GET /health HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n";
    other.write_all(head.as_bytes()).await.unwrap();
    let mut answer = String::new();
    other.read_to_string(&mut answer).await.unwrap();
    assert!(answer.starts_with(OK), "{answer}");
    drop(first);
    let came_back = tokio::time::timeout(PATIENCE, async {
        while !answers(house.stats).await {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    });
    came_back.await.expect("its place is given back");
    stop(house.node).await.unwrap();
}

async fn answers(to: SocketAddr) -> bool {
    let mut stream = TcpStream::connect(to).await.unwrap();
    let head = "GET /health HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n";
    let mut answer = Vec::new();
    // A connection that is ended at once may refuse to be written to.
    let _ = stream.write_all(head.as_bytes()).await;
    let _ = stream.read_to_end(&mut answer).await;
    answer.starts_with(OK.as_bytes())
}

type Socket = tokio_tungstenite::WebSocketStream<TcpStream>;

async fn socket(house: &House, path: &str) -> Result<Socket, tungstenite::Error> {
    let stream = TcpStream::connect(house.stats).await.unwrap();
    let url = format!("ws://{}{path}", house.stats);
    let (socket, _) = tokio_tungstenite::client_async(url, stream).await?;
    Ok(socket)
}

/// Reads until NOALBS would show `scene`; `None` when the node ends the socket.
async fn pushed(socket: &mut Socket, scene: Scene) -> Option<String> {
    let read = tokio::time::timeout(PATIENCE, async {
        loop {
            match socket.next().await {
                Some(Ok(Message::Text(text))) => {
                    if Server::WebSocket.scene(&text, Triggers::default()) == scene {
                        return Some(text.to_string());
                    }
                }
                Some(Ok(Message::Close(_)) | Err(_)) | None => return None,
                Some(Ok(_)) => {}
            }
        }
    });
    read.await.expect("it goes on")
}

#[tokio::test(flavor = "multi_thread")]
async fn noalbs_is_pushed_each_second() {
    let mut house = House::start(StatsLimits {
        sockets_max: 2,
        ..StatsLimits::default()
    })
    .await;
    let key = play_key(1);
    let mut by_path = socket(&house, &format!("/ws/play_{key}")).await.unwrap();
    let mut by_token = socket(&house, &format!("/ws?feed=live&token={key}"))
        .await
        .unwrap();
    pushed(&mut by_path, Scene::Offline).await.unwrap();
    pushed(&mut by_token, Scene::Offline).await.unwrap();
    let full = socket(&house, &format!("/ws/{key}")).await.unwrap_err();
    assert!(
        matches!(&full, tungstenite::Error::Http(answer) if answer.status() == 503),
        "{full}"
    );
    let unknown = socket(&house, &format!("/ws/{}", play_key(3)))
        .await
        .unwrap_err();
    assert!(
        matches!(&unknown, tungstenite::Error::Http(answer) if answer.status() == 404),
        "{unknown}"
    );
    let plain = get(house.stats, &format!("/ws/{key}")).await.0;
    assert!(plain.contains("426"), "{plain}");

    let stream = Stream::start(house.udp(), 1);
    pushed(&mut by_path, Scene::Normal).await.unwrap();
    pushed(&mut by_token, Scene::Normal).await.unwrap();
    drop(stream);
    pushed(&mut by_path, Scene::Offline).await.unwrap();

    futures_util::SinkExt::send(&mut by_token, Message::text("{}"))
        .await
        .unwrap();
    while pushed(&mut by_token, Scene::Low).await.is_some() {}
    house.revoke(1).await;
    while pushed(&mut by_path, Scene::Low).await.is_some() {}
    stop(house.node).await.unwrap();
}
