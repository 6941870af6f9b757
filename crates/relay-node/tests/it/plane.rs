//! A control plane that does what the test says.

use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use lease::{Claims, SigningKey};
use model::session::Role;
use model::settings::Encryption;
use model::{NodeId, SessionId, StreamId, StreamKey, TenantId, UnixMillis};
use proto::fleet as pb;
use proto::fleet::control_message::Directive;
use proto::fleet::fleet_server::{Fleet, FleetServer};
use proto::fleet::node_message::Message;
use service_kit::GrpcConfig;
use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Request, Response, Status, Streaming};

pub(crate) const JOIN_TOKEN: &str = "sh_join_test";
pub(crate) const CREDENTIAL: &str = "sh_node_test";
const PATIENCE: Duration = Duration::from_secs(20);

pub(crate) fn node_id() -> NodeId {
    NodeId::from_u128(42)
}

pub(crate) fn signing_key() -> SigningKey {
    SigningKey::from_seed(&[3; 32])
}

/// A session's stream key and role, as a lease for the node under test.
pub(crate) fn assignment(session: u128) -> pb::AssignLease {
    assignment_until(session, now().plus(Duration::from_secs(3600)))
}

pub(crate) fn assignment_until(session: u128, expires_at: UnixMillis) -> pb::AssignLease {
    assignment_with(session, expires_at, None)
}

/// The passphrase of a role, where callers must encrypt.
pub(crate) fn passphrase(role: Role) -> String {
    format!("the passphrase to {role}")
}

/// An assignment whose callers must encrypt.
pub(crate) fn encrypted_assignment(session: u128) -> pb::AssignLease {
    let expires_at = now().plus(Duration::from_secs(3600));
    assignment_with(session, expires_at, Some(Encryption::Required))
}

fn assignment_with(
    session: u128,
    expires_at: UnixMillis,
    encryption: Option<Encryption>,
) -> pb::AssignLease {
    let keyed = |role| {
        let claims = Claims {
            session: SessionId::from_u128(session),
            tenant: TenantId::from_u128(1),
            stream: StreamId::from_u128(session),
            role,
            not_before: UnixMillis::from_secs(1_700_000_000),
            expires_at,
            latency_min_ms: None,
            latency_max_ms: None,
            rate_bps_max: None,
            bytes_max: None,
            players_max: None,
            hold_seconds: None,
            resume: None,
            delivery: None,
            start: None,
            encryption,
        };
        pb::KeyedLease {
            stream_key: stream_key(session, role).expose().into(),
            lease: lease::issue(&signing_key(), &claims, &node_id()).expect("it fits"),
            passphrase: encryption.map_or_else(String::new, |_| passphrase(role)),
        }
    };
    pb::AssignLease {
        session_id: SessionId::from_u128(session).to_string(),
        publish: Some(keyed(Role::Publish)),
        play: Some(keyed(Role::Play)),
        pull: None,
        push: Vec::new(),
    }
}

pub(crate) fn stream_key(session: u128, role: Role) -> StreamKey {
    let mut bytes = session.to_be_bytes();
    bytes[0] = role as u8 + 1;
    StreamKey::from_bytes(bytes)
}

pub(crate) fn now() -> UnixMillis {
    model::clock::Clock::now(&service_kit::SystemClock)
}

/// The control plane; each connection of the node is handed to the test.
pub(crate) struct Plane {
    pub(crate) address: SocketAddr,
    scheme: &'static str,
    lines: mpsc::Receiver<Line>,
    enrolments: Arc<Mutex<u32>>,
    server: tokio::task::JoinHandle<()>,
}

/// One connection of the node.
pub(crate) struct Line {
    pub(crate) hello: pb::Hello,
    to_node: mpsc::Sender<Result<pb::ControlMessage, Status>>,
    from_node: Streaming<pb::NodeMessage>,
    next_directive: u64,
}

impl Plane {
    pub(crate) async fn start() -> Self {
        Self::start_by(&GrpcConfig::default()).await
    }

