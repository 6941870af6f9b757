//! Relay nodes as far as the control plane can tell.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use proto::fleet as pb;
use proto::fleet::control_message::Directive;
use proto::fleet::fleet_client::FleetClient;
use proto::fleet::node_message::Message;
use tokio::runtime::Runtime;
use tokio::sync::{Semaphore, mpsc};
use tokio::time::{Instant, Interval, MissedTickBehavior};
use tokio_stream::wrappers::ReceiverStream;
use tonic::transport::Endpoint;
use tonic::{Request, Status, Streaming};

use super::enrolment::Enrolled;

/// Nodes that connect at the same time.
const CONNECTING_MAX: usize = 64;
/// Before a node tries the next replica; a real one waits so long at first.
const RETRY: Duration = Duration::from_millis(200);
/// What real nodes set, too.
const KEEPALIVE: Duration = Duration::from_secs(6);
const KEEPALIVE_TIMEOUT: Duration = Duration::from_secs(4);
/// Payload bytes that a node takes in between two heartbeats.
const BYTES: u64 = 1_000_000;

/// What all of them see together.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    /// Nodes with a stream.
    pub(crate) connected: AtomicU32,
    /// Streams that ended.
    pub(super) lost: AtomicU32,
    /// Heartbeats sent while it is counted.
    pub(super) sent: AtomicU64,
    /// Sessions that nodes were given.
    pub(super) assigned: AtomicU64,
    counting: AtomicBool,
    /// The sessions of each node, by its id.
    held: Mutex<BTreeMap<String, BTreeSet<String>>>,
    /// From a heartbeat to its answer, while it is counted.
    answers: Mutex<Vec<Duration>>,
}

impl Tally {
    /// Begins or ends the time in which heartbeats are counted.
    pub(super) fn count(&self, counting: bool) {
        self.counting.store(counting, Ordering::Relaxed);
    }

    /// How long answers took, the shortest first.
    pub(super) fn answers(&self) -> Vec<Duration> {
        let mut answers = self.lock().clone();
        answers.sort_unstable();
        answers
    }

    /// The sessions that nodes hold; one that two nodes hold is in it twice.
    pub(crate) fn held(&self) -> Vec<String> {
        let held = self.lock_held();
        held.values().flatten().cloned().collect()
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Duration>> {
        self.answers.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn lock_held(&self) -> MutexGuard<'_, BTreeMap<String, BTreeSet<String>>> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn is_counting(&self) -> bool {
        self.counting.load(Ordering::Relaxed)
    }
}

/// Connected nodes, until it is dropped.
pub(crate) struct Nodes {
    pub(crate) tally: Arc<Tally>,
    runtime: Option<Runtime>,
}

impl Nodes {
    /// Connects them to one of the replicas at `urls`, which have commas between them, each
    /// over a TCP connection of its own, and to the next when one is lost.
    pub(crate) fn connect(urls: &str, enrolled: Vec<Enrolled>) -> anyhow::Result<Self> {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .enable_all()
            .build()?;
        let tally = Arc::new(Tally::default());
        let endpoints: anyhow::Result<Vec<_>> = urls.split(',').map(endpoint).collect();
        let endpoints: Arc<[Endpoint]> = endpoints?.into();
        let places = Arc::new(Semaphore::new(CONNECTING_MAX));
        for (chosen, who) in enrolled.into_iter().enumerate() {
            let node = Node {
                who,
                endpoints: endpoints.clone(),
                chosen,
                tally: tally.clone(),
                places: places.clone(),
                held: BTreeSet::new(),
                bytes: 0,
            };
            runtime.spawn(node.live());
        }
        Ok(Self {
            tally,
            runtime: Some(runtime),
        })
    }
}

impl Drop for Nodes {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

fn endpoint(url: &str) -> anyhow::Result<Endpoint> {
    Ok(Endpoint::from_shared(url.to_owned())?
        .connect_timeout(Duration::from_secs(10))
        .http2_keep_alive_interval(KEEPALIVE)
        .keep_alive_timeout(KEEPALIVE_TIMEOUT)
        .keep_alive_while_idle(true)
        .tcp_nodelay(true))
}

struct Node {
    who: Enrolled,
    endpoints: Arc<[Endpoint]>,
    /// Which of them it is connected to, counted around.
    chosen: usize,
    tally: Arc<Tally>,
    places: Arc<Semaphore>,
    held: BTreeSet<String>,
    bytes: u64,
}

/// A node's open stream.
struct Line {
    outgoing: mpsc::Sender<pb::NodeMessage>,
    incoming: Streaming<pb::ControlMessage>,
    heartbeat: Interval,
    sequence: u64,
    /// When counted heartbeats were sent that are not answered yet.
    unanswered: BTreeMap<u64, Instant>,
}

impl Node {
    async fn live(mut self) {
        loop {
            if let Ok(line) = self.open().await {
                self.tally.connected.fetch_add(1, Ordering::Relaxed);
                let _ended = self.serve(line).await;
                self.tally.connected.fetch_sub(1, Ordering::Relaxed);
            }
            self.tally.lost.fetch_add(1, Ordering::Relaxed);
            self.chosen += 1;
            tokio::time::sleep(RETRY).await;
        }
    }

