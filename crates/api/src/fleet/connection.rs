//! One node's stream: what it says is written down here, what it should hold is told in
//! [`telling`].
//!
//! A stream has no timer and asks the database nothing by itself: it acts when its node
//! speaks and when somebody [wakes](super::looks) it. What it does then is boxed: nearly
//! all of its life it waits, and ten thousand streams with room for their longest query
//! are 150 MB.

mod telling;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use lease::KeySet;
use model::node::{Heartbeat, Hello, NodeHealth, SessionEvent};
use model::{NodeId, SessionId, UnixMillis};
use placement::vitals::{Evidence, Signs, Vitals};
use proto::fleet as pb;
use proto::fleet::node_message::Message;
use storage::control::epochs::{self, StreamEpoch};
use storage::control::heartbeats;
use tokio::sync::mpsc;
use tokio::time::Instant;
use tonic::{Status, Streaming};

use super::bans::Addresses;
use super::heartbeats::Heard;
use super::registry::Seat;
use super::standing::Judge;
use super::{budget, standing};
use crate::config::seconds;
use crate::metrics;
use crate::state::App;
use telling::{Told, UNACKNOWLEDGED_MAX, held_already};

/// Messages on their way to one node.
pub(crate) const OUTGOING_MAX: usize = 64;

/// What ends a stream, as the node is told.
type Ended = Status;
/// Boxed: a channel keeps room for some messages, and most nodes are sent few.
pub(crate) type Outgoing = mpsc::Sender<Result<Box<pb::ControlMessage>, Status>>;

/// One node's stream, from Welcome to its end.
pub(crate) struct Connection {
    app: Arc<App>,
    node: NodeId,
    /// Which of the node's streams it is.
    epoch: StreamEpoch,
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
    /// Whether the silence that somebody found is in its vitals.
    knows_silence: bool,
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
    /// Whether it can be told to pull what is encrypted.
    encrypts_remotes: bool,
}

impl Connection {
    pub(crate) fn new(
        app: Arc<App>,
        hello: &Hello,
        (epoch, vitals): (StreamEpoch, Vitals),
        seat: Seat,
        outgoing: Outgoing,
    ) -> Self {
        Self {
            banned: app.bans.addresses(),
            app,
            node: hello.node_id.clone(),
            epoch,
            seat,
            outgoing,
            directive_id: 0,
            told: held_already(hello),
            unacknowledged: BTreeMap::new(),
            behind_since: None,
            sessions_limit: None,
            draining: false,
            vitals,
            knows_silence: false,
            heard_at: None,
            refused_directive: false,
            believed: KeySet::default(),
            is_synced: false,
            encrypts_remotes: hello.encrypts_remotes,
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
        if !self.seat.line.replaced.is_cancelled() {
            Box::pin(self.keep()).await;
        }
        tracing::info!(node.id = %self.node, reason = ended.message(), "A node's stream ended");
        // A node that is gone does not hear it.
        let _ = self.outgoing.try_send(Err(ended));
    }

    async fn keep(&self) {
        if let Err(error) =
            standing::keep(&self.app.pool, (&self.node, self.epoch), &self.vitals).await
        {
            self.note("The looks at a node could not be kept", &error);
        }
    }

    async fn exchange(&mut self, mut incoming: Streaming<pb::NodeMessage>) -> Ended {
        match self.talk(&mut incoming).await {
            Ok(()) => Status::ok("the node closed its stream"),
            Err(ended) => ended,
        }
    }

    async fn talk(&mut self, incoming: &mut Streaming<pb::NodeMessage>) -> Result<(), Ended> {
        Box::pin(self.begin()).await?;
        let line = self.seat.line.clone();
        loop {
            tokio::select! {
                message = incoming.message() => {
                    let Some(message) = message? else { return Ok(()) };
                    line.heard(Instant::now());
                    self.hear(message).await?;
                }
                () = line.wake.notified() => Box::pin(self.sync()).await?,
            }
        }
    }

    async fn begin(&mut self) -> Result<(), Ended> {
        // What its last boot moved, before this one's counters replace it.
        self.settle().await;
        self.welcome().await?;
        self.seat.line.heard(Instant::now());
        self.sync().await
    }

    async fn hear(&mut self, message: pb::NodeMessage) -> Result<(), Ended> {
        let invalid = |error: proto::convert::Error| Status::invalid_argument(error.to_string());
        match message.message {
            Some(Message::Heartbeat(beat)) => {
                let sequence = beat.sequence;
                self.heartbeat(beat.try_into().map_err(invalid)?, sequence);
            }
            Some(Message::Event(event)) => {
                let event = event.try_into().map_err(invalid)?;
                Box::pin(self.event(&event)).await;
            }
            Some(Message::Ack(ack)) => Box::pin(self.acknowledged(&ack)).await,
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
        let node = self.node.clone();
        let heard = Heard {
            beat: heartbeats::Beat {
                node,
                epoch: self.epoch,
                at,
                said,
            },
            sequence,
            outgoing: self.outgoing.clone(),
            line: self.seat.line.clone(),
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
        if !epochs::is_newest(&mut transaction, &self.node, self.epoch).await? {
            self.seat.line.replaced.cancel();
            return Ok(());
        }
        let seen = &mut self.vitals;
        let judged = standing::judge(&mut transaction, &self.node, &judge, |written| {
            seen.heed(written, judge.now);
            written.clone_from(seen);
        });
        judged.await?;
        storage::commit(transaction).await?;
        self.knows_silence = self.vitals.health() == NodeHealth::Offline;
        Ok(())
    }

    /// Takes it that somebody missed the node while this stream was there. A silence counts
    /// once: a heartbeat that came after this stream knew of it has ended it already,
    /// whether it is written yet or not.
    fn missed(&mut self, is_heard_since: bool) {
        if !std::mem::replace(&mut self.knows_silence, true) {
            self.learn(Evidence::Silent);
        }
        if is_heard_since && self.vitals.health() == NodeHealth::Offline {
            self.learn(Evidence::Connected);
        }
    }

    /// What one that failed left is lost when the boot ended.
    async fn settle(&self) {
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
        if let Err(error) =
            heartbeats::observe(&app.pool, (&self.node, self.epoch), event, app.now()).await
        {
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
