//! The handshake of a simulated libsrt caller, and its clock.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use srt::crypto::{Kek, KeyLength, KeyMaterial, ReceiveKeys, RefreshAfter, Sek, SekPair, SendKeys};
use srt::handshake::{Blocks, FEATURES_LEN};
use srt::handshake::{
    EXTENSION_CONFIG, EXTENSION_DGRAM, EXTENSION_HSREQ, EXTENSION_KMREQ, Features, HSREQ,
    Handshake, KMREQ, Kind, Latency, SID, TEXT_BLOCK_MAX, VERSION, VERSION_INDUCTION, write_block,
    write_features, write_text,
};
use srt::packet::{ControlHeader, build};
use srt::{RejectReason, Seq, SocketId, Timestamp};

/// libsrt sends a keepalive after so long without sending anything.
pub(crate) const KEEPALIVE: Duration = Duration::from_secs(1);
const RETRY: Duration = Duration::from_millis(250);
/// Longer than any test.
const PATIENCE: Duration = Duration::from_secs(86_400);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum State {
    Calling { cookie: Option<u32> },
    Connected { peer: SocketId, latency: Latency },
    Refused(RejectReason),
    Closed,
}

/// How a caller calls.
#[derive(Debug, Clone)]
pub(crate) struct Spec {
    pub(crate) addr: SocketAddr,
    pub(crate) stream_id: String,
    pub(crate) latency_ms: u16,
    /// How many unacknowledged packets it takes.
    pub(crate) flow_window: u32,
    pub(crate) isn: u32,
    /// The socket's clock at its start, microseconds.
    pub(crate) clock_us: u64,
    /// How much faster than ours its clock runs.
    pub(crate) clock_ppm: i64,
    pub(crate) socket: u8,
    pub(crate) secret: Option<Secret>,
}

/// What a caller encrypts with.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Secret {
    pub(crate) passphrase: &'static str,
    pub(crate) length: KeyLength,
}

impl Secret {
    pub(crate) const fn new(passphrase: &'static str, length: KeyLength) -> Self {
        Self { passphrase, length }
    }

    fn kek(self, salt: u8) -> Kek {
        Kek::derive(self.passphrase.as_bytes(), [salt; 16], self.length)
    }
}

/// Wraps `sek` as the even key.
fn even(sek: Sek) -> SekPair {
    SekPair {
        even: Some(sek),
        odd: None,
    }
}

impl Spec {
    pub(crate) fn new(host: u8, stream_id: impl Into<String>) -> Self {
        Self {
            addr: SocketAddr::from(([192, 0, 2, host], 40_000)),
            stream_id: stream_id.into(),
            latency_ms: 120,
            flow_window: 8192,
            isn: 1000 * u32::from(host),
            clock_us: 12_345,
            clock_ppm: 0,
            socket: 0,
            secret: None,
        }
    }
}

#[derive(Debug)]
pub(crate) struct Caller {
    pub(crate) spec: Spec,
    pub(crate) id: SocketId,
    pub(crate) state: State,
    pub(crate) started_at: Instant,
    /// Makes its connection request once, as some do.
    pub(crate) asks_once: bool,
    keys: Option<(Kek, SekPair)>,
    retry_at: Instant,
}

impl Caller {
    pub(crate) fn new(spec: Spec, id: u32, now: Instant) -> Self {
        let state = State::Calling { cookie: None };
        let keys = spec.secret.map(|secret| {
            let sek = Sek::new(secret.length, &[id as u8; 32]);
            (secret.kek(id as u8), even(sek))
        });
        Self {
            spec,
            id: SocketId(id),
            state,
            started_at: now,
            asks_once: false,
            keys,
            retry_at: now,
        }
    }

    pub(crate) fn isn(&self) -> Seq {
        Seq::new(self.spec.isn)
    }

    pub(crate) fn timestamp(&self, now: Instant) -> Timestamp {
        let elapsed = now.duration_since(self.started_at).as_micros() as i64;
        let skewed = elapsed + elapsed * self.spec.clock_ppm / 1_000_000;
        Timestamp((self.spec.clock_us as i64 + skewed) as u32)
    }

    pub(crate) fn peer(&self) -> Option<SocketId> {
        match self.state {
            State::Connected { peer, .. } => Some(peer),
            _ => None,
        }
    }

    pub(crate) fn header(&self, now: Instant) -> Option<ControlHeader> {
        Some(ControlHeader {
            timestamp: self.timestamp(now),
            destination: self.peer()?,
        })
    }

