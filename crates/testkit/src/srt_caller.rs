//! A small SRT caller over a real UDP socket: publishes or plays one stream.
//!
//! It has no thread and no buffer that delays: its owner drives it. [`Caller::receive`] blocks in
//! `poll(2)` and returns a payload the moment it arrives, in arrival order; [`Caller::send`] sends
//! at once. Both first do what is due: acknowledge, report losses, send again what the peer misses,
//! keep alive. An owner that does neither for a while calls [`Caller::service`].
//!
//! Dropping a caller says nothing to the peer, like a phone that lost its network. To leave
//! politely, call [`Caller::shutdown`].

mod connect;
mod habits;
mod keys;
mod socket;

use std::collections::VecDeque;
use std::net::{SocketAddr, UdpSocket};
use std::time::{Duration, Instant};

use srt::crypto::KeyMaterial;
use srt::handshake::{KMREQ, KMRSP, Latency};
use srt::packet::{self, Ack, Control, ControlHeader, DataHeader, HEADER_LEN, Nak, build};
use srt::receiver::{Arrival, Receiver, Report, Settings, Statistics};
use srt::{Packet, Seq, SeqRange, SocketId, Timestamp};

pub use connect::Error;
pub use habits::Habits;
use keys::Keys;
pub use keys::Secret;
pub use socket::Traffic;

use socket::Socket;

/// Which end of a stream the caller is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// Sends payloads.
    Publisher,
    /// Receives payloads.
    Player,
}

/// A payload, as it arrived.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Payload {
    /// Its sequence number.
    pub seq: Seq,
    /// When the peer's timeline says it was sent.
    pub timestamp: Timestamp,
    /// What it carries.
    pub bytes: Vec<u8>,
    /// When the socket gave it to us.
    pub arrived: Instant,
    /// Whether it has come before, or after it was given up.
    pub is_duplicate: bool,
    /// Whether the peer marked it as sent again.
    pub is_retransmitted: bool,
}

/// What the peer made us do.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Sent {
    /// Payloads numbered.
    pub payloads: u64,
    /// Payloads sent again.
    pub retransmitted: u64,
    /// The peer's loss reports.
    pub naks: u64,
}

/// Payloads kept for sending again: libsrt's send buffer.
const KEPT_MAX: usize = 8192;
/// Packets the peer may be ahead of our acknowledgement.
const WINDOW_PACKETS: u32 = 8192;
const GAPS_MAX: usize = 1024;
const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(1);
const MESSAGE_MAX: u32 = 0x03ff_ffff;
/// Datagrams taken before time is looked at again.
const BATCH_MAX: usize = 64;

/// A connection that was just made, for an owner that brings an engine of its own.
#[derive(Debug)]
pub struct Connection {
    /// Connected to the peer; it never blocks.
    pub socket: UdpSocket,
    /// The peer's socket id: where packets go.
    pub peer: SocketId,
    /// The first number of what we send.
    pub isn: Seq,
    /// The first number of what the peer sends.
    pub peer_isn: Seq,
    /// The latencies that the peer decided.
    pub latency: Latency,
    /// Where our timeline begins.
    pub start: Instant,
}

impl Connection {
    /// Calls `to` for a stream and waits until the peer answers, at most three seconds.
    ///
    /// # Errors
    /// When the peer refuses, does not answer in time, or the socket fails.
    pub fn make(
        to: SocketAddr,
        stream_id: &str,
        role: Role,
        latency: Duration,
    ) -> Result<Self, Error> {
        Self::make_over(Socket::connect(to)?.into_inner(), stream_id, role, latency)
    }

    /// The same over a socket that is connected already, such as a link's. What else
    /// arrives meanwhile is lost.
    ///
    /// # Errors
    /// When the peer refuses, does not answer in time, or the socket fails.
    pub fn make_over(
        socket: UdpSocket,
        stream_id: &str,
        role: Role,
        latency: Duration,
    ) -> Result<Self, Error> {
        let start = Instant::now();
        let to = socket.peer_addr()?;
        let socket = Socket::adopt(socket)?;
        let wish = Habits::Libsrt.wish(role, latency);
        let (answer, isn) = connect::shake_hands(&socket, to, start, stream_id, wish, None)?;
        Ok(Self {
            socket: socket.into_inner(),
            peer: answer.peer_id,
            isn,
            peer_isn: answer.isn,
            latency: answer.latency,
            start,
        })
    }
}

