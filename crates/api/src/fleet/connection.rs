//! One node's stream: what it says is written down, what it should hold is sent.
//!
//! A stream has no timer and asks the database nothing by itself: it acts when its node
//! speaks and when somebody [wakes](super::looks) it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use lease::{KeySet, Kid};
use model::node::{Heartbeat, Hello, NodeAddress, NodeHealth, NodeIntent, SessionEvent};
use model::{NodeId, SessionId, StreamSettings, UnixMillis};
use placement::vitals::{Evidence, Signs, Vitals};
use proto::fleet as pb;
use proto::fleet::control_message::Directive;
use proto::fleet::node_message::Message;
use storage::control::nodes::{Fingerprint, Orders};
use storage::control::sessions::Record;
use storage::control::{heartbeats, nodes, sessions};
use tokio::sync::mpsc;
use tokio::time::Instant;
use tonic::{Status, Streaming};

use super::bans::Addresses;
use super::heartbeats::Heard;
use super::leases::key_set;
use super::registry::Seat;
use super::standing::Judge;
use super::{budget, standing};
use crate::config::seconds;
use crate::metrics::{self, Directive as Label};
use crate::state::App;

/// Messages on their way to one node.
pub(crate) const OUTGOING_MAX: usize = 64;
/// Directives a node may leave without an Ack before it is told more: one that holds
/// thousands of sessions is told of them in turns.
const UNACKNOWLEDGED_MAX: usize = 1024;
/// How long it may take for the next Ack then.
const ACK_TIMEOUT: Duration = Duration::from_secs(60);
/// How long a node may take to read a message.
const SEND_TIMEOUT: Duration = Duration::from_secs(10);

/// What ends a stream, as the node is told.
type Ended = Status;
/// Boxed: a channel keeps room for some messages, and most nodes are sent few.
pub(crate) type Outgoing = mpsc::Sender<Result<Box<pb::ControlMessage>, Status>>;

/// One node's stream, from Welcome to its end.
pub(crate) struct Connection {
    app: Arc<App>,
    node: NodeId,
    seat: Seat,
    outgoing: Outgoing,
    directive_id: u64,
    /// What the node holds: what it said itself, then what this stream told it.
    told: BTreeMap<SessionId, Told>,
    /// Which sessions an Ack confirms.
    unacknowledged: BTreeMap<u64, BTreeSet<SessionId>>,
    /// Since when the node's Acks are waited for before it is told more.
    behind_since: Option<Instant>,
    /// The limit on sessions that the node was told.
    sessions_limit: Option<u32>,
    /// Whether the node was told to take no new sessions.
    draining: bool,
    /// What is observed of it.
    vitals: Vitals,
    /// When its last heartbeat came.
    heard_at: Option<UnixMillis>,
    /// Whether it could not follow a directive since.
    refused_directive: bool,
    /// Whose leases the node was told to believe.
    believed: KeySet,
    /// Which addresses it was told to answer no longer.
    banned: Arc<Addresses>,
    /// Whether the node knows the complete set.
    is_synced: bool,
    /// When its byte budget was last settled by this stream.
    settled_at: Option<UnixMillis>,
}

/// What a node was told of one session.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Told {
    /// When its leases are half used up.
    renew_at: UnixMillis,
    generation: u32,
    settings: StreamSettings,
    /// The node that it was told to pull from.
    pulls_from: Option<NodeAddress>,
    /// Which key signed it; unknown for what a node holds from before.
    kid: Option<Kid>,
}

impl Told {
    /// Whether the node knows all that there is to know.
    fn is_fresh(&self, record: &Record, believed: &KeySet, now: UnixMillis) -> bool {
        self.renew_at > now
            && self.kid.as_ref().is_some_and(|kid| believed.contains(kid))
            && self.generation == record.generation
            && self.settings == record.settings
            && self.pulls_from == record.pulls_from
    }
}

/// What a node holds from before; its leases are due for renewal.
fn held_already(hello: &Hello) -> BTreeMap<SessionId, Told> {
    let unknown = Told {
        renew_at: UnixMillis(0),
        generation: 0,
        settings: StreamSettings::default(),
        pulls_from: None,
        kid: None,
    };
    let held = hello.held.iter();
    held.map(|held| (held.session_id.clone(), unknown.clone()))
        .collect()
}

