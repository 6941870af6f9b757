//! The caller: knocks at a listener, says what it wants, and takes the answer.
//!
//! A [`Caller`] is one attempt. Its owner sends what [`Caller::poll_request`] lends, hands every
//! handshake that came from the called address to [`Caller::handle`], and calls again at
//! [`Caller::poll_timeout`]. Requests are repeated every 250 ms, as libsrt does, until there is an
//! answer or the attempt's patience is over.
//!
//! Time is an argument twice: `now` decides what is due, and a [`Timestamp`] on the connection's
//! own clock goes into each request. A listener that is to *receive* starts its time base with the
//! conclusion's timestamp, so it must be on the clock of the data that will follow.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use crate::crypto::KeyMaterial;
use crate::handshake::{
    Blocks, EXTENSION_CONFIG, EXTENSION_DGRAM, EXTENSION_HSREQ, EXTENSION_KMREQ, Extensions,
    FEATURES_LEN, Features, HSREQ, Handshake, KMREQ, Kind, Latency, MAGIC, SID, StreamId,
    TEXT_BLOCK_MAX, VERSION, VERSION_INDUCTION, write_block, write_features, write_text,
};
use crate::id::{SocketId, Timestamp};
use crate::listener::{
    FLOW_WINDOW, MTU, RECEIVE_WINDOW, SRT_FLAGS, SRT_VERSION, payload_max, peer_ip, refusal,
    unspoken,
};
use crate::packet::ControlHeader;
use crate::reject::RejectReason;
use crate::seq::Seq;

/// A request without an answer is sent again so much later: libsrt's interval.
pub const REPEAT_INTERVAL: Duration = Duration::from_millis(250);
/// How long libsrt waits for an answer (`SRTO_CONNTIMEO`).
pub const PATIENCE: Duration = Duration::from_secs(3);

/// What is called for.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Where the listener is.
    pub to: SocketAddr,
    /// Our socket: not zero, below 2^30, and hard to guess, since it is what answers are known by.
    pub socket_id: SocketId,
    /// The first sequence number, in both directions.
    pub isn: Seq,
    /// What we want; nothing is said when there is none.
    pub stream_id: Option<StreamId>,
    /// What we propose: our own buffer for what we receive, the least of the peer's for what we send.
    pub latency: Latency,
    /// The keys we encrypt with, when we do, and expect what we receive to be encrypted with.
    pub key: Option<KeyMaterial>,
    /// How long to wait for the listener, both steps together.
    pub patience: Duration,
}

/// What an answer led to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Progress {
    /// The listener knows us: the conclusion is due at once.
    Concluding,
    /// The listener agreed.
    Connected(Agreement),
}

/// What the listener agreed to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Agreement {
    /// The listener's socket for this connection.
    pub peer_id: SocketId,
    /// The first number of what it sends.
    pub isn: Seq,
    /// The latencies it decided, as it sees them: we buffer for `send_ms`, it does for `receive_ms`.
    pub latency: Latency,
    /// Its [`flags`](crate::handshake::flags).
    pub flags: u32,
    /// Its SRT version.
    pub version: u32,
    /// The longest payload to send to it.
    pub payload_max: usize,
    /// How many unacknowledged packets it takes.
    pub flow_window: u32,
    /// When it sent this, on its clock: the origin of the time base of what it sends.
    pub timestamp: Timestamp,
}

/// Why an attempt is over without a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Failure {
    /// The listener refused.
    #[error("rejected: {0}")]
    Rejected(RejectReason),
    /// The listener agreed to, or asks for, what is not spoken here.
    #[error("the answer cannot be used: {0}")]
    Unusable(RejectReason),
    /// No answer came in time.
    #[error("no answer")]
    NoAnswer,
}

/// Why an answer changed nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Ignored {
    /// It is to another socket.
    #[error("an answer to another socket")]
    OtherSocket,
    /// It carries another cookie than the listener gave us.
    #[error("an answer with another cookie")]
    OtherCookie,
    /// It answers what was not asked, or was answered.
    #[error("an answer out of turn")]
    OutOfTurn,
}