    /// Takes the listener's word; true when it made the connection.
    pub(crate) fn handle_handshake(&mut self, now: Instant, handshake: &Handshake<'_>) -> bool {
        let State::Calling { cookie } = self.state else {
            return false;
        };
        match handshake.kind {
            Kind::Induction if cookie.is_none() => {
                self.state = State::Calling {
                    cookie: Some(handshake.cookie),
                };
                self.retry_at = now;
            }
            Kind::Conclusion => {
                let extensions = handshake.extensions().unwrap();
                let features = extensions.response.expect("an HSRSP");
                let sent = self.key_material();
                let sent = sent.as_ref().map(KeyMaterial::as_bytes);
                assert_eq!(
                    extensions.key_response, sent,
                    "keys are confirmed by their echo"
                );
                let latency = features.latency;
                self.state = State::Connected {
                    peer: handshake.socket_id,
                    latency,
                };
                return true;
            }
            Kind::Rejection(reason) => self.state = State::Refused(reason),
            _ => {}
        }
        false
    }

    pub(crate) fn poll_timeout(&self) -> Option<Instant> {
        matches!(self.state, State::Calling { .. }).then_some(self.retry_at)
    }

    pub(crate) fn handle_timeout(&mut self, now: Instant, outbox: &mut Vec<Vec<u8>>) {
        let State::Calling { cookie } = self.state else {
            return;
        };
        if now < self.retry_at {
            return;
        }
        let is_last = self.asks_once && cookie.is_some();
        self.retry_at = now + if is_last { PATIENCE } else { RETRY };
        outbox.push(match cookie {
            None => self.induction(now),
            Some(cookie) => self.conclusion(now, cookie),
        });
    }

    pub(crate) fn induction(&self, now: Instant) -> Vec<u8> {
        self.write(
            now,
            VERSION_INDUCTION,
            EXTENSION_DGRAM,
            Kind::Induction,
            0,
            &[],
        )
    }

    pub(crate) fn conclusion(&self, now: Instant, cookie: u32) -> Vec<u8> {
        let mut blocks = [0; FEATURES_LEN + TEXT_BLOCK_MAX + 4 + KeyMaterial::LENGTH_MAX];
        let latency = Latency::both(self.spec.latency_ms);
        let features = Features {
            version: 0x01_05_01,
            flags: 0xbf,
            latency,
        };
        let mut length = write_features(&mut blocks, HSREQ, &features);
        length += write_text(&mut blocks[length..], SID, &self.spec.stream_id);
        let mut extension = EXTENSION_HSREQ | EXTENSION_CONFIG;
        if let Some(message) = self.key_material() {
            length += write_block(&mut blocks[length..], KMREQ, message.as_bytes());
            extension |= EXTENSION_KMREQ;
        }
        self.write(
            now,
            VERSION,
            extension,
            Kind::Conclusion,
            cookie,
            &blocks[..length],
        )
    }

    fn key_material(&self) -> Option<KeyMaterial> {
        let (kek, seks) = self.keys.as_ref()?;
        Some(kek.wrap(seks))
    }

    /// What it encrypts with once it is connected.
    pub(crate) fn send_keys(&self, refresh: RefreshAfter) -> Option<SendKeys> {
        let (kek, seks) = self.keys.clone()?;
        Some(SendKeys::new(kek, seks, refresh))
    }

    /// What it decrypts with once it is connected.
    pub(crate) fn receive_keys(&self) -> Option<ReceiveKeys> {
        let (kek, seks) = self.keys.clone()?;
        Some(ReceiveKeys::new(kek, &seks))
    }

    fn write(
        &self,
        now: Instant,
        version: u32,
        extension: u16,
        kind: Kind,
        cookie: u32,
        blocks: &[u8],
    ) -> Vec<u8> {
        let handshake = Handshake {
            version,
            encryption: 0,
            extension,
            isn: self.isn(),
            mtu: 1500,
            flow_window: self.spec.flow_window,
            kind,
            socket_id: self.id,
            cookie,
            peer_ip: [0; 16],
            blocks: Blocks(blocks),
        };
        let header = ControlHeader {
            timestamp: self.timestamp(now),
            destination: SocketId::LISTENER,
        };
        let mut packet = vec![0; handshake.packet_len()];
        handshake.write(&mut packet, header);
        packet
    }
}

pub(crate) fn keepalive(header: ControlHeader) -> Vec<u8> {
    let mut buffer = [0; build::CONTROL_MAX];
    let length = build::keepalive(&mut buffer, header);
    buffer[..length].to_vec()
}
