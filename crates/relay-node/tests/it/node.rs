//! A node on ports nobody uses.

use std::net::{SocketAddr, TcpListener, UdpSocket};
use std::path::Path;
use std::time::Duration;

use service_kit::{KitConfig, Running};
use streamhaul_relay_node::Config;

use crate::plane::{JOIN_TOKEN, Plane};

const PATIENCE: Duration = Duration::from_secs(20);

/// A configuration for a node of `plane` with its state in `home`.
pub(crate) fn config(plane: &Plane, home: &Path) -> Config {
    let any = SocketAddr::from(([127, 0, 0, 1], 0));
    let mut kit = KitConfig::with_admin_port(0);
    kit.admin.listen = any;
    Config {
        kit,
        listen_udp: any,
        listen_publish: any,
        listen_play: any,
        listen_stats: free_tcp(),
        state_dir: home.join("state"),
        join_token: Some(JOIN_TOKEN.into()),
        api_grpc: plane.url(),
        ..Config::default()
    }
}

pub(crate) fn start(config: Config) -> Running {
    service_kit::launch("relay-node", config, streamhaul_relay_node::run).expect("it launches")
}

/// Waits without holding up the test's runtime.
pub(crate) async fn ready(node: Running) -> Running {
    let waited = tokio::task::spawn_blocking(move || {
        node.wait_ready(PATIENCE).expect("ready in time");
        node
    });
    waited.await.expect("no panic")
}

pub(crate) async fn stop(node: Running) -> anyhow::Result<()> {
    node.shutdown();
    ended(node).await
}

pub(crate) async fn ended(node: Running) -> anyhow::Result<()> {
    tokio::task::spawn_blocking(move || node.join())
        .await
        .expect("no panic")
}

/// A request to one of the node's HTTP listeners: status line and body.
pub(crate) async fn get(address: SocketAddr, path: &str) -> (String, String) {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    let mut stream = tokio::net::TcpStream::connect(address)
        .await
        .expect("it listens");
    let request = format!("GET {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n");
    stream
        .write_all(request.as_bytes())
        .await
        .expect("it reads");
    let mut response = String::new();
    stream
        .read_to_string(&mut response)
        .await
        .expect("it answers");
    let (head, body) = response.split_once("\r\n\r\n").expect("a whole response");
    (head.lines().next().unwrap_or_default().into(), body.into())
}

fn free_tcp() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    listener.local_addr().expect("bound")
}

pub(crate) fn free_udp() -> SocketAddr {
    taken_udp().local_addr().expect("bound")
}

/// A port that nobody else gets while it is held.
pub(crate) fn taken_udp() -> UdpSocket {
    UdpSocket::bind("127.0.0.1:0").expect("a free port")
}