/// Why [`Caller::handle`] did not get further.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// The attempt goes on as if nothing had come.
    #[error(transparent)]
    Ignored(#[from] Ignored),
    /// The attempt is over.
    #[error(transparent)]
    Failed(#[from] Failure),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Knocking,
    Concluding { cookie: u32 },
    Over,
}

/// One attempt to connect.
#[derive(Debug)]
pub struct Caller {
    settings: Settings,
    state: State,
    repeat_at: Instant,
    give_up_at: Instant,
    request: [u8; Self::REQUEST_MAX],
}

impl Caller {
    /// The longest request.
    pub const REQUEST_MAX: usize =
        crate::packet::HEADER_LEN + crate::handshake::CIF_LEN + BLOCKS_MAX;

    /// An attempt that begins now.
    #[must_use]
    pub fn new(settings: Settings, now: Instant) -> Self {
        Self {
            give_up_at: now + settings.patience,
            settings,
            state: State::Knocking,
            repeat_at: now,
            request: [0; Self::REQUEST_MAX],
        }
    }

    /// Our socket.
    #[must_use]
    pub const fn socket_id(&self) -> SocketId {
        self.settings.socket_id
    }

    /// Where the listener is.
    #[must_use]
    pub const fn to(&self) -> SocketAddr {
        self.settings.to
    }

    /// The first number of what we send.
    #[must_use]
    pub const fn isn(&self) -> Seq {
        self.settings.isn
    }

    /// Lends the request that is due, stamped with our clock's reading `timestamp`.
    pub fn poll_request(&mut self, now: Instant, timestamp: Timestamp) -> Option<&[u8]> {
        if now < self.repeat_at || now >= self.give_up_at {
            return None;
        }
        let header = ControlHeader {
            timestamp,
            destination: SocketId::LISTENER,
        };
        let length = match self.state {
            State::Knocking => induction(&self.settings).write(&mut self.request, header),
            State::Concluding { cookie } => {
                let mut blocks = [0; BLOCKS_MAX];
                let length = write_blocks(&mut blocks, &self.settings);
                let blocks = Blocks(&blocks[..length]);
                conclusion(&self.settings, cookie, blocks).write(&mut self.request, header)
            }
            State::Over => return None,
        };
        self.repeat_at = now + REPEAT_INTERVAL;
        Some(&self.request[..length])
    }

    /// When there is something to send, or nothing more to wait for; `None` once it is over.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Instant> {
        (self.state != State::Over).then(|| self.repeat_at.min(self.give_up_at))
    }

    /// Ends the attempt when its time is up.
    ///
    /// # Errors
    ///
    /// [`Failure::NoAnswer`], once.
    pub fn handle_timeout(&mut self, now: Instant) -> Result<(), Failure> {
        if self.state == State::Over || now < self.give_up_at {
            return Ok(());
        }
        self.state = State::Over;
        Err(Failure::NoAnswer)
    }

    /// Takes a handshake that came from the called address.
    ///
    /// # Errors
    ///
    /// When it is not an answer to what we asked, or ends the attempt.
    pub fn handle(
        &mut self,
        now: Instant,
        header: ControlHeader,
        handshake: &Handshake<'_>,
    ) -> Result<Progress, Error> {
        if header.destination != self.settings.socket_id {
            return Err(Ignored::OtherSocket.into());
        }
        let progress = match (self.state, handshake.kind) {
            (State::Knocking, Kind::Induction) => knocked(handshake).map(|cookie| {
                self.repeat_at = now;
                self.state = State::Concluding { cookie };
                Progress::Concluding
            }),
            (State::Knocking, Kind::Rejection(reason)) => Err(Failure::Rejected(reason)),
            (State::Concluding { cookie }, Kind::Rejection(reason)) => {
                check_cookie(cookie, handshake)?;
                Err(Failure::Rejected(reason))
            }
            (State::Concluding { cookie }, Kind::Conclusion) => {
                check_cookie(cookie, handshake)?;
                let agreed = agreement(&self.settings, header.timestamp, handshake);
                agreed.map(Progress::Connected).map_err(Failure::Unusable)
            }
            _ => return Err(Ignored::OutOfTurn.into()),
        };
        if progress != Ok(Progress::Concluding) {
            self.state = State::Over;
        }
        Ok(progress?)
    }
}

const BLOCKS_MAX: usize = FEATURES_LEN + TEXT_BLOCK_MAX + 4 + KeyMaterial::LENGTH_MAX;

/// A conclusion's answer echoes the cookie (libsrt), or has none (gosrt).
fn check_cookie(cookie: u32, handshake: &Handshake<'_>) -> Result<(), Ignored> {
    if handshake.cookie == cookie || handshake.cookie == 0 {
        Ok(())
    } else {
        Err(Ignored::OtherCookie)
    }
}