/// A connected SRT caller.
#[derive(Debug)]
pub struct Caller {
    socket: Socket,
    start: Instant,
    peer: SocketId,
    agreed: Latency,
    wished: Duration,
    habits: Habits,
    next: Seq,
    message: u32,
    kept: VecDeque<Kept>,
    receiver: Receiver,
    inbox: VecDeque<Payload>,
    keys: Option<Keys>,
    said_at: Instant,
    heard_at: Instant,
    is_closed: bool,
    sent: Sent,
}

#[derive(Debug)]
struct Kept {
    numbered_at: Instant,
    header: DataHeader,
    bytes: Vec<u8>,
}

impl Caller {
    /// Calls `to` for a stream and waits until the peer answers, at most three seconds.
    ///
    /// # Errors
    /// When the peer refuses, does not answer in time, or the socket fails.
    pub fn connect(
        to: SocketAddr,
        stream_id: &str,
        role: Role,
        latency: Duration,
    ) -> Result<Self, Error> {
        Self::connect_with(to, stream_id, role, latency, Habits::Libsrt, None)
    }

    /// The same with the habits of some implementation.
    ///
    /// # Errors
    /// As [`connect`](Self::connect).
    pub fn connect_as(
        to: SocketAddr,
        stream_id: &str,
        role: Role,
        latency: Duration,
        habits: Habits,
    ) -> Result<Self, Error> {
        Self::connect_with(to, stream_id, role, latency, habits, None)
    }

    /// The same, encrypted.
    ///
    /// # Errors
    /// As [`connect`](Self::connect); the peer refuses a passphrase that is not its own.
    pub fn connect_encrypted(
        to: SocketAddr,
        stream_id: &str,
        role: Role,
        latency: Duration,
        secret: &Secret,
    ) -> Result<Self, Error> {
        let keys = Some(Keys::new(secret));
        Self::connect_with(to, stream_id, role, latency, Habits::Libsrt, keys)
    }

    fn connect_with(
        to: SocketAddr,
        stream_id: &str,
        role: Role,
        latency: Duration,
        habits: Habits,
        keys: Option<Keys>,
    ) -> Result<Self, Error> {
        let start = Instant::now();
        let socket = Socket::connect(to)?;
        let wish = habits.wish(role, latency);
        let message = keys.as_ref().map(|keys| keys.message().clone());
        let (answer, isn) = connect::shake_hands(&socket, to, start, stream_id, wish, message)?;
        let now = Instant::now();
        let settings = Settings {
            isn: answer.isn,
            window_packets: WINDOW_PACKETS,
            gaps_max: GAPS_MAX,
        };
        Ok(Self {
            socket,
            start,
            peer: answer.peer_id,
            agreed: answer.latency,
            wished: latency,
            habits,
            next: isn,
            message: 1,
            kept: VecDeque::new(),
            receiver: Receiver::new(settings, now),
            inbox: VecDeque::new(),
            keys,
            said_at: now,
            heard_at: now,
            is_closed: false,
            sent: Sent::default(),
        })
    }

    /// Our address.
    ///
    /// # Errors
    /// When the system does not know it.
    pub fn local_addr(&self) -> std::io::Result<SocketAddr> {
        self.socket.local_addr()
    }

    /// The latencies that the peer decided, as it sees them: a player buffers for `send_ms`.
    #[must_use]
    pub const fn agreed_latency(&self) -> Latency {
        self.agreed
    }

    /// Whether the peer has ended the connection.
    #[must_use]
    pub const fn is_closed(&self) -> bool {
        self.is_closed
    }

    /// When something of the peer's last arrived.
    #[must_use]
    pub const fn heard_at(&self) -> Instant {
        self.heard_at
    }

    /// Counts of what was sent.
    #[must_use]
    pub const fn sent(&self) -> &Sent {
        &self.sent
    }

    /// Counts of what was received.
    #[must_use]
    pub const fn received(&self) -> &Statistics {
        self.receiver.statistics()
    }

    /// What went through the socket, handshakes included.
    #[must_use]
    pub const fn traffic(&self) -> Traffic {
        self.socket.traffic()
    }

    /// Now, on our timeline.
    #[must_use]
    pub fn timestamp(&self) -> Timestamp {
        Timestamp::after_start(self.start.elapsed())
    }

    /// Sends a payload now and keeps it in case the peer misses it. Returns its number.
    ///
    /// # Errors
    /// When the socket fails.
    pub fn send(&mut self, payload: &[u8]) -> Result<Seq, Error> {
        self.service()?;
        let kept = self.number(payload);
        self.transmit(&kept)?;
        Ok(self.keep(kept))
    }

