//! A control plane for one node: enrols it and gives it the sessions of a run.

use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::mpsc::{self as std_mpsc, RecvTimeoutError};
use std::thread;
use std::time::Duration;

use anyhow::{Context, bail};
use lease::{Claims, SigningKey};
use model::session::Role;
use model::settings::{Delivery, Encryption, Resume, Start};
use model::{NodeId, SessionId, StreamId, StreamKey, TenantId, UnixMillis};
use proto::fleet as pb;
use proto::fleet::control_message::Directive;
use proto::fleet::fleet_server::{Fleet, FleetServer};
use proto::fleet::node_message::Message;
use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tokio_util::sync::{CancellationToken, DropGuard};
use tonic::transport::server::TcpIncoming;
use tonic::{Request, Response, Status, Streaming};

/// What the node enrols with.
pub const JOIN_TOKEN: &str = "sh_join_bench";
const CREDENTIAL: &str = "sh_node_bench";
/// How long a node may take to hold its sessions.
const PATIENCE: Duration = Duration::from_secs(30);
const LEASE_LIFE: Duration = Duration::from_secs(3600);
const HEARTBEAT: Duration = Duration::from_secs(1);

/// What the leases of one session say besides who may call.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Terms {
    /// Nothing: callers are clear, and the node does what it does by itself.
    #[default]
    Clear,
    /// How the stream behaves; callers are clear.
    Behaving(Behaviour),
    /// Passphrases, one for each role; a clear caller is refused.
    Encrypted {
        /// The publisher's.
        publish: String,
        /// The players'.
        play: String,
    },
}

/// How a stream behaves; what is absent is left to the node.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Behaviour {
    /// How long players stay connected without a publisher.
    pub hold_seconds: Option<u32>,
    /// What players see when the publisher returns.
    pub resume: Option<Resume>,
    /// When packets go on to players.
    pub delivery: Option<Delivery>,
    /// Where joining players start.
    pub start: Option<Start>,
}

impl Terms {
    const fn behaviour(&self) -> Behaviour {
        match self {
            Self::Behaving(behaviour) => *behaviour,
            Self::Clear | Self::Encrypted { .. } => Behaviour {
                hold_seconds: None,
                resume: None,
                delivery: None,
                start: None,
            },
        }
    }

    const fn encryption(&self) -> Option<Encryption> {
        match self {
            Self::Clear | Self::Behaving(_) => None,
            Self::Encrypted { .. } => Some(Encryption::Required),
        }
    }

    fn passphrase(&self, role: Role) -> String {
        match (self, role) {
            (Self::Clear | Self::Behaving(_), _) => String::new(),
            (Self::Encrypted { publish, .. }, Role::Publish) => publish.clone(),
            (Self::Encrypted { play, .. }, Role::Play) => play.clone(),
        }
    }
}

/// The control plane, until it is dropped.
#[derive(Debug)]
pub struct Plane {
    address: SocketAddr,
    /// Every directive's answer; empty when it was carried out.
    acknowledged: std_mpsc::Receiver<String>,
    /// What the node said of its sessions.
    events: std_mpsc::Receiver<pb::SessionEvent>,
    unread: Vec<pb::SessionEvent>,
    sessions: usize,
    _stop: DropGuard,
}