/// The cookie that the listener gives us.
fn knocked(handshake: &Handshake<'_>) -> Result<u32, Failure> {
    if handshake.version < VERSION {
        return Err(Failure::Unusable(RejectReason::VERSION));
    }
    if handshake.extension != MAGIC {
        return Err(Failure::Unusable(RejectReason::ROGUE));
    }
    Ok(handshake.cookie)
}

fn induction(settings: &Settings) -> Handshake<'static> {
    Handshake {
        version: VERSION_INDUCTION,
        encryption: 0,
        extension: EXTENSION_DGRAM,
        isn: settings.isn,
        mtu: MTU,
        flow_window: FLOW_WINDOW,
        kind: Kind::Induction,
        socket_id: settings.socket_id,
        cookie: 0,
        peer_ip: peer_ip(settings.to),
        blocks: Blocks(&[]),
    }
}

fn conclusion<'a>(settings: &Settings, cookie: u32, blocks: Blocks<'a>) -> Handshake<'a> {
    let stream_id = settings.stream_id.as_ref().map_or(0, |_| EXTENSION_CONFIG);
    let key = settings.key.as_ref().map_or(0, |_| EXTENSION_KMREQ);
    Handshake {
        version: VERSION,
        encryption: settings
            .key
            .as_ref()
            .map_or(0, KeyMaterial::encryption_field),
        extension: EXTENSION_HSREQ | stream_id | key,
        flow_window: RECEIVE_WINDOW,
        kind: Kind::Conclusion,
        cookie,
        blocks,
        ..induction(settings)
    }
}

/// In libsrt's order: what we can do, what we want, the keys.
fn write_blocks(out: &mut [u8], settings: &Settings) -> usize {
    let features = Features {
        version: SRT_VERSION,
        flags: SRT_FLAGS,
        latency: settings.latency,
    };
    let mut length = write_features(out, HSREQ, &features);
    if let Some(stream_id) = &settings.stream_id {
        length += write_text(&mut out[length..], SID, stream_id.as_str());
    }
    if let Some(key) = &settings.key {
        length += write_block(&mut out[length..], KMREQ, key.as_bytes());
    }
    length
}

fn agreement(
    settings: &Settings,
    timestamp: Timestamp,
    handshake: &Handshake<'_>,
) -> Result<Agreement, RejectReason> {
    if handshake.version != VERSION {
        return Err(RejectReason::VERSION);
    }
    if handshake.socket_id == SocketId::LISTENER {
        return Err(RejectReason::ROGUE);
    }
    let extensions = handshake.extensions().map_err(refusal)?;
    let features = extensions.response.ok_or(RejectReason::ROGUE)?;
    if extensions.request.is_some() {
        return Err(RejectReason::ROGUE);
    }
    unspoken(handshake.mtu, &features, &extensions)?;
    check_key(settings.key.as_ref(), &extensions)?;
    Ok(Agreement {
        peer_id: handshake.socket_id,
        isn: handshake.isn,
        latency: features.latency,
        flags: features.flags,
        version: features.version,
        payload_max: payload_max(handshake.mtu),
        flow_window: handshake.flow_window,
        timestamp,
    })
}

/// The listener says with our own key material that it has the keys; with one word it says why not.
fn check_key(offer: Option<&KeyMaterial>, extensions: &Extensions<'_>) -> Result<(), RejectReason> {
    match (offer, extensions.key_response) {
        (None, None) => Ok(()),
        (Some(offer), Some(answer)) if offer.as_bytes() == answer => Ok(()),
        (Some(_), Some(answer)) => Err(key_refusal(answer)),
        (None, Some(_)) | (Some(_), None) => Err(RejectReason::UNSECURE),
    }
}

/// libsrt's key states: 3 no secret, 4 bad secret, 5 bad crypto mode. Implementations differ in the
/// order of the word's bytes.
const fn key_refusal(answer: &[u8]) -> RejectReason {
    match answer {
        [0, 0, 0, 4] | [4, 0, 0, 0] => RejectReason::BAD_SECRET,
        [0, 0, 0, 5] | [5, 0, 0, 0] => RejectReason::CRYPTO,
        _ => RejectReason::UNSECURE,
    }
}