impl Connection {
    pub(crate) fn new(
        app: Arc<App>,
        hello: &Hello,
        vitals: Vitals,
        seat: Seat,
        outgoing: Outgoing,
    ) -> Self {
        Self {
            banned: app.bans.addresses(),
            app,
            node: hello.node_id.clone(),
            seat,
            outgoing,
            directive_id: 0,
            told: held_already(hello),
            unacknowledged: BTreeMap::new(),
            behind_since: None,
            sessions_limit: None,
            draining: false,
            vitals,
            heard_at: None,
            refused_directive: false,
            believed: KeySet::default(),
            is_synced: false,
            settled_at: None,
        }
    }

    /// Runs until the stream ends, and says why.
    pub(crate) async fn run(
        mut self,
        incoming: Streaming<pb::NodeMessage>,
        stopping: tokio_util::sync::CancellationToken,
    ) {
        let ended = tokio::select! {
            () = stopping.cancelled() => Status::unavailable("the control plane is stopping"),
            () = self.seat.line.replaced.clone().cancelled_owned() => {
                Status::aborted("the node connected anew")
            }
            () = self.seat.line.silent.clone().cancelled_owned() => {
                Status::deadline_exceeded("the node is silent")
            }
            ended = self.exchange(incoming) => ended,
        };
        // A newer stream knows more.
        if !self.seat.line.replaced.is_cancelled()
            && let Err(error) = standing::keep(&self.app.pool, &self.node, &self.vitals).await
        {
            self.note("The looks at a node could not be kept", &error);
        }
        tracing::info!(node.id = %self.node, reason = ended.message(), "A node's stream ended");
        // A node that is gone does not hear it.
        let _ = self.outgoing.try_send(Err(ended));
    }

    async fn exchange(&mut self, mut incoming: Streaming<pb::NodeMessage>) -> Ended {
        match self.talk(&mut incoming).await {
            Ok(()) => Status::ok("the node closed its stream"),
            Err(ended) => ended,
        }
    }

    async fn talk(&mut self, incoming: &mut Streaming<pb::NodeMessage>) -> Result<(), Ended> {
        // What its last boot moved, before this one's counters replace it.
        self.settle().await;
        // The first heartbeat is a reading to count from.
        self.settled_at = None;
        self.welcome().await?;
        let line = self.seat.line.clone();
        line.heard(Instant::now());
        self.sync().await?;
        loop {
            tokio::select! {
                message = incoming.message() => {
                    let Some(message) = message? else { return Ok(()) };
                    line.heard(Instant::now());
                    self.hear(message).await?;
                }
                () = line.wake.notified() => self.sync().await?,
            }
        }
    }

    async fn welcome(&mut self) -> Result<(), Ended> {
        let heartbeat = seconds(self.app.config.fleet.heartbeat_seconds);
        self.believed = self.app.issuer.believed();
        self.banned = self.app.bans.addresses();
        let welcome = pb::Welcome {
            heartbeat_interval_ms: u32::try_from(heartbeat.as_millis()).unwrap_or(u32::MAX),
            keys: Some(key_set(&self.believed)),
            now_unix_ms: self.app.now().0,
            banned: Some(self.banned.message()),
        };
        self.send(0, Directive::Welcome(welcome)).await
    }

    async fn hear(&mut self, message: pb::NodeMessage) -> Result<(), Ended> {
        let invalid = |error: proto::convert::Error| Status::invalid_argument(error.to_string());
        match message.message {
            Some(Message::Heartbeat(beat)) => {
                let sequence = beat.sequence;
                self.heartbeat(beat.try_into().map_err(invalid)?, sequence);
            }
            Some(Message::Event(event)) => {
                self.event(&event.try_into().map_err(invalid)?).await;
            }
            Some(Message::Ack(ack)) => self.acknowledged(&ack).await,
            Some(Message::Hello(_)) => {
                return Err(Status::failed_precondition("Hello comes once, and first"));
            }
            // A newer node may say what this version does not know.
            None => {}
        }
        Ok(())
    }

