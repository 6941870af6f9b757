//! An app that sends events, as the published SDK does and otherwise.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};

use hmac::{Hmac, KeyInit, Mac};
use jiff::Timestamp;
use proto::telemetry as pb;
use proto::telemetry::apps_client::AppsClient;
use secrecy::SecretString;
use serde_json::{Value, json};
use service_kit::grpc::BearerInterceptor;
use sha2::Sha256;
use streamhaul_metrics_gateway::{Config, EventsConfig, QueriesConfig};
use testkit::control_plane::SERVICE_TOKEN;
use testkit::database::TestDb;
use tonic::service::interceptor::InterceptedService;
use tonic::transport::{Channel, Endpoint};
use uuid::Uuid;

use crate::world::{PATIENCE, World, now_ms};

/// A gateway that takes events.
pub(crate) struct Gateway {
    pub(crate) world: World,
    pub(crate) database: TestDb,
    _key: tempfile::NamedTempFile,
}

pub(crate) type Client = AppsClient<InterceptedService<Channel, BearerInterceptor>>;

/// What an app knows of itself.
#[derive(Clone)]
pub(crate) struct App {
    pub(crate) org: String,
    pub(crate) name: String,
    pub(crate) token: String,
    pub(crate) secret: String,
}

/// A request, to be changed before it is sent.
#[derive(Clone)]
pub(crate) struct Post {
    pub(crate) path: String,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
}

/// What came back.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) head: String,
    pub(crate) body: Value,
}

impl Gateway {
    pub(crate) async fn new() -> Self {
        Self::with(EventsConfig::default()).await
    }

    pub(crate) async fn with(events: EventsConfig) -> Self {
        Self::limited(events, QueriesConfig::default()).await
    }

    pub(crate) async fn limited(events: EventsConfig, queries: QueriesConfig) -> Self {
        let database = TestDb::new().await;
        let mut key = tempfile::NamedTempFile::new().unwrap();
        writeln!(key, "{}", "5a".repeat(32)).unwrap();
        let world = World::with(Config {
            database_url: SecretString::from(database.url()),
            events: EventsConfig {
                sealing_key_file: Some(key.path().to_owned()),
                ..events
            },
            queries,
            ..Config::default()
        })
        .await;
        Self {
            world,
            database,
            _key: key,
        }
    }

    pub(crate) fn admin(&self) -> Client {
        let endpoint = Endpoint::from_shared(format!("http://{}", self.world.grpc)).unwrap();
        let bearer = BearerInterceptor::new(&SecretString::from(SERVICE_TOKEN)).unwrap();
        AppsClient::with_interceptor(endpoint.connect_lazy(), bearer)
    }

    /// An app without bounds.
    pub(crate) async fn app(&self, org: &str, name: &str) -> App {
        self.make(pb::CreateAppRequest {
            org: org.to_owned(),
            name: name.to_owned(),
            tier: "enterprise".to_owned(),
            ..Default::default()
        })
        .await
    }

    pub(crate) async fn make(&self, request: pb::CreateAppRequest) -> App {
        let made = self.admin().create_app(request).await.unwrap();
        App::of(made.into_inner())
    }

    pub(crate) fn post(&self, post: &Post) -> Answer {
        post.send(self.world.http)
    }

    pub(crate) async fn events(&self) -> i64 {
        let query = "SELECT count(*) FROM telemetry.events";
        self.database.number(query).await
    }
}

impl App {
    pub(crate) fn of(made: pb::AppCredential) -> Self {
        let app = made.app.unwrap();
        Self {
            org: app.org,
            name: app.name,
            token: made.token,
            secret: made.secret,
        }
    }

    pub(crate) fn path(&self) -> String {
        format!("/v1/ingest/{}/{}", self.org, self.name)
    }

    /// As the published SDK sends it: with a nonce, without a token.
    pub(crate) fn signed(&self, body: impl Into<Vec<u8>>) -> Post {
        self.signed_at(now_ms() / 1000, body)
    }

    pub(crate) fn signed_at(&self, seconds: i64, body: impl Into<Vec<u8>>) -> Post {
        self.signed_by(seconds, &Uuid::new_v4().to_string(), body)
    }

