//! The caller's side of the handshake.

use std::hash::{BuildHasher, RandomState};
use std::time::{Duration, Instant};

use srt::handshake::{
    Blocks, EXTENSION_CONFIG, EXTENSION_DGRAM, EXTENSION_HSREQ, FEATURES_LEN, Features, HSREQ,
    Handshake, Kind, Latency, SID, TEXT_BLOCK_MAX, VERSION, VERSION_INDUCTION, write_features,
    write_text,
};
use srt::packet::{Control, ControlHeader};
use srt::{Packet, RejectReason, Seq, SocketId, Timestamp};

use super::socket::Socket;

/// libsrt's patience.
const TIMEOUT: Duration = Duration::from_secs(3);
/// How often libsrt asks again.
const REPEAT_INTERVAL: Duration = Duration::from_millis(250);
/// libsrt 1.5.1 in live mode.
const SRT_VERSION: u32 = 0x01_05_01;
const SRT_FLAGS: u32 = 0xbf;

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
    #[error("no answer in {TIMEOUT:?}")]
    TimedOut,
    /// The stream id is longer than 512 bytes.
    #[error("the stream id is too long")]
    StreamId,
    /// The peer answered something that is no SRT handshake of version 5.
    #[error("the answer is no handshake of version 5")]
    Answer,
    /// The socket failed.
    #[error("socket: {0}")]
    Socket(#[from] std::io::Error),
}

fn rejection(code: u32) -> &'static str {
    RejectReason::from_wire(code).map_or("no rejection", RejectReason::as_str)
}

/// What the peer agreed to.
pub(super) struct Answer {
    pub(super) peer: SocketId,
    pub(super) isn: Seq,
    pub(super) latency: Latency,
}

/// Knocks, concludes, and says what came of it.
pub(super) fn shake_hands(
    socket: &Socket,
    start: Instant,
    stream_id: &str,
    latency: Latency,
) -> Result<Answer, Error> {
    let mut blocks = [0; FEATURES_LEN + TEXT_BLOCK_MAX];
    let blocks = write_blocks(&mut blocks, stream_id, latency)?;
    let knock = induction();
    let mut buffer = [0; 2048];
    let cookie = ask(socket, start, &knock, Kind::Induction, &mut buffer)?.cookie;
    let conclusion = Handshake {
        version: VERSION,
        extension: EXTENSION_HSREQ | EXTENSION_CONFIG,
        kind: Kind::Conclusion,
        cookie,
        blocks: Blocks(blocks),
        ..knock
    };
    let answer = ask(socket, start, &conclusion, Kind::Conclusion, &mut buffer)?;
    let extensions = answer.extensions().map_err(|_| Error::Answer)?;
    let latency = extensions.response.ok_or(Error::Answer)?.latency;
    Ok(Answer {
        peer: answer.socket_id,
        isn: answer.isn,
        latency,
    })
}

fn induction() -> Handshake<'static> {
    let random = RandomState::new().hash_one(0);
    Handshake {
        version: VERSION_INDUCTION,
        encryption: 0,
        extension: EXTENSION_DGRAM,
        isn: Seq::new(random as u32),
        mtu: 1500,
        flow_window: 8192,
        kind: Kind::Induction,
        // Thirty bits, not zero: bit 30 marks socket groups.
        socket_id: SocketId((random >> 32) as u32 & 0x3fff_ffff | 1),
        cookie: 0,
        peer_ip: [0; 16],
        blocks: Blocks::default(),
    }
}

fn write_blocks<'a>(
    out: &'a mut [u8],
    stream_id: &str,
    latency: Latency,
) -> Result<&'a [u8], Error> {
    if stream_id.len() > 512 {
        return Err(Error::StreamId);
    }
    let features = Features {
        version: SRT_VERSION,
        flags: SRT_FLAGS,
        latency,
    };
    let mut length = write_features(out, HSREQ, &features);
    if !stream_id.is_empty() {
        length += write_text(&mut out[length..], SID, stream_id);
    }
    Ok(&out[..length])
}

/// Repeats `request` until an answer of the same kind or a rejection comes.
fn ask<'a>(
    socket: &Socket,
    start: Instant,
    request: &Handshake<'_>,
    kind: Kind,
    buffer: &'a mut [u8],
) -> Result<Handshake<'a>, Error> {
    let deadline = start + TIMEOUT;
    let mut bytes = vec![0; request.packet_len()];
    while Instant::now() < deadline {
        let timestamp = Timestamp::after_start(start.elapsed());
        request.write(
            &mut bytes,
            ControlHeader {
                timestamp,
                destination: SocketId::LISTENER,
            },
        );
        socket.send(&bytes)?;
        let repeat_at = (Instant::now() + REPEAT_INTERVAL).min(deadline);
        if let Some(length) = await_answer(socket, request.socket_id, kind, repeat_at, buffer)? {
            return handshake(&buffer[..length])
                .map(|(_, answer)| answer)
                .ok_or(Error::Answer);
        }
    }
    Err(Error::TimedOut)
}

fn await_answer(
    socket: &Socket,
    our_id: SocketId,
    kind: Kind,
    until: Instant,
    buffer: &mut [u8],
) -> Result<Option<usize>, Error> {
    loop {
        while let Some(length) = socket.receive(buffer)? {
            match handshake(&buffer[..length]) {
                Some((destination, _)) if destination != our_id => {}
                Some((
                    _,
                    Handshake {
                        kind: Kind::Rejection(reason),
                        ..
                    },
                )) => {
                    return Err(Error::Rejected {
                        code: reason.wire(),
                    });
                }
                Some((_, answer)) if answer.kind == kind && answer.version == VERSION => {
                    return Ok(Some(length));
                }
                _ => {}
            }
        }
        let left = until.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Ok(None);
        }
        socket.wait(left)?;
    }
}

fn handshake(datagram: &[u8]) -> Option<(SocketId, Handshake<'_>)> {
    match Packet::parse(datagram) {
        Ok(Packet::Control {
            header,
            body: Control::Handshake(handshake),
        }) => Some((header.destination, handshake)),
        _ => None,
    }
}