    /// The database may be away: the node is heard all the same.
    fn heartbeat(&mut self, said: Heartbeat, sequence: u64) {
        // A node keeps draining while it is away: what it says is what it was told last,
        // and it is told again if the operator wants otherwise.
        let was = (self.draining, self.vitals.health());
        self.draining = said.draining;
        let signs = self.signs(&said);
        self.learn(Evidence::Heartbeat(signs));
        if was != (self.draining, self.vitals.health()) {
            self.seat.line.wake.notify_one();
        }
        let at = self.app.now();
        let settle = self
            .settled_at
            .is_none_or(|settled_at| at.since(settled_at) >= budget::SETTLE_INTERVAL);
        if settle {
            self.settled_at = Some(at);
        }
        let node = self.node.clone();
        let heard = Heard {
            beat: heartbeats::Beat { node, at, said },
            sequence,
            outgoing: self.outgoing.clone(),
            settle,
        };
        if !self.app.heartbeats.write(heard) {
            metrics::heartbeats(false, 1);
            self.app.pause.trouble(at);
        }
    }

    fn learn(&mut self, evidence: Evidence) {
        let probation = seconds(self.app.config.fleet.probation_seconds);
        self.vitals.take(evidence, probation, self.app.now());
    }

    /// What a heartbeat shows, beside what it says.
    fn signs(&mut self, beat: &Heartbeat) -> Signs {
        let now = self.app.now();
        let interval = self.app.config.fleet.heartbeat_seconds;
        let since = self
            .heard_at
            .replace(now)
            .map_or(0, |at| now.since(at).as_secs());
        let missed = (since / u64::from(interval)).saturating_sub(1);
        Signs {
            load_ratio: beat.data_thread_load_ratio,
            missed: u32::try_from(missed).unwrap_or(u32::MAX),
            refused_directive: std::mem::take(&mut self.refused_directive),
        }
    }

    /// Writes down what the node is found to be. The next look makes up for one that failed.
    async fn judge(&mut self) {
        if let Err(error) = self.try_judge().await {
            self.note("A node's state could not be written", &error);
        }
    }

    async fn try_judge(&mut self) -> Result<(), storage::Error> {
        let app = &self.app;
        let judge = Judge::observer(&app.config.fleet, app.now());
        let _turn = app.stream_queries.acquire().await;
        let mut transaction = storage::begin(&app.pool).await?;
        let seen = &mut self.vitals;
        let judged = standing::judge(&mut transaction, &self.node, &judge, |written| {
            seen.heed(written, judge.now);
            written.clone_from(seen);
        });
        judged.await?;
        storage::commit(transaction).await
    }

    /// The next one makes up for one that failed.
    async fn settle(&mut self) {
        self.settled_at = Some(self.app.now());
        let _turn = self.app.stream_queries.acquire().await;
        if let Err(error) = budget::settle(&self.app, &self.node).await {
            self.note("A node's byte budget could not be settled", &error);
        }
    }

    async fn event(&self, event: &SessionEvent) {
        let app = &self.app;
        tracing::debug!(node.id = %self.node, session.id = %event.session_id, kind = %event.kind,
            reason = event.reason, "A node told of a session");
        // The next heartbeat says the same again.
        if let Err(error) = heartbeats::observe(&app.pool, &self.node, event, app.now()).await {
            self.note("A session's event could not be written", &error);
        }
    }

    async fn acknowledged(&mut self, ack: &pb::Ack) {
        let Some(sessions) = self.unacknowledged.remove(&ack.directive_id) else {
            return;
        };
        if let Some(since) = &mut self.behind_since {
            *since = Instant::now();
            if self.unacknowledged.len() <= UNACKNOWLEDGED_MAX / 2 {
                self.seat.line.wake.notify_one();
            }
        }
        if !ack.error.is_empty() {
            metrics::directive_failed();
            self.refused_directive = true;
            let error: String = ack.error.chars().take(256).collect();
            tracing::warn!(node.id = %self.node, error, "A node could not follow a directive");
            // Whatever it was about is told again at the next look.
            self.told.retain(|session, _| !sessions.contains(session));
            self.seat.line.untold();
            return;
        }
        // A heartbeat that lists a session confirms it as well.
        if let Err(error) = heartbeats::confirm(&self.app.pool, &self.node, &sessions).await {
            self.note("Sessions could not be confirmed", &error);
        }
    }

