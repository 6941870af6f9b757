//! One connection to the control plane, from Hello to its end.

use std::time::Duration;

use model::UnixMillis;
use model::node::{Heartbeat, HeldLease, Hello, SessionTraffic};
use proto::fleet as pb;
use proto::fleet::control_message::Directive;
use proto::fleet::fleet_client::FleetClient;
use proto::fleet::node_message::Message;
use relay_core::Command;
use tokio::sync::mpsc;
use tokio::time::{Instant, MissedTickBehavior};
use tokio_stream::wrappers::ReceiverStream;
use tonic::Status;

use super::beats::Beats;
use super::{Control, READINESS, directive, grants};
use crate::metrics;
use crate::shards::Gone;

/// Messages on their way out.
const OUTBOX_LENGTH: usize = 64;
/// How long the control plane may take to answer a Hello.
const WELCOME_TIMEOUT: Duration = Duration::from_secs(10);
/// How long it may leave our messages unread.
const SEND_TIMEOUT: Duration = Duration::from_secs(10);
/// Resyncs carry every session of a node: at most 20 000, some 1.3 kB each, 3 kB with every
/// remote.
const MESSAGE_BYTES_MAX: usize = 64 << 20;
const HEARTBEAT: Duration = Duration::from_secs(5);
const HEARTBEAT_MIN: Duration = Duration::from_millis(100);
const HEARTBEAT_MAX: Duration = Duration::from_secs(60);

/// How a connection ended.
pub(super) enum Ended {
    /// The node stops.
    Stopping,
    /// The control plane is away or will not have us.
    Lost { welcomed: bool, error: Status },
}

/// Why a connection is given up.
enum Fault {
    Gone(Gone),
    Status(Status),
}

impl From<Gone> for Fault {
    fn from(gone: Gone) -> Self {
        Self::Gone(gone)
    }
}

impl From<Status> for Fault {
    fn from(status: Status) -> Self {
        Self::Status(status)
    }
}

/// The open stream.
struct Line {
    outbox: mpsc::Sender<pb::NodeMessage>,
    inbox: tonic::Streaming<pb::ControlMessage>,
    heartbeat: tokio::time::Interval,
    welcome_due: Instant,
    welcomed: bool,
    beats: Beats,
}

impl Control {
    /// Says hello and serves the stream until it ends.
    pub(super) async fn session(&mut self) -> Result<Ended, Gone> {
        let shutdown = self.shutdown.clone();
        let opened = tokio::select! {
            () = shutdown.cancelled() => return Ok(Ended::Stopping),
            opened = self.open() => opened,
        };
        let mut line = match opened {
            Ok(line) => line,
            Err(Fault::Gone(gone)) => return Err(gone),
            Err(Fault::Status(error)) => {
                return Ok(Ended::Lost {
                    welcomed: false,
                    error,
                });
            }
        };
        loop {
            let served = tokio::select! {
                () = shutdown.cancelled() => return Ok(Ended::Stopping),
                served = self.serve(&mut line) => served,
            };
            match served {
                Ok(()) => {}
                Err(Fault::Gone(gone)) => return Err(gone),
                Err(Fault::Status(error)) => {
                    return Ok(Ended::Lost {
                        welcomed: line.welcomed,
                        error,
                    });
                }
            }
        }
    }

    async fn open(&self) -> Result<Line, Fault> {
        let channel = self.channel().await?;
        let mut client = FleetClient::with_interceptor(channel, self.bearer.clone())
            .max_decoding_message_size(MESSAGE_BYTES_MAX);
        let (outbox, messages) = mpsc::channel(OUTBOX_LENGTH);
        let hello = Message::Hello(self.hello().await?.into());
        // Nobody reads yet, but there is room: the channel is new.
        let _ = outbox.try_send(pb::NodeMessage {
            message: Some(hello),
        });
        let connect = client.connect(ReceiverStream::new(messages));
        let response = tokio::time::timeout(WELCOME_TIMEOUT, connect)
            .await
            .map_err(|_| Status::deadline_exceeded("no answer to Hello"))??;
        Ok(Line {
            outbox,
            inbox: response.into_inner(),
            heartbeat: ticks(HEARTBEAT),
            welcome_due: Instant::now() + WELCOME_TIMEOUT,
            welcomed: false,
            beats: Beats::default(),
        })
    }

    async fn hello(&self) -> Result<Hello, Gone> {
        let snapshot = self.shards.snapshot().await?;
        Ok(Hello {
            node_id: self.about.node_id.clone(),
            version: env!("CARGO_PKG_VERSION").into(),
            region: self.about.region.clone(),
            address: self.about.address.clone(),
            sessions_max: self.about.sessions_max,
            boot_id: self.about.boot_id.clone(),
            held: snapshot.held,
            encrypts_remotes: true,
        })
    }

