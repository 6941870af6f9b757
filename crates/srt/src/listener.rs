//! The listener: answers callers and keeps nothing until one has proven its address.
//!
//! A datagram with destination 0 that parses as a handshake goes to [`Listener::handle`]. It says
//! what to do: send a reply, decide about a request, send a rejection, or nothing. Whoever decides
//! about a [`ConnectRequest`] makes a socket id and calls [`ConnectRequest::accept`], or calls
//! [`ConnectRequest::reject`].
//!
//! Repeated conclusions are the decider's: it knows its sessions, and answers a conclusion from the
//! same address, caller id and first sequence number with the stored [`Reply`], restamped.

use std::net::{IpAddr, SocketAddr};
use std::ops::Deref;

use crate::cookie::Cookies;
use crate::crypto::{self, KeyMaterial};
use crate::handshake::{
    Blocks, EXTENSION_HSREQ, EXTENSION_KMREQ, ExtensionError, Extensions, FEATURES_LEN, Features,
    HSRSP, Handshake, KMRSP, Kind, Latency, MAGIC, StreamId, VERSION, flags, write_block,
    write_features,
};
use crate::id::{SocketId, Timestamp};
use crate::packet::{ControlHeader, HEADER_LEN, PAYLOAD_MAX, build};
use crate::reject::RejectReason;
use crate::seq::Seq;

/// The SRT version we answer with: 1.5.3.
pub const SRT_VERSION: u32 = 0x01_05_03;
/// The flags we answer with: libsrt's live mode without packet filters.
pub const SRT_FLAGS: u32 = flags::TSBPDSND
    | flags::TSBPDRCV
    | flags::CRYPT
    | flags::TLPKTDROP
    | flags::NAKREPORT
    | flags::REXMITFLG;
/// The oldest caller we take: 1.3.0 brought the handshake of version 5.
pub const SRT_VERSION_MIN: u32 = 0x01_03_00;
/// The window that libsrt names where nothing is received yet: its default
/// receive buffer.
pub const FLOW_WINDOW: u32 = 8192;
/// The unacknowledged packets we take from a peer. libsrt takes no more than
/// its receive buffer has room for; we keep none. A loss stays open until its
/// deadline, so 8192 would stall a sender of 20 Mbit/s at four seconds of
/// latency; this is enough for 50 Mbit/s and ten.
pub const RECEIVE_WINDOW: u32 = 65_536;

/// The MTU we answer with.
pub(crate) const MTU: u32 = 1500;
/// libsrt's least MTU: below it no packet fits.
const MTU_MIN: u32 = 76;
/// IP and UDP headers.
const UDP_OVERHEAD: u32 = 28;

/// What to do about a handshake.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(
    clippy::large_enum_variant,
    reason = "moved once, on the stack; a box would allocate per conclusion"
)]
pub enum Step {
    /// Send this: no longer than the request, and nothing to keep.
    Reply(Reply),
    /// The caller is where it says: decide.
    Request(ConnectRequest),
    /// The caller is where it says, but asks for what is not spoken here: send this.
    Reject(RejectReason, Reply),
    /// Send nothing.
    Drop(DropReason),
}

/// Why a handshake is not answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum DropReason {
    /// The caller's socket id is 0: an answer would look like a request.
    NoSocketId,
    /// The cookie is wrong or too old.
    BadCookie,
    /// No step that a listener answers.
    UnexpectedKind,
}

impl DropReason {
    /// All reasons, for metrics that start at zero.
    pub const ALL: [Self; 3] = [Self::NoSocketId, Self::BadCookie, Self::UnexpectedKind];

    /// The reason as a label.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::NoSocketId => "handshake_no_socket_id",
            Self::BadCookie => "handshake_bad_cookie",
            Self::UnexpectedKind => "handshake_unexpected_kind",
        }
    }
}

/// A stateless listener.
#[derive(Clone)]
pub struct Listener {
    cookies: Cookies,
}

impl Listener {
    /// A listener whose cookies are made under `secret`.
    pub const fn new(secret: [u8; 16]) -> Self {
        Self {
            cookies: Cookies::new(secret),
        }
    }