    pub(crate) fn signed_by(&self, seconds: i64, nonce: &str, body: impl Into<Vec<u8>>) -> Post {
        let body = body.into();
        let tag = self.tag(&[
            seconds.to_string().as_bytes(),
            b":",
            nonce.as_bytes(),
            b":",
            &body,
        ]);
        Post {
            path: self.path(),
            headers: vec![
                ("content-type".into(), "application/json".into()),
                ("x-signature".into(), tag),
                ("x-timestamp".into(), seconds.to_string()),
                ("x-nonce".into(), nonce.to_owned()),
            ],
            body,
        }
    }

    /// As the reference's server asks for it: with a token, without a nonce.
    pub(crate) fn signed_with_token(&self, body: impl Into<Vec<u8>>) -> Post {
        let (seconds, body) = ((now_ms() / 1000).to_string(), body.into());
        let tag = self.tag(&[seconds.as_bytes(), b":", &body]);
        Post {
            path: self.path(),
            headers: vec![
                ("content-type".into(), "application/json".into()),
                ("x-signature".into(), tag),
                ("x-timestamp".into(), seconds),
                ("authorization".into(), format!("Bearer {}", self.token)),
            ],
            body,
        }
    }

    fn tag(&self, parts: &[&[u8]]) -> String {
        let mut mac = Hmac::<Sha256>::new_from_slice(self.secret.as_bytes()).unwrap();
        for part in parts {
            mac.update(part);
        }
        hex::encode(mac.finalize().into_bytes())
    }
}

impl Post {
    pub(crate) fn with(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.into(), value.into()));
        self
    }

    pub(crate) fn set(mut self, name: &str, value: &str) -> Self {
        self.headers.retain(|(other, _)| other != name);
        self.with(name, value)
    }

    pub(crate) fn without(mut self, name: &str) -> Self {
        self.headers.retain(|(other, _)| other != name);
        self
    }

    /// The head, with a length that may be a lie.
    pub(crate) fn head(&self, length: usize) -> Vec<u8> {
        let mut head = format!(
            "POST {} HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncontent-length: {length}\r\n",
            self.path
        );
        for (name, value) in &self.headers {
            head.push_str(&format!("{name}: {value}\r\n"));
        }
        head.push_str("\r\n");
        head.into_bytes()
    }

    pub(crate) fn send(&self, to: SocketAddr) -> Answer {
        let mut stream = TcpStream::connect(to).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream.write_all(&self.head(self.body.len())).unwrap();
        // What is refused by its head is answered before it is read.
        let _ = stream.write_all(&self.body);
        Answer::read(stream)
    }
}

impl Answer {
    /// To the end of the connection; whoever was refused early may find it reset after the answer.
    pub(crate) fn read(mut stream: TcpStream) -> Self {
        let mut bytes = Vec::new();
        let mut buffer = [0; 4096];
        while let Ok(length @ 1..) = stream.read(&mut buffer) {
            bytes.extend_from_slice(&buffer[..length]);
        }
        let text = String::from_utf8(bytes).unwrap();
        let (head, body) = text.split_once("\r\n\r\n").unwrap_or((&text, ""));
        let status = head.split(' ').nth(1).and_then(|word| word.parse().ok());
        Self {
            status: status.unwrap_or(0),
            head: head.to_ascii_lowercase(),
            body: serde_json::from_str(body).unwrap_or(Value::Null),
        }
    }

    pub(crate) fn code(&self) -> &str {
        self.body["error"]["code"].as_str().unwrap_or_default()
    }
}

/// An event as the SDK writes it, of now.
pub(crate) fn event() -> Value {
    event_at(&Timestamp::now().to_string())
}

pub(crate) fn event_at(time: &str) -> Value {
    json!({
        "schema_version": "1.0.0", "event_id": Uuid::new_v4().to_string(), "timestamp": time,
        "service": {"name": "cam", "version": "1.2.3", "language": "rust", "language_version": "1.75.0"},
        "user_id": format!("client_{}", "a".repeat(64)), "session_id": format!("sess_{}", "b".repeat(32)),
        "environment": {"os": "linux", "arch": "x86_64", "ci": false},
        "event": {"type": "command_execution", "category": "usage",
                  "data": {"command": "start", "success": true, "duration_ms": 12}},
        "metadata": {"sdk_version": "0.3.0", "transmission_timestamp": time, "batch_size": 1, "retry_count": 0},
    })
}

pub(crate) fn batch(events: &[Value]) -> String {
    json!({ "events": events }).to_string()
}

/// A batch of so many.
pub(crate) fn fresh(events: usize) -> String {
    batch(&(0..events).map(|_| event()).collect::<Vec<_>>())
}