    async fn open(&self) -> Result<Line, Status> {
        let _place = self.places.acquire().await;
        let unavailable = |error: tonic::transport::Error| Status::unavailable(error.to_string());
        let endpoint = &self.endpoints[self.chosen % self.endpoints.len()];
        let channel = endpoint.connect().await.map_err(unavailable)?;
        let (outgoing, messages) = mpsc::channel(8);
        send(&outgoing, Message::Hello(self.hello())).await?;
        let mut request = Request::new(ReceiverStream::new(messages));
        let bearer = format!("Bearer {}", self.who.credential).parse();
        let bearer = bearer.map_err(|_| Status::internal("an odd credential"))?;
        request.metadata_mut().insert("authorization", bearer);
        let mut incoming = FleetClient::new(channel)
            .connect(request)
            .await?
            .into_inner();
        let welcome = incoming.message().await?;
        let Some(Directive::Welcome(welcome)) = welcome.and_then(|it| it.directive) else {
            return Err(Status::failed_precondition("Welcome comes first"));
        };
        let every = Duration::from_millis(welcome.heartbeat_interval_ms.into());
        let mut heartbeat = tokio::time::interval(every);
        heartbeat.set_missed_tick_behavior(MissedTickBehavior::Delay);
        Ok(Line {
            outgoing,
            incoming,
            heartbeat,
            sequence: 0,
            unanswered: BTreeMap::new(),
        })
    }

    fn hello(&self) -> pb::Hello {
        pb::Hello {
            node_id: self.who.node_id.clone(),
            version: env!("CARGO_PKG_VERSION").into(),
            region: "local".into(),
            public_host: "127.0.0.1".into(),
            udp_port: 5000,
            publish_port: 4001,
            play_port: 4000,
            sessions_max: 20_000,
            boot_id: "bench".into(),
            held: self
                .held
                .iter()
                .map(|session| held_lease(session))
                .collect(),
            encrypts_remotes: true,
        }
    }

    /// Shows what it holds to those who look at all nodes.
    fn show(&self) {
        let mut all = self.tally.lock_held();
        all.insert(self.who.node_id.clone(), self.held.clone());
    }

    async fn serve(&mut self, mut line: Line) -> Result<(), Status> {
        loop {
            tokio::select! {
                message = line.incoming.message() => match message? {
                    Some(message) => self.obey(&mut line, message).await?,
                    None => return Ok(()),
                },
                _ = line.heartbeat.tick() => self.beat(&mut line).await?,
            }
        }
    }

    async fn beat(&mut self, line: &mut Line) -> Result<(), Status> {
        self.bytes += BYTES;
        line.sequence += 1;
        if self.tally.is_counting() {
            self.tally.sent.fetch_add(1, Ordering::Relaxed);
            line.unanswered.insert(line.sequence, Instant::now());
        }
        let held: Vec<_> = self.held.iter().cloned().collect();
        let beat = pb::Heartbeat {
            boot_id: "bench".into(),
            sessions: u32::try_from(held.len()).unwrap_or(u32::MAX),
            ingress_bytes_total: self.bytes,
            egress_bytes_total: self.bytes,
            held_session_ids: held,
            sequence: line.sequence,
            ..Default::default()
        };
        send(&line.outgoing, Message::Heartbeat(beat)).await
    }

    async fn obey(&mut self, line: &mut Line, message: pb::ControlMessage) -> Result<(), Status> {
        match message.directive {
            Some(Directive::HeartbeatAck(ack)) => {
                if let Some(sent) = line.unanswered.remove(&ack.sequence) {
                    self.tally.lock().push(sent.elapsed());
                }
            }
            Some(Directive::Assign(assign)) if self.held.insert(assign.session_id.clone()) => {
                self.tally.assigned.fetch_add(1, Ordering::Relaxed);
                self.show();
            }
            Some(Directive::Revoke(revoke)) => {
                self.held.remove(&revoke.session_id);
                self.show();
            }
            Some(Directive::Resync(resync)) => {
                let assigned = resync.assigned.into_iter();
                self.held = assigned.map(|assign| assign.session_id).collect();
                self.show();
            }
            _ => {}
        }
        if message.directive_id == 0 {
            return Ok(());
        }
        let ack = pb::Ack {
            directive_id: message.directive_id,
            error: String::new(),
        };
        send(&line.outgoing, Message::Ack(ack)).await
    }
}

fn held_lease(session: &str) -> pb::HeldLease {
    pb::HeldLease {
        session_id: session.to_owned(),
        ..Default::default()
    }
}

async fn send(outgoing: &mpsc::Sender<pb::NodeMessage>, message: Message) -> Result<(), Status> {
    let message = pb::NodeMessage {
        message: Some(message),
    };
    let sent = outgoing.send(message).await;
    sent.map_err(|_| Status::unavailable("the stream ended"))
}