    /// Does the next thing: a directive, an event or a heartbeat.
    async fn serve(&mut self, line: &mut Line) -> Result<(), Fault> {
        if line.welcomed
            && let Some(event) = self.pending.pop()
        {
            return send(line, Message::Event(event.into())).await;
        }
        tokio::select! {
            message = line.inbox.message() => {
                let message = message?.ok_or_else(lost)?;
                self.obey(line, message).await?;
            }
            _ = line.heartbeat.tick(), if line.welcomed => self.beat(line).await?,
            event = self.events.recv() => self.keep(&event.ok_or(Gone)?),
            () = tokio::time::sleep_until(line.welcome_due), if !line.welcomed => {
                return Err(Status::deadline_exceeded("no Welcome").into());
            }
        }
        Ok(())
    }

    async fn beat(&self, line: &mut Line) -> Result<(), Fault> {
        let beat = self.heartbeat().await?;
        let beat = pb::Heartbeat {
            sequence: line.beats.next(Instant::now()),
            ..beat.into()
        };
        send(line, Message::Heartbeat(beat)).await
    }

    async fn heartbeat(&self) -> Result<Heartbeat, Gone> {
        let snapshot = self.shards.snapshot().await?;
        let publishing = snapshot.held.iter().filter(|held| held.publishing);
        Ok(Heartbeat {
            boot_id: self.about.boot_id.clone(),
            sessions: u32::try_from(snapshot.held.len()).unwrap_or(u32::MAX),
            publishers: snapshot.publishers,
            players: snapshot.players,
            ingress_bytes_total: snapshot.counters.ingress_bytes,
            egress_bytes_total: snapshot.counters.egress_bytes,
            data_thread_load_ratio: self.samples.borrow().load_ratio,
            publishing: publishing.map(|held| held.session_id.clone()).collect(),
            held: snapshot
                .held
                .iter()
                .map(|held| held.session_id.clone())
                .collect(),
            traffic: snapshot.held.iter().filter_map(traffic).collect(),
            draining: *self.draining.borrow(),
            observed_at: self.clock.now(),
        })
    }

    /// Carries out one directive and acknowledges it.
    async fn obey(&mut self, line: &mut Line, message: pb::ControlMessage) -> Result<(), Fault> {
        let Some(directive) = message.directive else {
            return Ok(());
        };
        if !line.welcomed && !matches!(directive, Directive::Welcome(_)) {
            return Err(Status::failed_precondition("a directive before Welcome").into());
        }
        let result = match directive {
            Directive::Welcome(welcome) => self.welcome(line, welcome).await?,
            Directive::Assign(assign) => self.assign(assign).await?,
            Directive::Revoke(revoke) => self.revoke(&revoke).await?,
            Directive::Drain(drain) => self.drain(drain.draining).await?,
            Directive::Limits(limits) => {
                let sessions_max = limits.sessions_max;
                self.carry_out(Ok(Command::Limits { sessions_max })).await?
            }
            Directive::Keys(keys) => self.take_keys(keys).await?,
            Directive::Banned(banned) => self.ban(&banned).await?,
            Directive::Resync(resync) => self.resync(resync).await?,
            Directive::HeartbeatAck(ack) => {
                if let Some(took) = line.beats.answered(ack.sequence, Instant::now()) {
                    metrics::heartbeat_answered(took);
                }
                Ok(())
            }
        };
        if message.directive_id == 0 {
            return Ok(());
        }
        let error = result.err().unwrap_or_default();
        send(
            line,
            Message::Ack(pb::Ack {
                directive_id: message.directive_id,
                error,
            }),
        )
        .await
    }

    async fn welcome(&mut self, line: &mut Line, welcome: pb::Welcome) -> Result<Done, Gone> {
        let keys = match welcome.keys {
            Some(keys) => self.take_keys(keys).await?,
            None => Ok(()),
        };
        let banned = match &welcome.banned {
            Some(banned) => self.ban(banned).await?,
            None => Ok(()),
        };
        let now = UnixMillis(welcome.now_unix_ms);
        self.ahead_ms = now.0 - self.clock.now().0;
        let clock = self.carry_out(Ok(Command::Clock(now))).await?;
        line.heartbeat = ticks(interval(welcome.heartbeat_interval_ms));
        line.welcomed = true;
        self.readiness.set(READINESS, Ok(()));
        metrics::control_connected(true);
        tracing::info!("connected to the control plane");
        Ok(keys.and(banned).and(clock))
    }

    async fn assign(&self, assign: pb::AssignLease) -> Result<Done, Gone> {
        let assignment = match directive::assignment(assign) {
            Ok(assignment) => assignment,
            Err(error) => return Ok(Err(error.to_string())),
        };
        let (keys, node, wall) = (&self.identity.keys, &self.about.node_id, self.wall());
        match grants::assign(&assignment, keys, node, wall) {
            Ok(command) => {
                let done = self.carry_out(Ok(command)).await?;
                if done.is_ok() {
                    self.play_keys.assigned(&assignment);
                }
                Ok(done)
            }
            Err(error) => Ok(Err(error.as_str().to_owned())),
        }
    }