    /// Sends the difference between what the node should hold and what it was told.
    async fn sync(&mut self) -> Result<(), Ended> {
        self.seat.line.untold();
        if !self.may_tell_more()? {
            return Ok(());
        }
        let wanted = match self.wanted().await {
            Ok(wanted) => wanted,
            Err(error) => {
                self.note("What a node should hold could not be read", &error);
                return Ok(());
            }
        };
        let Some((orders, fingerprint, records)) = wanted else {
            return Err(Status::unauthenticated("the node is no longer enrolled"));
        };
        if orders.health == NodeHealth::Offline {
            // Somebody missed it: a heartbeat is its return.
            self.learn(Evidence::Silent);
            if orders.is_heard_since {
                self.learn(Evidence::Connected);
            }
        }
        if !standing::is_current(&orders, &self.vitals, records.len()) {
            self.judge().await;
        }
        if orders.intent == NodeIntent::Banned {
            return self.shut_out().await;
        }
        self.believe().await?;
        self.shun().await?;
        self.order(&orders).await?;
        if self.is_synced {
            self.revoke(&records).await?;
            self.assign(&records).await?;
        } else {
            self.resync(&records).await?;
            // A session that came with its own lease is no part of the complete set.
            self.revoke(&records).await?;
        }
        if self.behind_since.is_none() {
            self.seat.line.told(fingerprint, self.renew_at());
        }
        Ok(())
    }

    /// Whether the node has acknowledged enough of what it was told.
    fn may_tell_more(&mut self) -> Result<bool, Ended> {
        if self.unacknowledged.len() < UNACKNOWLEDGED_MAX {
            self.behind_since = None;
            return Ok(true);
        }
        let since = self.behind_since.get_or_insert_with(Instant::now);
        if since.elapsed() >= ACK_TIMEOUT {
            return Err(Status::resource_exhausted("the node acknowledges nothing"));
        }
        Ok(false)
    }

    /// When the first lease is to be signed again.
    fn renew_at(&self) -> Option<UnixMillis> {
        self.told.values().map(|told| told.renew_at).min()
    }

    /// What stands for the rest is read first: what changes after it is seen at a look.
    async fn wanted(&self) -> Result<Option<(Orders, Fingerprint, Vec<Record>)>, storage::Error> {
        let _turn = self.app.stream_queries.acquire().await;
        let Some((orders, fingerprint)) = nodes::orders(&self.app.pool, &self.node).await? else {
            return Ok(None);
        };
        let records = sessions::live_of_node(&self.app.pool, &self.node).await?;
        Ok(Some((orders, fingerprint, records)))
    }

    /// Comes before the leases that a new key signed.
    async fn believe(&mut self) -> Result<(), Ended> {
        let believed = self.app.issuer.believed();
        if believed != self.believed {
            let keys = Directive::Keys(key_set(&believed));
            self.direct(Label::Keys, keys, BTreeSet::new()).await?;
            self.believed = believed;
        }
        Ok(())
    }

    async fn shun(&mut self) -> Result<(), Ended> {
        let banned = self.app.bans.addresses();
        if banned != self.banned {
            let directive = Directive::Banned(banned.message());
            self.direct(Label::Banned, directive, BTreeSet::new())
                .await?;
            self.banned = banned;
        }
        Ok(())
    }

    /// Its sessions were ended: it is told so, if it still listens, before it is gone.
    async fn shut_out(&mut self) -> Result<(), Ended> {
        self.revoke(&[]).await?;
        Err(Status::permission_denied("the operator banned this node"))
    }

    async fn order(&mut self, orders: &Orders) -> Result<(), Ended> {
        let draining = orders.intent != NodeIntent::None;
        if draining != self.draining {
            let drain = pb::Drain { draining };
            self.direct(Label::Drain, Directive::Drain(drain), BTreeSet::new())
                .await?;
            self.draining = draining;
        }
        if let Some(sessions_max) = orders.sessions_limit
            && orders.sessions_limit != self.sessions_limit
        {
            let limits = pb::Limits { sessions_max };
            self.direct(Label::Limits, Directive::Limits(limits), BTreeSet::new())
                .await?;
        }
        self.sessions_limit = orders.sessions_limit;
        Ok(())
    }