impl Plane {
    /// Serves on a free port, in a thread of its own; gives a node as many
    /// sessions as there are terms, numbered from 0.
    ///
    /// # Errors
    /// When no port can be had.
    pub fn start(terms: Vec<Terms>) -> anyhow::Result<Self> {
        let sessions = terms.len();
        let stop = CancellationToken::new();
        let (bound, address) = std_mpsc::channel();
        let (acknowledge, acknowledged) = std_mpsc::channel();
        let (report, events) = std_mpsc::channel();
        let service = Service {
            terms: terms.into(),
            acknowledge,
            report,
        };
        let until = stop.clone();
        thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build();
            let served = runtime
                .map_err(anyhow::Error::from)
                .and_then(|runtime| runtime.block_on(serve(service, &bound, until)));
            if let Err(error) = served {
                // Dropping the channel tells the waiting side, too.
                let _gone = bound.send(Err(error));
            }
        });
        Ok(Self {
            address: address.recv().context("no control plane")??,
            acknowledged,
            events,
            unread: Vec::new(),
            sessions,
            _stop: stop.drop_guard(),
        })
    }

    /// Where nodes find it.
    #[must_use]
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Waits until the node holds every session.
    ///
    /// # Errors
    /// When it refuses one or does not hold all within half a minute.
    pub fn wait_assigned(&self) -> anyhow::Result<()> {
        for session in 0..self.sessions {
            match self.acknowledged.recv_timeout(PATIENCE) {
                Ok(error) if error.is_empty() => {}
                Ok(error) => bail!("the node refused session {session}: {error}"),
                Err(RecvTimeoutError::Timeout) => bail!("the node holds {session} sessions only"),
                Err(RecvTimeoutError::Disconnected) => bail!("the control plane ended"),
            }
        }
        Ok(())
    }

    /// Waits until the node has said this of a session once more than it was
    /// waited for; gives the reason, if there is one.
    ///
    /// # Errors
    /// When it does not within half a minute.
    pub fn wait_event(
        &mut self,
        session: u32,
        kind: pb::SessionEventKind,
    ) -> anyhow::Result<String> {
        let session = session_id(session).to_string();
        let is_it =
            |event: &pb::SessionEvent| event.session_id == session && event.kind == kind as i32;
        loop {
            if let Some(place) = self.unread.iter().position(is_it) {
                return Ok(self.unread.remove(place).reason);
            }
            let event = self.events.recv_timeout(PATIENCE);
            let said = || format!("no {kind:?} of {session}; unread: {:?}", self.unread);
            self.unread.push(event.with_context(said)?);
        }
    }
}

/// What a caller of a session says as its stream id.
#[must_use]
pub fn stream_id(session: u32, role: Role) -> String {
    let prefix = match role {
        Role::Publish => "live_",
        Role::Play => "play_",
    };
    format!("{prefix}{}", stream_key(session, role).expose())
}

fn session_id(session: u32) -> SessionId {
    SessionId::from_u128(u128::from(session) + 1)
}

pub(crate) fn stream_key(session: u32, role: Role) -> StreamKey {
    let mut bytes = u128::from(session).to_be_bytes();
    bytes[0] = role as u8 + 1;
    StreamKey::from_bytes(bytes)
}

pub(crate) fn node_id() -> NodeId {
    NodeId::from_u128(1)
}

pub(crate) fn signing_key() -> SigningKey {
    SigningKey::from_seed(&[7; 32])
}

fn assignment(session: u32, terms: &Terms) -> Result<pb::AssignLease, Status> {
    Ok(pb::AssignLease {
        session_id: session_id(session).to_string(),
        publish: Some(keyed_lease(session, terms, Role::Publish)?),
        play: Some(keyed_lease(session, terms, Role::Play)?),
        pull: None,
        push: Vec::new(),
    })
}

fn keyed_lease(session: u32, terms: &Terms, role: Role) -> Result<pb::KeyedLease, Status> {
    let lease = lease(session, terms, role).map_err(|error| Status::internal(error.to_string()))?;
    Ok(pb::KeyedLease {
        stream_key: stream_key(session, role).expose().into(),
        lease,
        passphrase: terms.passphrase(role),
    })
}