    /// Says what to do about a handshake that came from `from`.
    ///
    /// `minute` counts minutes on any clock that only goes forward; `timestamp` is the packet's.
    pub fn handle(
        &self,
        minute: u64,
        from: SocketAddr,
        handshake: &Handshake<'_>,
        timestamp: Timestamp,
    ) -> Step {
        if handshake.socket_id == SocketId::LISTENER {
            return Step::Drop(DropReason::NoSocketId);
        }
        match handshake.kind {
            Kind::Induction => Step::Reply(self.induction(minute, from, handshake, timestamp)),
            Kind::Conclusion if self.cookies.is_valid(handshake.cookie, from, minute) => {
                conclusion(from, handshake, timestamp)
            }
            Kind::Conclusion => Step::Drop(DropReason::BadCookie),
            Kind::Rejection(_) | Kind::Other(_) => Step::Drop(DropReason::UnexpectedKind),
        }
    }

    /// The reply carries the caller's own socket id: some callers use it as theirs from then on.
    fn induction(
        &self,
        minute: u64,
        from: SocketAddr,
        request: &Handshake<'_>,
        timestamp: Timestamp,
    ) -> Reply {
        let reply = Handshake {
            version: VERSION,
            encryption: 0,
            extension: MAGIC,
            cookie: self.cookies.cookie(from, minute),
            peer_ip: peer_ip(from),
            blocks: Blocks::default(),
            ..*request
        };
        Reply::new(&reply, request.socket_id, timestamp)
    }
}

fn conclusion(from: SocketAddr, handshake: &Handshake<'_>, timestamp: Timestamp) -> Step {
    match ConnectRequest::read(from, handshake, timestamp) {
        Ok(request) => Step::Request(request),
        Err(reason) => Step::Reject(reason, rejection(reason, from, handshake, timestamp)),
    }
}

fn rejection(
    reason: RejectReason,
    from: SocketAddr,
    handshake: &Handshake<'_>,
    timestamp: Timestamp,
) -> Reply {
    let reply = Handshake {
        version: VERSION,
        encryption: 0,
        extension: 0,
        kind: Kind::Rejection(reason),
        peer_ip: peer_ip(from),
        blocks: Blocks::default(),
        ..*handshake
    };
    Reply::new(&reply, handshake.socket_id, timestamp)
}

/// A caller that is where it says and speaks what we speak.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConnectRequest {
    /// The caller's socket id.
    pub caller_id: SocketId,
    /// Where it is.
    pub from: SocketAddr,
    /// The first sequence number, in both directions.
    pub isn: Seq,
    /// What it wants; `None` when it said nothing.
    pub stream_id: Option<StreamId>,
    /// The latencies it proposes.
    pub latency: Latency,
    /// Its [`flags`].
    pub flags: u32,
    /// Its SRT version.
    pub version: u32,
    /// The longest IP packet it takes.
    pub mtu: u32,
    /// How many unacknowledged packets it takes.
    pub flow_window: u32,
    /// The keys it encrypts with, and expects what it receives to be encrypted with; `None` when it
    /// does not encrypt. Whoever decides refuses an error with [`crypto::Error::reject_reason`].
    pub key_material: Option<Result<KeyMaterial, crypto::Error>>,
    /// When it sent the conclusion, on its clock.
    pub timestamp: Timestamp,
    cookie: u32,
}

impl ConnectRequest {
    fn read(
        from: SocketAddr,
        handshake: &Handshake<'_>,
        timestamp: Timestamp,
    ) -> Result<Self, RejectReason> {
        if handshake.version != VERSION {
            return Err(RejectReason::VERSION);
        }
        let extensions = handshake.extensions().map_err(refusal)?;
        let features = check(handshake, &extensions)?;
        Ok(Self {
            caller_id: handshake.socket_id,
            from,
            isn: handshake.isn,
            stream_id: extensions.stream_id,
            latency: features.latency,
            flags: features.flags,
            version: features.version,
            mtu: handshake.mtu,
            flow_window: handshake.flow_window,
            key_material: extensions.key_material.map(KeyMaterial::parse),
            timestamp,
            cookie: handshake.cookie,
        })
    }

    /// The longest payload to send to the caller.
    pub fn payload_max(&self) -> usize {
        payload_max(self.mtu)
    }

    /// The answer that makes the connection: our socket id and the latencies we decide, see
    /// [`Latency::answer`]. A receiver takes `latency.send_ms` as its own and `timestamp` as the
    /// origin of its time base. Key material is confirmed by its echo: who accepts has its keys.
    pub fn accept(&self, our_id: SocketId, latency: Latency, timestamp: Timestamp) -> Reply {
        let features = Features {
            version: SRT_VERSION,
            flags: SRT_FLAGS,
            latency,
        };
        let mut blocks = [0; FEATURES_LEN + 4 + KeyMaterial::LENGTH_MAX];
        let mut length = write_features(&mut blocks, HSRSP, &features);
        let mut reply = self.answer(Kind::Conclusion, our_id);
        reply.extension = EXTENSION_HSREQ;
        reply.flow_window = RECEIVE_WINDOW;
        if let Some(Ok(message)) = &self.key_material {
            length += write_block(&mut blocks[length..], KMRSP, message.as_bytes());
            reply.extension |= EXTENSION_KMREQ;
            reply.encryption = message.encryption_field();
        }
        reply.blocks = Blocks(&blocks[..length]);
        Reply::new(&reply, self.caller_id, timestamp)
    }

