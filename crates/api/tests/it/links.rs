//! The links of a session, as its user sees them and nobody else.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use proto::telemetry as pb;
use proto::telemetry::live_server::{Live, LiveServer};
use serde_json::json;
use tokio::net::TcpListener;
use tokio_util::sync::{CancellationToken, DropGuard};
use tonic::transport::Server;
use tonic::transport::server::TcpIncoming;
use tonic::{Request, Response, Status};

use crate::house::{ADMIN, House, SERVICE, eventually};
use crate::node;

const ADDRESS: &str = "203.0.113.7:40912";
const ACTIVE: &str = "/api/v1/relay/active";

/// A gateway that knows one answer.
#[derive(Clone, Default)]
struct Gateway {
    answer: Arc<Mutex<pb::NewestLinksResponse>>,
    asked: Arc<AtomicUsize>,
}

#[tonic::async_trait]
impl Live for Gateway {
    async fn newest_links(
        &self,
        request: Request<pb::NewestLinksRequest>,
    ) -> Result<Response<pb::NewestLinksResponse>, Status> {
        if service_kit::grpc::bearer(request.metadata()) != Some(SERVICE) {
            return Err(Status::unauthenticated("not the service token"));
        }
        assert!(request.into_inner().session_id.starts_with("ses_"));
        self.asked.fetch_add(1, Ordering::SeqCst);
        Ok(Response::new(self.answer.lock().unwrap().clone()))
    }
}

impl Gateway {
    async fn serve(&self) -> (SocketAddr, DropGuard) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let stop = CancellationToken::new();
        let server = Server::builder()
            .add_service(LiveServer::new(self.clone()))
            .serve_with_incoming_shutdown(
                TcpIncoming::from(listener),
                stop.clone().cancelled_owned(),
            );
        tokio::spawn(server);
        (address, stop.drop_guard())
    }

    fn says(&self, age_ms: u64, silent_ms: &[u64]) {
        let links = silent_ms.iter().zip(1..);
        let links = links.map(|(silent_ms, number)| link(number, *silent_ms));
        *self.answer.lock().unwrap() = pb::NewestLinksResponse {
            observed_at_unix_ms: Some(1_763_700_000_000),
            age_ms,
            links: links.collect(),
        };
    }
}

fn link(number: u64, silent_ms: u64) -> pb::LinkSample {
    pb::LinkSample {
        number,
        address: ADDRESS.to_owned(),
        carrier: Some("Example Mobile".to_owned()),
        asn: Some(64_500),
        link_type: pb::LinkType::Cellular.into(),
        uptime_ms: 341_000,
        silent_ms,
        total: Some(pb::LinkTally {
            bytes: 1_316_000,
            packets: 1_000,
            ..Default::default()
        }),
        last_second: Some(pb::LinkWindow {
            bitrate_bps: 2_100_000,
            share_permille: 342,
            ..Default::default()
        }),
        ..Default::default()
    }
}

async fn house(gateway: SocketAddr) -> House {
    House::with(|config| config.gateway_grpc = format!("http://{gateway}")).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_user_sees_the_links_of_their_session() {
    let gateway = Gateway::default();
    let (address, _serving) = gateway.serve().await;
    let house = house(address).await;
    let (_, _node) = node::joined(&house, "one", 10).await;
    let mine = house.user("me").await;
    assert_eq!(house.start(&mine, "cam1").await.status, 201);
    gateway.says(200, &[12]);

    let active = house.get(&mine, ACTIVE).await;
    let per_link = &active.body["per_link"];
    assert_eq!(per_link["observed_at"], 1_763_700_000_000_i64);
    let link = &per_link["connections"][0];
    // What the plugin reads.
    assert_eq!(link["addr"], ADDRESS);
    assert_eq!(link["asn_org"], "Example Mobile");
    assert_eq!(link["bytes"], 1_316_000);
    assert_eq!(link["pkts"], 1_000);
    assert_eq!(link["share_pct"], 34.2);
    assert_eq!(link["uptime_s"], 341);
    assert!(link["last_ms_ago"].as_u64().unwrap() >= 212, "aged: {link}");
    // What it could read besides.
    assert_eq!(link["link_type"], "cellular");
    assert_eq!(link["bitrate_bps"], 2_100_000);
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_else_sees_an_address() {
    let gateway = Gateway::default();
    let (address, _serving) = gateway.serve().await;
    let house = house(address).await;
    let (_, _node) = node::joined(&house, "one", 10).await;
    let (mine, other) = (house.user("me").await, house.user("other").await);
    house.start(&mine, "cam1").await;
    gateway.says(0, &[0]);
    assert!(
        house
            .get(&mine, ACTIVE)
            .await
            .body
            .to_string()
            .contains(ADDRESS)
    );

    let theirs = house.get(&other, ACTIVE).await;
    assert_eq!((theirs.status, theirs.body), (204, json!(null)));
    let by_name = house
        .get(&other, "/api/v1/relay/active?connection_id=cam1")
        .await;
    assert_eq!(by_name.status, 204);
    // The operator's token is a user of its own here, and sees its own sessions only.
    for path in [
        ACTIVE,
        "/api/v1/relay/sessions",
        "/api/v1/dock/connections",
        "/api/v1/ops/nodes",
        "/api/v1/ops/users",
    ] {
        for token in [ADMIN, &other] {
            let shown = house.get(token, path).await.body.to_string();
            assert!(!shown.contains("203.0.113.7"), "{path}: {shown}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn links_that_are_old_are_gone() {
    let gateway = Gateway::default();
    let (address, _serving) = gateway.serve().await;
    let house = house(address).await;
    let (_, _node) = node::joined(&house, "one", 10).await;
    house.start(ADMIN, "cam1").await;
    gateway.says(8_000, &[3_000, 0]);
    let active = house.get(ADMIN, ACTIVE).await;
    let links = active.body["per_link"]["connections"]
        .as_array()
        .unwrap()
        .clone();
    let numbers: Vec<_> = links.iter().map(|link| &link["number"]).collect();
    assert_eq!(numbers, [2], "silent for eleven seconds, and for eight");
}

#[tokio::test(flavor = "multi_thread")]
async fn many_questions_in_a_moment_are_few_to_the_gateway() {
    const QUESTIONS: usize = 50;
    let gateway = Gateway::default();
    let (address, _serving) = gateway.serve().await;
    let house = house(address).await;
    let (_, _node) = node::joined(&house, "one", 10).await;
    house.start(ADMIN, "cam1").await;
    gateway.says(0, &[0]);
    let started = std::time::Instant::now();
    for _ in 0..QUESTIONS {
        let active = house.get(ADMIN, ACTIVE).await;
        assert_eq!(active.body["per_link"]["connections"][0]["number"], 1);
    }
    let seconds = started.elapsed().as_secs_f64().ceil() as usize;
    let asked = gateway.asked.load(Ordering::SeqCst);
    assert!((1..=seconds + 1).contains(&asked), "{asked} in {seconds} s");
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_gateway_there_are_no_links_and_no_error() {
    let gateway = Gateway::default();
    let (address, serving) = gateway.serve().await;
    let house = house(address).await;
    let (_, _node) = node::joined(&house, "one", 10).await;
    house.start(ADMIN, "cam1").await;
    gateway.says(0, &[0]);
    let links = async || {
        let active = house.get(ADMIN, ACTIVE).await;
        assert_eq!(active.status, 200);
        active.body["per_link"]["connections"]
            .as_array()
            .unwrap()
            .len()
    };
    assert_eq!(links().await, 1);
    drop(serving);
    eventually("without links", async || links().await == 0).await;
}
