//! The node's line to the control plane: enrol once, then one stream for as long
//! as the node lives. While it is away the node goes on with what it holds.

mod beats;
mod connection;
mod directive;
mod enrol;
mod grants;
mod replicas;

use std::sync::Arc;
use std::time::Duration;

use model::clock::Clock;
use model::node::{NodeAddress, SessionEvent, SessionEventKind};
use model::{NodeId, Region};
use relay_core::{Direction, Event};
use service_kit::Readiness;
use service_kit::grpc::BearerInterceptor;
use tokio::sync::{mpsc, watch};
use tokio_util::sync::CancellationToken;
use tonic::transport::Channel;

use crate::backlog::Backlog;
use crate::backoff::{Backoff, chance};
use crate::identity::{Identity, Store};
use crate::metrics;
use crate::sampler::Sampled;
use crate::shards::{Gone, Shards};
use crate::stats::PlayKeys;

pub(crate) use enrol::{Error as EnrolError, enrol};
pub(crate) use replicas::{Replicas, addresses, endpoint};

/// The readiness part: the control plane has answered since the start.
pub(crate) const READINESS: &str = "control";

/// Events kept for a control plane that is away.
const EVENTS_MAX: usize = 4096;

/// What the node says of itself.
#[derive(Debug, Clone)]
pub(crate) struct About {
    pub(crate) node_id: NodeId,
    pub(crate) region: Region,
    pub(crate) address: NodeAddress,
    pub(crate) sessions_max: u32,
    pub(crate) boot_id: String,
}

/// Keeps the stream to the control plane up.
pub(crate) struct Control {
    about: About,
    replicas: Replicas,
    bearer: BearerInterceptor,
    identity: Identity,
    store: Store,
    shards: Shards,
    play_keys: PlayKeys,
    events: mpsc::Receiver<Event>,
    pending: Backlog<SessionEvent>,
    samples: watch::Receiver<Sampled>,
    draining: watch::Sender<bool>,
    readiness: Readiness,
    clock: Arc<dyn Clock>,
    shutdown: CancellationToken,
    away: bool,
    /// Which set of banned addresses is held; 0: none.
    banned_version: u64,
    /// How much the control plane's clock is ahead of ours.
    ahead_ms: i64,
}

/// What the control task is made of.
pub(crate) struct Parts {
    pub(crate) about: About,
    pub(crate) replicas: Replicas,
    pub(crate) bearer: BearerInterceptor,
    pub(crate) identity: Identity,
    pub(crate) store: Store,
    pub(crate) shards: Shards,
    pub(crate) play_keys: PlayKeys,
    pub(crate) events: mpsc::Receiver<Event>,
    pub(crate) samples: watch::Receiver<Sampled>,
    pub(crate) draining: watch::Sender<bool>,
    pub(crate) readiness: Readiness,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) shutdown: CancellationToken,
}

impl Control {
    pub(crate) fn new(parts: Parts) -> Self {
        Self {
            about: parts.about,
            replicas: parts.replicas,
            bearer: parts.bearer,
            identity: parts.identity,
            store: parts.store,
            shards: parts.shards,
            play_keys: parts.play_keys,
            events: parts.events,
            pending: Backlog::new(EVENTS_MAX),
            samples: parts.samples,
            draining: parts.draining,
            readiness: parts.readiness,
            clock: parts.clock,
            shutdown: parts.shutdown,
            away: false,
            banned_version: 0,
            ahead_ms: 0,
        }
    }

    /// Connects, again and again, until the node stops.
    pub(crate) async fn run(mut self) -> Result<(), Gone> {
        let mut backoff = Backoff::new();
        while !self.shutdown.is_cancelled() {
            let welcomed = self.connect_once().await?;
            if welcomed {
                backoff.reset();
            }
            self.wait(backoff.next(chance())).await?;
        }
        Ok(())
    }

    /// One connection from Hello to its end; says whether it was welcomed.
    async fn connect_once(&mut self) -> Result<bool, Gone> {
        let ended = self.session().await;
        metrics::control_connected(false);
        match ended {
            Ok(connection::Ended::Stopping) => Ok(true),
            Ok(connection::Ended::Lost { welcomed, error }) => {
                metrics::control_connection_lost();
                self.replicas.choose_next();
                self.note_away(welcomed, &error);
                Ok(welcomed)
            }
            Err(gone) => Err(gone),
        }
    }

    /// Says once that the control plane is away, not at each attempt.
    fn note_away(&mut self, welcomed: bool, error: &tonic::Status) {
        let (code, reason) = (error.code(), error.message());
        if welcomed || !self.away {
            tracing::warn!(
                ?code,
                reason,
                "the control plane is away; the node goes on with what it holds"
            );
        } else {
            tracing::debug!(?code, reason, "the control plane is still away");
        }
        self.away = true;
    }

    /// Waits while keeping the events that come.
    async fn wait(&mut self, time: Duration) -> Result<(), Gone> {
        let sleep = tokio::time::sleep(time);
        tokio::pin!(sleep);
        loop {
            tokio::select! {
                () = &mut sleep => return Ok(()),
                () = self.shutdown.cancelled() => return Ok(()),
                event = self.events.recv() => self.keep(&event.ok_or(Gone)?),
            }
        }
    }

    async fn channel(&self) -> Result<Channel, tonic::Status> {
        self.replicas
            .chosen()
            .connect()
            .await
            .map_err(|error| tonic::Status::unavailable(service_kit::grpc::why(&error)))
    }

    /// Notes an event for the control plane, and in the log.
    fn keep(&mut self, event: &Event) {
        let Some(event) = self.to_session_event(event) else {
            return;
        };
        tracing::debug!(session.id = %event.session_id, kind = %event.kind, reason = event.reason, "session event");
        if self.pending.push(event) {
            metrics::event_dropped();
        }
    }

    fn to_session_event(&self, event: &Event) -> Option<SessionEvent> {
        let word;
        let is_pulled = match event {
            Event::PublisherConnected { pulled, .. } | Event::PublisherGone { pulled, .. } => {
                *pulled
            }
            _ => false,
        };
        let (session, kind, reason) = match event {
            Event::PublisherConnected {
                session, takeover, ..
            } => {
                let reason = if *takeover { "takeover" } else { "" };
                (session, SessionEventKind::PublisherConnected, reason)
            }
            Event::PublisherGone {
                session, reason, ..
            } => (session, SessionEventKind::PublisherGone, reason.as_str()),
            Event::PlayerConnected { session, .. } => {
                (session, SessionEventKind::PlayerConnected, "")
            }
            Event::PlayerGone { session, reason } => {
                (session, SessionEventKind::PlayerGone, reason.as_str())
            }
            Event::Refused { session, reason } => (
                session.as_ref()?,
                SessionEventKind::Refused,
                reason.as_str(),
            ),
            Event::RemoteFailed {
                session,
                direction,
                reason,
            } => {
                word = reason.word();
                (session, failed(*direction), word.as_str())
            }
            // Answered before it comes here.
            Event::Lookup(_) => return None,
        };
        Some(SessionEvent {
            session_id: session.clone(),
            kind,
            reason: reason.into(),
            pulled: is_pulled,
            observed_at: self.clock.now(),
        })
    }
}

const fn failed(direction: Direction) -> SessionEventKind {
    match direction {
        Direction::Pull => SessionEventKind::PullFailed,
        Direction::Push => SessionEventKind::PushFailed,
    }
}