/// The signed permission of one role in a session.
pub(crate) fn lease(session: u32, terms: &Terms, role: Role) -> Result<String, lease::Error> {
    let number = u128::from(session) + 1;
    let behaviour = terms.behaviour();
    let claims = Claims {
        session: session_id(session),
        tenant: TenantId::from_u128(1),
        stream: StreamId::from_u128(number),
        role,
        not_before: UnixMillis::from_secs(1_700_000_000),
        expires_at: now().plus(LEASE_LIFE),
        latency_min_ms: None,
        latency_max_ms: None,
        rate_bps_max: None,
        bytes_max: None,
        players_max: None,
        hold_seconds: behaviour.hold_seconds,
        resume: behaviour.resume,
        delivery: behaviour.delivery,
        start: behaviour.start,
        encryption: terms.encryption(),
    };
    lease::issue(&signing_key(), &claims, &node_id())
}

pub(crate) fn now() -> UnixMillis {
    let since = std::time::SystemTime::now().duration_since(std::time::SystemTime::UNIX_EPOCH);
    UnixMillis(since.map_or(0, |since| since.as_millis() as i64))
}

fn keys() -> pb::KeySet {
    let key = signing_key();
    pb::KeySet {
        keys: vec![pb::PublicKey {
            kid: key.kid().to_string(),
            public_key: key.public_key().into(),
        }],
    }
}

async fn serve(
    service: Service,
    bound: &std_mpsc::Sender<anyhow::Result<SocketAddr>>,
    until: CancellationToken,
) -> anyhow::Result<()> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    bound.send(Ok(listener.local_addr()?))?;
    tonic::transport::Server::builder()
        .add_service(FleetServer::new(service))
        .serve_with_incoming_shutdown(TcpIncoming::from(listener), until.cancelled_owned())
        .await?;
    Ok(())
}

struct Service {
    terms: Arc<[Terms]>,
    acknowledge: std_mpsc::Sender<String>,
    report: std_mpsc::Sender<pb::SessionEvent>,
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
        Ok(Response::new(pb::EnrolResponse {
            node_id: node_id().to_string(),
            credential: CREDENTIAL.into(),
            keys: Some(keys()),
        }))
    }

    type ConnectStream =
        Pin<Box<dyn tokio_stream::Stream<Item = Result<pb::ControlMessage, Status>> + Send>>;

    async fn connect(
        &self,
        request: Request<Streaming<pb::NodeMessage>>,
    ) -> Result<Response<Self::ConnectStream>, Status> {
        let mut from_node = request.into_inner();
        let (to_node, directives) = mpsc::channel(64);
        let terms = Arc::clone(&self.terms);
        let (acknowledge, report) = (self.acknowledge.clone(), self.report.clone());
        tokio::spawn(async move {
            // Ends with the node, or when it listens no more.
            let _gone = direct(&terms, &to_node).await;
            to_node.closed().await;
        });
        tokio::spawn(async move {
            while let Ok(Some(message)) = from_node.message().await {
                match message.message {
                    Some(Message::Ack(ack)) => drop(acknowledge.send(ack.error)),
                    Some(Message::Event(event)) => drop(report.send(event)),
                    _ => {}
                }
            }
        });
        let directives = tokio_stream::wrappers::ReceiverStream::new(directives);
        Ok(Response::new(Box::pin(directives)))
    }
}

type ToNode = mpsc::Sender<Result<pb::ControlMessage, Status>>;

async fn direct(terms: &[Terms], to_node: &ToNode) -> anyhow::Result<()> {
    let welcome = pb::Welcome {
        heartbeat_interval_ms: HEARTBEAT.as_millis() as u32,
        keys: Some(keys()),
        now_unix_ms: now().0,
        banned: None,
    };
    send(to_node, 0, Directive::Welcome(welcome)).await?;
    for (session, terms) in (0..).zip(terms) {
        let assign = Directive::Assign(assignment(session, terms)?);
        send(to_node, u64::from(session) + 1, assign).await?;
    }
    Ok(())
}

async fn send(to_node: &ToNode, directive_id: u64, directive: Directive) -> anyhow::Result<()> {
    let message = pb::ControlMessage {
        directive_id,
        directive: Some(directive),
    };
    Ok(to_node.send(Ok(message)).await?)
}
