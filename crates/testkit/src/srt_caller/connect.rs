//! The caller's side of the handshake, driven over a socket.

use std::hash::{BuildHasher, RandomState};
use std::net::SocketAddr;
use std::time::Instant;

use srt::caller::{self, Agreement, Failure, PATIENCE, Progress, Settings};
use srt::crypto::KeyMaterial;
use srt::handshake::{Handshake, Latency, StreamId};
use srt::packet::{Control, ControlHeader};
use srt::{Packet, RejectReason, Seq, SocketId, Timestamp};

use super::socket::Socket;

/// Why there is no connection, or none any more.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The peer refused.
    #[error("rejected with {code}: {reason}", reason = rejection(*code))]
    Rejected {
        /// The code on the wire: 1000 and more.
        code: u32,
    },
    /// The peer did not answer.
    #[error("no answer in {PATIENCE:?}")]
    TimedOut,
    /// The stream id is longer than 512 bytes, or has control characters.
    #[error("this is no stream id")]
    StreamId,
    /// The peer's answer cannot be used.
    #[error("the answer cannot be used: {0}")]
    Answer(RejectReason),
    /// The socket failed.
    #[error("socket: {0}")]
    Socket(#[from] std::io::Error),
}

impl From<Failure> for Error {
    fn from(failure: Failure) -> Self {
        match failure {
            Failure::Rejected(reason) => Self::Rejected {
                code: reason.wire(),
            },
            Failure::Unusable(reason) => Self::Answer(reason),
            Failure::NoAnswer => Self::TimedOut,
        }
    }
}

fn rejection(code: u32) -> &'static str {
    RejectReason::from_wire(code).map_or("no rejection", RejectReason::as_str)
}

/// Knocks, concludes, and says what came of it, and what our first number is.
pub(super) fn shake_hands(
    socket: &Socket,
    to: SocketAddr,
    start: Instant,
    stream_id: &str,
    latency: Latency,
    key: Option<KeyMaterial>,
) -> Result<(Agreement, Seq), Error> {
    let settings = Settings {
        key,
        ..settings(to, stream_id, latency)?
    };
    let mut attempt = caller::Caller::new(settings, start);
    loop {
        let now = Instant::now();
        let timestamp = Timestamp::after_start(now.saturating_duration_since(start));
        if let Some(request) = attempt.poll_request(now, timestamp) {
            socket.send(request)?;
        }
        attempt.handle_timeout(now)?;
        if let Some(agreement) = receive(socket, &mut attempt)? {
            return Ok((agreement, attempt.isn()));
        }
        if let Some(at) = attempt.poll_timeout() {
            socket.wait(at.saturating_duration_since(Instant::now()))?;
        }
    }
}

fn settings(to: SocketAddr, stream_id: &str, latency: Latency) -> Result<Settings, Error> {
    let random = RandomState::new().hash_one(0);
    let stream_id = match stream_id {
        "" => None,
        text => Some(StreamId::new(text).ok_or(Error::StreamId)?),
    };
    Ok(Settings {
        to,
        // Thirty bits, not zero: bit 30 marks socket groups.
        socket_id: SocketId((random >> 32) as u32 & 0x3fff_ffff | 1),
        isn: Seq::new(random as u32),
        stream_id,
        latency,
        key: None,
        patience: PATIENCE,
    })
}

/// Takes what has arrived; answers that are not ours, and noise, change nothing.
fn receive(socket: &Socket, attempt: &mut caller::Caller) -> Result<Option<Agreement>, Error> {
    let mut buffer = [0; 2048];
    while let Some(length) = socket.receive(&mut buffer)? {
        let Some((header, handshake)) = handshake(&buffer[..length]) else {
            continue;
        };
        match attempt.handle(Instant::now(), header, &handshake) {
            Ok(Progress::Connected(agreement)) => return Ok(Some(agreement)),
            Ok(Progress::Concluding) => return Ok(None),
            Err(caller::Error::Failed(failure)) => return Err(failure.into()),
            Err(caller::Error::Ignored(_)) => {}
        }
    }
    Ok(None)
}

fn handshake(datagram: &[u8]) -> Option<(ControlHeader, Handshake<'_>)> {
    match Packet::parse(datagram) {
        Ok(Packet::Control {
            header,
            body: Control::Handshake(handshake),
        }) => Some((header, handshake)),
        _ => None,
    }
}