    /// Answers by TLS, if that is set up.
    pub(crate) async fn start_by(grpc: &GrpcConfig) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        Self::serve(listener, grpc)
    }

    /// Comes back where another was.
    pub(crate) async fn start_at(address: SocketAddr) -> Self {
        let listener = TcpListener::bind(address).await.expect("its old port");
        Self::serve(listener, &GrpcConfig::default())
    }

    fn serve(listener: TcpListener, grpc: &GrpcConfig) -> Self {
        let mut server = grpc.server();
        let scheme = grpc.cert_file.as_ref().map_or("http", |_| "https");
        let address = listener.local_addr().expect("bound");
        let incoming = grpc.incoming(listener).expect("good certificates");
        let (connected, lines) = mpsc::channel(8);
        let enrolments = Arc::default();
        let service = Service {
            connected,
            enrolments: Arc::clone(&enrolments),
        };
        let server = tokio::spawn(async move {
            let serve = server
                .add_service(FleetServer::new(service))
                .serve_with_incoming(incoming);
            serve.await.expect("the test's server runs");
        });
        Self {
            address,
            scheme,
            lines,
            enrolments,
            server,
        }
    }

    pub(crate) fn url(&self) -> String {
        format!("{}://{}", self.scheme, self.address)
    }

    pub(crate) fn enrolments(&self) -> u32 {
        *self.enrolments.lock().expect("not poisoned")
    }

    /// The node's next connection; it is not welcomed yet.
    pub(crate) async fn line(&mut self) -> Line {
        let line = tokio::time::timeout(PATIENCE, self.lines.recv()).await;
        line.expect("the node connects in time")
            .expect("the server runs")
    }

    /// The node's next connection, welcomed.
    pub(crate) async fn welcomed(&mut self) -> Line {
        let mut line = self.line().await;
        line.welcome().await;
        line
    }

    /// Goes away.
    pub(crate) async fn stop(self) {
        self.server.abort();
        let _ = self.server.await;
    }
}

impl Line {
    pub(crate) async fn welcome(&mut self) {
        self.welcome_with(None).await;
    }

    /// A welcome that says which addresses are banned.
    pub(crate) async fn welcome_banning(&mut self, banned: pb::BannedAddresses) {
        self.welcome_with(Some(banned)).await;
    }

    async fn welcome_with(&mut self, banned: Option<pb::BannedAddresses>) {
        let welcome = pb::Welcome {
            heartbeat_interval_ms: 100,
            keys: Some(keys(&[signing_key()])),
            now_unix_ms: now().0,
            banned,
        };
        self.send(0, Directive::Welcome(welcome)).await;
    }

    async fn send(&self, directive_id: u64, directive: Directive) {
        let message = pb::ControlMessage {
            directive_id,
            directive: Some(directive),
        };
        self.to_node
            .send(Ok(message))
            .await
            .expect("the node listens");
    }

    /// Sends a directive and returns the error it is acknowledged with.
    pub(crate) async fn direct(&mut self, directive: Directive) -> String {
        self.next_directive += 1;
        let id = self.next_directive;
        self.send(id, directive).await;
        loop {
            if let Message::Ack(ack) = self.message().await {
                assert_eq!(ack.directive_id, id);
                return ack.error;
            }
        }
    }

    pub(crate) async fn message(&mut self) -> Message {
        let message = tokio::time::timeout(PATIENCE, self.from_node.message()).await;
        let message = message.expect("the node speaks in time").expect("no error");
        message
            .expect("the node stays")
            .message
            .expect("a message says something")
    }

    pub(crate) async fn heartbeat(&mut self) -> pb::Heartbeat {
        loop {
            if let Message::Heartbeat(beat) = self.message().await {
                return beat;
            }
        }
    }
}

pub(crate) fn keys(keys: &[SigningKey]) -> pb::KeySet {
    let key = |key: &SigningKey| pb::PublicKey {
        kid: key.kid().to_string(),
        public_key: key.public_key().into(),
    };
    pb::KeySet {
        keys: keys.iter().map(key).collect(),
    }
}

struct Service {
    connected: mpsc::Sender<Line>,
    enrolments: Arc<Mutex<u32>>,
}

#[tonic::async_trait]
impl Fleet for Service {
    async fn enrol(
        &self,
        request: Request<pb::EnrolRequest>,
    ) -> Result<Response<pb::EnrolResponse>, Status> {
        if request.into_inner().join_token != JOIN_TOKEN {
            return Err(Status::permission_denied("unknown join token"));
        }
        *self.enrolments.lock().expect("not poisoned") += 1;
        Ok(Response::new(pb::EnrolResponse {
            node_id: node_id().to_string(),
            credential: CREDENTIAL.into(),
            keys: Some(keys(&[signing_key()])),
        }))
    }

    type ConnectStream =
        Pin<Box<dyn tokio_stream::Stream<Item = Result<pb::ControlMessage, Status>> + Send>>;

    async fn connect(
        &self,
        request: Request<Streaming<pb::NodeMessage>>,
    ) -> Result<Response<Self::ConnectStream>, Status> {
        if service_kit::grpc::bearer(request.metadata()) != Some(CREDENTIAL) {
            return Err(Status::unauthenticated("unknown credential"));
        }
        let mut from_node = request.into_inner();
        let first = from_node
            .message()
            .await?
            .and_then(|message| message.message);
        let Some(Message::Hello(hello)) = first else {
            return Err(Status::failed_precondition("Hello comes first"));
        };
        let (to_node, directives) = mpsc::channel(8);
        let line = Line {
            hello,
            to_node,
            from_node,
            next_directive: 0,
        };
        self.connected
            .send(line)
            .await
            .map_err(|_| Status::unavailable("the test is over"))?;
        Ok(Response::new(Box::pin(ReceiverStream::new(directives))))
    }
}