    /// Numbers and keeps a payload without sending it, as if the path had lost it.
    ///
    /// # Errors
    /// When the socket fails.
    pub fn send_lost(&mut self, payload: &[u8]) -> Result<Seq, Error> {
        self.service()?;
        let kept = self.number(payload);
        Ok(self.keep(kept))
    }

    /// Waits for the next payload, at most `timeout`; `None` when none came or the peer is gone.
    ///
    /// # Errors
    /// When the socket fails.
    pub fn receive(&mut self, timeout: Duration) -> Result<Option<Payload>, Error> {
        let deadline = Instant::now() + timeout;
        loop {
            self.service()?;
            if let Some(payload) = self.inbox.pop_front() {
                return Ok(Some(payload));
            }
            let now = Instant::now();
            if self.is_closed || now >= deadline {
                return Ok(None);
            }
            let wake_at = self.poll_timeout().min(deadline);
            self.socket.wait(wake_at.saturating_duration_since(now))?;
        }
    }

    /// Takes what has arrived and sends what is due, without waiting.
    ///
    /// # Errors
    /// When the socket fails.
    pub fn service(&mut self) -> Result<(), Error> {
        for _ in 0..BATCH_MAX {
            let mut buffer = [0; 2048];
            let Some(length) = self.socket.receive(&mut buffer)? else {
                break;
            };
            self.handle(Instant::now(), &buffer[..length])?;
        }
        self.handle_timeout(Instant::now())
    }

    /// Tells the peer that the connection ends.
    ///
    /// # Errors
    /// When the socket fails.
    pub fn shutdown(&mut self) -> Result<(), Error> {
        self.is_closed = true;
        self.say(build::shutdown)
    }

    fn poll_timeout(&self) -> Instant {
        let keepalive_at = self.said_at + KEEPALIVE_INTERVAL;
        self.receiver
            .poll_timeout()
            .map_or(keepalive_at, |at| at.min(keepalive_at))
    }

    fn handle(&mut self, now: Instant, datagram: &[u8]) -> Result<(), Error> {
        self.heard_at = now;
        match Packet::parse(datagram) {
            Ok(Packet::Data { header, payload }) => {
                self.handle_data(now, &header, payload);
                Ok(())
            }
            Ok(Packet::Control { body, .. }) => self.handle_control(now, &body),
            // A real program ignores noise, and so do we.
            Err(_) => Ok(()),
        }
    }

    /// What cannot be decrypted is as if it had not come.
    fn handle_data(&mut self, now: Instant, header: &DataHeader, payload: &[u8]) {
        let mut payload = payload.to_vec();
        if let Some(keys) = &self.keys
            && !keys.decrypt(header.key, header.seq, &mut payload)
        {
            return;
        }
        let deadline = now + self.wished;
        let arrival = self.receiver.handle_data(
            now,
            header.seq,
            payload.len(),
            header.retransmitted,
            deadline,
        );
        self.inbox.push_back(Payload {
            seq: header.seq,
            timestamp: header.timestamp,
            bytes: payload,
            arrived: now,
            is_duplicate: matches!(arrival, Arrival::Duplicate | Arrival::OutOfWindow),
            is_retransmitted: header.retransmitted,
        });
    }

    fn handle_control(&mut self, now: Instant, body: &Control<'_>) -> Result<(), Error> {
        match *body {
            Control::Ack(ack) => self.handle_ack(&ack)?,
            Control::Nak(nak) => self.handle_nak(&nak)?,
            Control::AckAck { number } => {
                self.receiver.handle_ackack(now, number);
            }
            Control::DropReq { range, .. } => self.receiver.handle_drop_request(range),
            Control::Shutdown => self.is_closed = true,
            Control::User { subtype, body } => self.handle_keys(subtype, body)?,
            Control::KeepAlive if self.habits == Habits::Moblin => self.say(build::keepalive)?,
            _ => {}
        }
        Ok(())
    }

    fn handle_keys(&mut self, subtype: u16, body: &[u8]) -> Result<(), Error> {
        let Some(keys) = &mut self.keys else {
            return Ok(());
        };
        match subtype {
            KMREQ if keys.handle_request(body) => {
                self.say(|out, header| build::user(out, header, KMRSP, body))
            }
            KMRSP => {
                keys.handle_answer(body);
                Ok(())
            }
            _ => Ok(()),
        }
    }

