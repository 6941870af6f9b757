//! A gateway, nodes that report to it, and patience.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use proto::telemetry as pb;
use proto::telemetry::live_client::LiveClient;
use proto::telemetry::telemetry_client::TelemetryClient;
use secrecy::SecretString;
use service_kit::grpc::BearerInterceptor;
use service_kit::{KitConfig, Running};
use streamhaul_metrics_gateway::Config;
use testkit::control_plane::SERVICE_TOKEN;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio_stream::wrappers::ReceiverStream;
use tonic::Status;
use tonic::transport::{Channel, Endpoint};

use crate::fake_api::FakeApi;

/// Far longer than anything takes; only a failing test waits for it.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

pub(crate) struct World {
    pub(crate) http: SocketAddr,
    pub(crate) grpc: SocketAddr,
    admin: SocketAddr,
    running: Running,
    pub(crate) api: FakeApi,
    _token: tempfile::NamedTempFile,
}

/// A node's report stream.
pub(crate) struct Node {
    reports: mpsc::Sender<pb::NodeReport>,
    call: JoinHandle<Result<u64, Status>>,
}

impl World {
    pub(crate) async fn new() -> Self {
        Self::with(Config::default()).await
    }

    pub(crate) async fn with(config: Config) -> Self {
        Self::start(config, PATIENCE).await.unwrap()
    }

    /// Why it is not ready after a while, else.
    pub(crate) async fn start(config: Config, patience: Duration) -> Result<Self, String> {
        let api = FakeApi::start().await;
        let mut token = tempfile::NamedTempFile::new().unwrap();
        writeln!(token, "{SERVICE_TOKEN}").unwrap();
        let (http, grpc) = (free_address(), free_address());
        let config = Config {
            kit: KitConfig {
                grpc: config.kit.grpc.clone(),
                ..KitConfig::with_admin_port(0)
            },
            listen_http: http,
            listen_grpc: grpc,
            service_token_file: token.path().to_owned(),
            api_grpc: api.uri(),
            ..config
        };
        let running =
            service_kit::launch("metrics-gateway", config, streamhaul_metrics_gateway::run);
        let running = running.unwrap();
        let ready = tokio::task::block_in_place(|| running.wait_ready(patience));
        ready.map_err(|error| error.to_string())?;
        Ok(Self {
            http,
            grpc,
            admin: running.admin_addr(),
            running,
            api,
            _token: token,
        })
    }

    pub(crate) fn node(&self, credential: &str) -> Node {
        let endpoint = Endpoint::from_shared(format!("http://{}", self.grpc)).unwrap();
        let channel: Channel = endpoint.connect_lazy();
        let bearer = BearerInterceptor::new(&SecretString::from(credential)).unwrap();
        let mut client = TelemetryClient::with_interceptor(channel, bearer);
        let (reports, receiver) = mpsc::channel(4);
        let call = tokio::spawn(async move {
            let summary = client.report(ReceiverStream::new(receiver)).await?;
            Ok(summary.into_inner().reports)
        });
        Node { reports, call }
    }

    /// What the gateway tells a service that presents `token`.
    pub(crate) async fn newest_links(
        &self,
        token: &str,
        session: &str,
    ) -> Result<pb::NewestLinksResponse, Status> {
        let endpoint = Endpoint::from_shared(format!("http://{}", self.grpc)).unwrap();
        let bearer = BearerInterceptor::new(&SecretString::from(token)).unwrap();
        let mut client = LiveClient::with_interceptor(endpoint.connect_lazy(), bearer);
        let session_id = session.to_owned();
        let request = pb::NewestLinksRequest { session_id };
        Ok(client.newest_links(request).await?.into_inner())
    }

    /// One request to a listener, and all of its answer.
    pub(crate) fn get(&self, path: &str, headers: &str) -> String {
        exchange(self.http, path, headers)
    }

    pub(crate) fn metrics(&self) -> String {
        exchange(self.admin, "/metrics", "")
    }

    /// Waits until a line is among the metrics.
    pub(crate) async fn shows(&self, line: &str) {
        until(async || {
            let metrics = self.metrics();
            metrics.lines().any(|shown| shown == line).then_some(())
        })
        .await;
    }
}

impl Drop for World {
    fn drop(&mut self) {
        self.running.shutdown();
    }
}

impl Node {
    pub(crate) async fn send(&self, report: pb::NodeReport) {
        // A stream that was refused is closed: the test looks at its end.
        let _ = self.reports.send(report).await;
    }

    pub(crate) async fn end(self) -> Result<u64, Status> {
        drop(self.reports);
        self.call.await.unwrap()
    }
}

fn exchange(address: SocketAddr, path: &str, headers: &str) -> String {
    let mut stream = TcpStream::connect(address).unwrap();
    let request = format!("GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n{headers}\r\n");
    stream.write_all(request.as_bytes()).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer
}

fn free_address() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    listener.local_addr().unwrap()
}

pub(crate) fn now_ms() -> i64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    i64::try_from(now.as_millis()).unwrap()
}

/// One second of node 1, which holds one session with `players` players.
pub(crate) fn report(session: &str, observed_at_ms: i64, players: usize) -> pb::NodeReport {
    let bytes = u64::try_from(observed_at_ms).unwrap();
    let player = pb::PlayerSample {
        bytes_total: bytes,
        uptime_ms: bytes,
        ..Default::default()
    };
    pb::NodeReport {
        node_id: "nod_1".to_owned(),
        boot_id: "boot".to_owned(),
        observed_at_unix_ms: observed_at_ms,
        node: Some(pb::NodeSample {
            ingress_bytes_total: bytes,
            egress_bytes_total: 2 * bytes,
            publishers: 1,
            players: u32::try_from(players).unwrap(),
            ..Default::default()
        }),
        sessions: vec![pb::SessionSample {
            session_id: session.to_owned(),
            publishing: true,
            publisher: Some(pb::PublisherSample {
                bytes_total: bytes,
                uptime_ms: bytes,
                rtt_us: 40_000,
                ..Default::default()
            }),
            players: vec![player; players],
            links: Vec::new(),
        }],
    }
}

/// A second of one link, named so that it can be found again.
pub(crate) fn link(number: u64) -> pb::LinkSample {
    pb::LinkSample {
        number,
        address: format!("127.0.{number}.1:40000"),
        carrier: Some(format!("Carrier {number}")),
        asn: Some(64_500),
        link_type: pb::LinkType::Cellular.into(),
        last_second: Some(pb::LinkWindow {
            bitrate_bps: number * 1_000_000,
            ..Default::default()
        }),
        ..Default::default()
    }
}

/// Asks again until there is an answer.
pub(crate) async fn until<T>(mut ask: impl AsyncFnMut() -> Option<T>) -> T {
    let started = Instant::now();
    loop {
        if let Some(answer) = ask().await {
            return answer;
        }
        assert!(started.elapsed() < PATIENCE, "it never happened");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}