    async fn revoke(&self, revoke: &pb::Revoke) -> Result<Done, Gone> {
        let command = directive::revoke(revoke);
        if let Ok(Command::Revoke { session, .. }) = &command {
            self.play_keys.revoked(session);
        }
        self.carry_out(command).await
    }

    async fn resync(&self, resync: pb::Resync) -> Result<Done, Gone> {
        let assignments = match directive::resync(resync) {
            Ok(assignments) => assignments,
            Err(error) => return Ok(Err(error.to_string())),
        };
        self.play_keys.resynced(&assignments);
        let (keys, node) = (self.identity.keys.clone(), self.about.node_id.clone());
        let wall = self.wall();
        let verify = move || grants::resync(&assignments, &keys, &node, wall);
        let (command, verified) = tokio::task::spawn_blocking(verify)
            .await
            .map_err(|_| Gone)?;
        let done = self.carry_out(Ok(command)).await?;
        Ok(verified
            .map_err(|error| error.as_str().to_owned())
            .and(done))
    }

    /// The control plane's clock: leases are signed by it.
    fn wall(&self) -> UnixMillis {
        UnixMillis(self.clock.now().0 + self.ahead_ms)
    }

    async fn drain(&self, draining: bool) -> Result<Done, Gone> {
        self.draining.send_replace(draining);
        self.carry_out(Ok(Command::Drain(draining))).await
    }

    /// The set that is held already is looked through again for nothing.
    async fn ban(&mut self, banned: &pb::BannedAddresses) -> Result<Done, Gone> {
        if banned.version == self.banned_version {
            return Ok(Ok(()));
        }
        let done = self.carry_out(directive::banned(banned)).await?;
        if done.is_ok() {
            self.banned_version = banned.version;
            let (version, prefixes) = (banned.version, banned.prefixes.len());
            tracing::info!(version, prefixes, "Address bans changed");
        }
        Ok(done)
    }

    /// Believes a new key set, and remembers it for the next start.
    async fn take_keys(&mut self, keys: pb::KeySet) -> Result<Done, Gone> {
        let keys = match directive::key_set(keys) {
            Ok(keys) if keys.is_empty() => return Ok(Err("empty_key_set".into())),
            Ok(keys) => keys,
            Err(error) => return Ok(Err(error.to_string())),
        };
        if keys != self.identity.keys {
            self.identity.keys = keys.clone();
            self.save_identity().await;
        }
        self.carry_out(Ok(Command::Keys(keys))).await
    }

    async fn save_identity(&self) {
        let (store, identity) = (self.store.clone(), self.identity.clone());
        let saved = tokio::task::spawn_blocking(move || store.save(&identity)).await;
        match saved {
            Ok(Ok(())) => {}
            Ok(Err(error)) => tracing::error!(%error, "the new keys are lost at the next start"),
            Err(error) => tracing::error!(%error, "the new keys are lost at the next start"),
        }
    }

    async fn carry_out(&self, command: Result<Command, directive::Error>) -> Result<Done, Gone> {
        let command = match command {
            Ok(command) => command,
            Err(error) => return Ok(Err(error.to_string())),
        };
        let done = self.shards.command(command).await?;
        Ok(done.map_err(|error| error.as_str().to_owned()))
    }
}

/// What a session moved; none when it is idle and always was.
fn traffic(held: &HeldLease) -> Option<SessionTraffic> {
    let is_idle = held.ingress_bytes == 0 && held.egress_bytes == 0;
    (held.publishing || !is_idle).then(|| SessionTraffic {
        session_id: held.session_id.clone(),
        ingress_bytes: held.ingress_bytes,
        egress_bytes: held.egress_bytes,
        pulled: held.pulled,
        publisher_rtt_us: held.publisher_rtt_us,
    })
}

/// A directive's outcome, as it is acknowledged.
type Done = Result<(), String>;

async fn send(line: &Line, message: Message) -> Result<(), Fault> {
    let message = pb::NodeMessage {
        message: Some(message),
    };
    match line.outbox.send_timeout(message, SEND_TIMEOUT).await {
        Ok(()) => Ok(()),
        Err(_) => Err(lost().into()),
    }
}

fn lost() -> Status {
    Status::unavailable("the stream ended")
}

fn interval(ms: u32) -> Duration {
    match ms {
        0 => HEARTBEAT,
        ms => Duration::from_millis(ms.into()).clamp(HEARTBEAT_MIN, HEARTBEAT_MAX),
    }
}

fn ticks(period: Duration) -> tokio::time::Interval {
    let mut ticks = tokio::time::interval(period);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    ticks
}