    fn announce_keys(&mut self, now: Instant) -> Result<(), Error> {
        let round_trip = self.receiver.rtt().smoothed();
        let keys = self.keys.as_mut();
        let message = keys.and_then(|keys| keys.poll_announcement(now, round_trip));
        message.map_or(Ok(()), |message| {
            self.say(|out, header| build::user(out, header, KMREQ, message.as_bytes()))
        })
    }

    fn handle_ack(&mut self, ack: &Ack) -> Result<(), Error> {
        while self
            .kept
            .front()
            .is_some_and(|kept| kept.header.seq.is_before(ack.next))
        {
            self.kept.pop_front();
        }
        if ack.number == 0 {
            return Ok(());
        }
        self.say(|out, header| build::ackack(out, header, ack.number))
    }

    fn handle_nak(&mut self, nak: &Nak<'_>) -> Result<(), Error> {
        self.sent.naks += 1;
        for range in nak.ranges() {
            self.retransmit(range)?;
        }
        Ok(())
    }

    fn retransmit(&mut self, range: SeqRange) -> Result<(), Error> {
        for kept in &mut self.kept {
            if range.contains(kept.header.seq) {
                kept.header.retransmitted = true;
                self.sent.retransmitted += 1;
                transmit(&self.socket, kept)?;
            }
        }
        Ok(())
    }

    fn handle_timeout(&mut self, now: Instant) -> Result<(), Error> {
        self.receiver.handle_timeout(now);
        self.forget(now);
        let mut out = [0; packet::DATAGRAM_MAX];
        let header = self.control_header();
        while let Some(report) = self.receiver.poll_report(now) {
            let length = match report {
                Report::Ack(ack) => build::ack(&mut out, header, &ack),
                Report::Nak(ranges) => build::nak(&mut out, header, ranges.iter().copied()),
            };
            self.socket.send(&out[..length])?;
            self.said_at = now;
        }
        self.announce_keys(now)?;
        if now >= self.said_at + KEEPALIVE_INTERVAL {
            self.say(build::keepalive)?;
        }
        Ok(())
    }

    fn forget(&mut self, now: Instant) {
        if self.habits != Habits::Moblin {
            return;
        }
        let life = self.wished.mul_f64(1.5);
        let is_old = |kept: &Kept| now.saturating_duration_since(kept.numbered_at) > life;
        while self.kept.front().is_some_and(is_old) {
            self.kept.pop_front();
        }
    }

    fn number(&mut self, payload: &[u8]) -> Kept {
        let mut header = DataHeader::live(self.next, self.message, self.timestamp(), self.peer);
        let mut bytes = payload.to_vec();
        if let Some(keys) = &mut self.keys {
            header.key = keys.encrypt(header.seq, &mut bytes);
        }
        self.next = self.next.next();
        match self.habits {
            Habits::Libsrt => self.message = self.message % MESSAGE_MAX + 1,
            Habits::Moblin => header.in_order = true,
        }
        self.sent.payloads += 1;
        Kept {
            numbered_at: Instant::now(),
            header,
            bytes,
        }
    }

    fn keep(&mut self, kept: Kept) -> Seq {
        let seq = kept.header.seq;
        if self.kept.len() == KEPT_MAX {
            self.kept.pop_front();
        }
        self.kept.push_back(kept);
        seq
    }

    fn transmit(&mut self, kept: &Kept) -> Result<(), Error> {
        self.said_at = Instant::now();
        transmit(&self.socket, kept)
    }

    fn say(&mut self, write: impl FnOnce(&mut [u8], ControlHeader) -> usize) -> Result<(), Error> {
        let mut out = [0; HEADER_LEN + KeyMaterial::LENGTH_MAX];
        let length = write(&mut out, self.control_header());
        self.said_at = Instant::now();
        Ok(self.socket.send(&out[..length])?)
    }

    fn control_header(&self) -> ControlHeader {
        ControlHeader {
            timestamp: self.timestamp(),
            destination: self.peer,
        }
    }
}

fn transmit(socket: &Socket, kept: &Kept) -> Result<(), Error> {
    let mut out = [0; 2048];
    build::data_header(&mut out, &kept.header);
    let end = HEADER_LEN + kept.bytes.len();
    out[HEADER_LEN..end].copy_from_slice(&kept.bytes);
    Ok(socket.send(&out[..end])?)
}