    /// The answer that refuses the connection.
    pub fn reject(&self, reason: RejectReason, timestamp: Timestamp) -> Reply {
        let reply = self.answer(Kind::Rejection(reason), self.caller_id);
        Reply::new(&reply, self.caller_id, timestamp)
    }

    fn answer(&self, kind: Kind, socket_id: SocketId) -> Handshake<'static> {
        Handshake {
            version: VERSION,
            encryption: 0,
            extension: 0,
            isn: self.isn,
            mtu: self.mtu.min(MTU),
            flow_window: FLOW_WINDOW,
            kind,
            socket_id,
            cookie: self.cookie,
            peer_ip: peer_ip(self.from),
            blocks: Blocks::default(),
        }
    }
}

/// The longest payload for a peer that takes IP packets of `mtu` bytes, which is not below the least.
pub(crate) fn payload_max(mtu: u32) -> usize {
    let room = mtu.min(MTU) - UDP_OVERHEAD - HEADER_LEN as u32;
    (room as usize).min(PAYLOAD_MAX)
}

pub(crate) const fn refusal(error: ExtensionError) -> RejectReason {
    match error {
        ExtensionError::Text => RejectReason::BAD_REQUEST,
        ExtensionError::Short | ExtensionError::Length(_) | ExtensionError::Twice(_) => {
            RejectReason::ROGUE
        }
    }
}

/// Refuses what is not spoken here with the code libsrt has for it.
fn check(handshake: &Handshake<'_>, extensions: &Extensions<'_>) -> Result<Features, RejectReason> {
    let features = extensions.request.ok_or(RejectReason::ROGUE)?;
    if extensions.response.is_some() {
        return Err(RejectReason::ROGUE);
    }
    unspoken(handshake.mtu, &features, extensions)?;
    Ok(features)
}

/// Refuses what neither side of a connection may ask of us.
pub(crate) fn unspoken(
    mtu: u32,
    features: &Features,
    extensions: &Extensions<'_>,
) -> Result<(), RejectReason> {
    if mtu < MTU_MIN {
        return Err(RejectReason::ROGUE);
    }
    if features.version < SRT_VERSION_MIN {
        return Err(RejectReason::VERSION);
    }
    if features.flags & flags::STREAM != 0 {
        return Err(RejectReason::MESSAGE_API);
    }
    if extensions.congestion_not_live {
        return Err(RejectReason::CONGESTION);
    }
    if extensions.filter {
        return Err(RejectReason::FILTER);
    }
    if extensions.group {
        return Err(RejectReason::GROUP);
    }
    Ok(())
}

/// An address the way libsrt writes it: its network-order words byte-swapped, IPv4 in the first.
pub(crate) fn peer_ip(address: SocketAddr) -> [u8; 16] {
    let mut bytes = [0; 16];
    match address.ip().to_canonical() {
        IpAddr::V4(address) => bytes[..4].copy_from_slice(&address.octets()),
        IpAddr::V6(address) => bytes = address.octets(),
    }
    for word in bytes.as_chunks_mut::<4>().0 {
        word.reverse();
    }
    bytes
}

/// A handshake packet to send.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reply {
    bytes: [u8; Self::LENGTH_MAX],
    length: usize,
}

impl Reply {
    /// The longest reply.
    pub const LENGTH_MAX: usize = 256;

    fn new(handshake: &Handshake<'_>, destination: SocketId, timestamp: Timestamp) -> Self {
        let mut bytes = [0; Self::LENGTH_MAX];
        let length = handshake.write(
            &mut bytes,
            ControlHeader {
                timestamp,
                destination,
            },
        );
        Self { bytes, length }
    }

    /// Gives the reply the time at which it is sent again: a receiver's time base starts there.
    pub fn restamp(&mut self, timestamp: Timestamp) {
        build::restamp(&mut self.bytes, timestamp);
    }
}

impl Deref for Reply {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.bytes[..self.length]
    }
}