    async fn resync(&mut self, records: &[Record]) -> Result<(), Ended> {
        let mut assigned = Vec::with_capacity(records.len());
        let mut sessions = BTreeSet::new();
        for record in records {
            if let Some(assign) = self.leases(record) {
                sessions.insert(record.session.id.clone());
                assigned.push(assign);
            }
        }
        self.is_synced = true;
        self.direct(
            Label::Resync,
            Directive::Resync(pb::Resync { assigned }),
            sessions,
        )
        .await
    }

    async fn revoke(&mut self, records: &[Record]) -> Result<(), Ended> {
        let wanted: BTreeSet<_> = records.iter().map(|record| &record.session.id).collect();
        let gone: Vec<_> = self
            .told
            .keys()
            .filter(|session| !wanted.contains(session))
            .cloned()
            .collect();
        for session in gone {
            if !self.may_tell_more()? {
                break;
            }
            self.told.remove(&session);
            let reason = self.stop_reason(&session).await;
            let revoke = pb::Revoke {
                session_id: session.to_string(),
                reason,
            };
            self.direct(Label::Revoke, Directive::Revoke(revoke), BTreeSet::new())
                .await?;
        }
        Ok(())
    }

    async fn assign(&mut self, records: &[Record]) -> Result<(), Ended> {
        let now = self.app.now();
        for record in records {
            let session = &record.session.id;
            let is_fresh = self
                .told
                .get(session)
                .is_some_and(|told| told.is_fresh(record, &self.believed, now));
            if is_fresh {
                continue;
            }
            if !self.may_tell_more()? {
                break;
            }
            if let Some(assign) = self.leases(record) {
                let sessions = BTreeSet::from([session.clone()]);
                self.direct(Label::Assign, Directive::Assign(assign), sessions)
                    .await?;
            }
        }
        Ok(())
    }

    /// Signs a session's leases, and remembers that the node knows them.
    fn leases(&mut self, record: &Record) -> Option<pb::AssignLease> {
        let now = self.app.now();
        match self.app.issuer.assign(record, &self.app.stream_keys, now) {
            Ok((assign, kid)) => {
                let renew_at = now.plus(self.app.issuer.lifetime / 2);
                let told = Told {
                    renew_at,
                    generation: record.generation,
                    settings: record.settings.clone(),
                    pulls_from: record.pulls_from.clone(),
                    kid: Some(kid),
                };
                self.told.insert(record.session.id.clone(), told);
                Some(assign)
            }
            // Its longest life is over: it expires at the next look.
            Err(error) => {
                tracing::warn!(session.id = %record.session.id, %error, "A lease was not signed");
                None
            }
        }
    }

    async fn stop_reason(&self, session: &SessionId) -> String {
        let record = sessions::find(&self.app.pool, session).await.ok().flatten();
        let reason = record.and_then(|record| record.session.stop_reason);
        reason.unwrap_or_else(|| "stopped".to_owned())
    }

    async fn direct(
        &mut self,
        label: Label,
        directive: Directive,
        sessions: BTreeSet<SessionId>,
    ) -> Result<(), Ended> {
        self.directive_id += 1;
        self.unacknowledged.insert(self.directive_id, sessions);
        metrics::directive(label);
        self.send(self.directive_id, directive).await
    }

    async fn send(&self, directive_id: u64, directive: Directive) -> Result<(), Ended> {
        let message = pb::ControlMessage {
            directive_id,
            directive: Some(directive),
        };
        self.outgoing
            .send_timeout(Ok(Box::new(message)), SEND_TIMEOUT)
            .await
            .map_err(|_| Status::deadline_exceeded("the node does not read"))
    }

    fn note(&self, message: &'static str, error: &storage::Error) {
        let is_retryable = error.is_retryable();
        let error = error as &dyn std::error::Error;
        if is_retryable {
            tracing::debug!(node.id = %self.node, error, "{message}");
        } else {
            tracing::error!(node.id = %self.node, error, "{message}");
        }
    }
}
