//! Messages to tenants' endpoints, as an endpoint sees them.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::mpsc::{self, Receiver};
use std::thread;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit as _, Mac as _};
use model::job::JobState;
use proto::fleet::webhooks_server::{Webhooks, WebhooksServer};
use proto::fleet::{SignWebhookRequest, SignWebhookResponse};
use secrecy::SecretString;
use serde_json::json;
use service_kit::GrpcConfig;
use sha2::Sha256;
use storage::queue::NewJob;
use streamhaul_jobs::job::Registry;
use streamhaul_jobs::jobs::DeliverWebhook;
use streamhaul_jobs::{Courier, Signer};
use testkit::control_plane::SERVICE_TOKEN;
use tokio_util::sync::{CancellationToken, DropGuard};
use tonic::transport::Server;
use tonic::transport::server::TcpIncoming;
use tonic::{Request, Response, Status};

use crate::world::{PATIENCE, World, settings};

const SECRET: &[u8] = b"what the endpoint knows us by...";
const BODY: &str = r#"{"type":"session.up"}"#;

fn signature(id: &str, timestamp: &str, body: &str) -> String {
    let mut mac = Hmac::<Sha256>::new_from_slice(SECRET).unwrap();
    mac.update(format!("{id}.{timestamp}.{body}").as_bytes());
    format!("v1,{}", STANDARD.encode(mac.finalize().into_bytes()))
}

/// Signs for one endpoint.
struct Signing(String);

#[tonic::async_trait]
impl Webhooks for Signing {
    async fn sign_webhook(
        &self,
        request: Request<SignWebhookRequest>,
    ) -> Result<Response<SignWebhookResponse>, Status> {
        let request = request.into_inner();
        if request.webhook_id != "whk_1" {
            return Err(Status::not_found("no such webhook"));
        }
        Ok(Response::new(SignWebhookResponse {
            url: self.0.clone(),
            timestamp_unix: 1_763_700_000,
            signature: signature(&request.message_id, "1763700000", &request.body),
        }))
    }
}

async fn signing(url: String) -> (Signer, DropGuard) {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let uri = format!("http://{}", listener.local_addr().unwrap());
    let stop = CancellationToken::new();
    let server = Server::builder()
        .add_service(WebhooksServer::new(Signing(url)))
        .serve_with_incoming_shutdown(TcpIncoming::from(listener), stop.clone().cancelled_owned());
    tokio::spawn(server);
    let signer = Signer::new(
        (&GrpcConfig::default(), &uri),
        &SecretString::from(SERVICE_TOKEN),
    )
    .unwrap();
    (signer, stop.drop_guard())
}

/// What an endpoint was sent.
struct Received {
    headers: Vec<(String, String)>,
    body: String,
}

impl Received {
    fn header(&self, name: &str) -> &str {
        let found = self.headers.iter().find(|(other, _)| other == name);
        &found.unwrap().1
    }
}

/// An endpoint that gives these answers, one a request.
fn endpoint(answers: &'static [&'static str]) -> (SocketAddr, Receiver<Received>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let (sender, receiver) = mpsc::channel();
    thread::spawn(move || {
        for answer in answers {
            let (stream, _) = listener.accept().unwrap();
            let received = receive(&stream);
            let head =
                format!("HTTP/1.1 {answer}\r\ncontent-length: 0\r\nconnection: close\r\n\r\n");
            (&stream).write_all(head.as_bytes()).unwrap();
            if sender.send(received).is_err() {
                return;
            }
        }
    });
    (address, receiver)
}

fn receive(stream: &TcpStream) -> Received {
    let mut reader = BufReader::new(stream);
    let mut headers = Vec::new();
    loop {
        let mut line = String::new();
        reader.read_line(&mut line).unwrap();
        if line.trim().is_empty() {
            break;
        }
        if let Some((name, value)) = line.split_once(": ") {
            headers.push((name.to_lowercase(), value.trim().to_owned()));
        }
    }
    let mut received = Received {
        headers,
        body: String::new(),
    };
    let length: usize = received.header("content-length").parse().unwrap();
    let mut body = vec![0; length];
    reader.read_exact(&mut body).unwrap();
    received.body = String::from_utf8(body).unwrap();
    received
}

fn job(webhook: &str) -> NewJob {
    NewJob {
        queue: DeliverWebhook::QUEUE.to_owned(),
        arguments: json!({"webhook_id": webhook, "message_id": "msg_1", "body": BODY}),
        ..NewJob::new(DeliverWebhook::KIND)
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_message_is_signed_and_brought_again_until_it_is_taken() {
    let world = World::new().await;
    let (address, received) = endpoint(&["500 No", "204 Yes"]);
    let (signer, _signing) = signing(format!("http://{address}/hooks")).await;
    let deliver = DeliverWebhook::new(signer, Courier::new(true));
    let engine = world.engine(Registry::default().with(deliver), settings());
    let id = world.enqueue(job("whk_1")).await;
    world.wait_for(id, JobState::Completed).await;
    engine.stop().await;
    for _ in 0..2 {
        let it = received.recv_timeout(PATIENCE).unwrap();
        assert_eq!(it.body, BODY);
        assert_eq!(it.header("webhook-id"), "msg_1");
        let expected = signature("msg_1", it.header("webhook-timestamp"), &it.body);
        assert_eq!(it.header("webhook-signature"), expected);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn redirects_and_private_addresses_are_not_followed() {
    let world = World::new().await;
    let (address, received) = endpoint(&["302 There\r\nlocation: /elsewhere", "204 Yes"]);
    let (signer, _signing) = signing(format!("http://{address}/hooks")).await;
    let once = || NewJob {
        attempts_max: 1,
        ..job("whk_1")
    };
    for private_allowed in [true, false] {
        let deliver = DeliverWebhook::new(signer.clone(), Courier::new(private_allowed));
        let engine = world.engine(Registry::default().with(deliver), settings());
        let id = world.enqueue(once()).await;
        world.wait_for(id, JobState::Discarded).await;
        engine.stop().await;
    }
    assert!(
        received.recv_timeout(PATIENCE).is_ok(),
        "the first was asked"
    );
    assert!(received.try_recv().is_err(), "and nobody else");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_message_to_an_endpoint_that_was_removed_is_done_with() {
    let world = World::new().await;
    let (signer, _signing) = signing("http://127.0.0.1:9/".to_owned()).await;
    let deliver = DeliverWebhook::new(signer, Courier::new(true));
    let engine = world.engine(Registry::default().with(deliver), settings());
    let id = world.enqueue(job("whk_gone")).await;
    world.wait_for(id, JobState::Completed).await;
    engine.stop().await;
}
