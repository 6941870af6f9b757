//! Builders. None of them allocates.

use srt::Seq;

use super::{
    ACK_LEN, ACK_PACKETS, ConnectionInfo, ID_LEN, INFO_LEN, INFO_MAGIC, INFO_VERSION, KeepAlive,
    PADDED_LEN, REG_LEN, SRTLA_TYPE_ACK, SRTLA_TYPE_KEEPALIVE, SRTLA_TYPE_REG_ERR,
    SRTLA_TYPE_REG_NGP, SRTLA_TYPE_REG1, SRTLA_TYPE_REG2, SRTLA_TYPE_REG3,
};

/// "The link is registered", padded.
pub const REG3: [u8; PADDED_LEN] = padded(SRTLA_TYPE_REG3);
/// "Refused", padded.
pub const REG_ERR: [u8; PADDED_LEN] = padded(SRTLA_TYPE_REG_ERR);
/// "No such group", padded.
pub const REG_NGP: [u8; PADDED_LEN] = padded(SRTLA_TYPE_REG_NGP);

const fn padded(kind: u16) -> [u8; PADDED_LEN] {
    let mut bytes = [0; PADDED_LEN];
    [bytes[0], bytes[1]] = kind.to_be_bytes();
    bytes
}

/// A sender's request for a group; only the first half of `id` counts.
#[must_use]
pub fn reg1(id: &[u8; ID_LEN]) -> [u8; REG_LEN] {
    registration(SRTLA_TYPE_REG1, id)
}

/// The answer to it, and a link's request to join.
#[must_use]
pub fn reg2(id: &[u8; ID_LEN]) -> [u8; REG_LEN] {
    registration(SRTLA_TYPE_REG2, id)
}

fn registration(kind: u16, id: &[u8; ID_LEN]) -> [u8; REG_LEN] {
    let mut bytes = [0; REG_LEN];
    bytes[..2].copy_from_slice(&kind.to_be_bytes());
    bytes[2..].copy_from_slice(id);
    bytes
}

/// "These packets came on this link."
#[must_use]
pub fn ack(seqs: &[Seq; ACK_PACKETS]) -> [u8; ACK_LEN] {
    let mut bytes = [0; ACK_LEN];
    bytes[..2].copy_from_slice(&SRTLA_TYPE_ACK.to_be_bytes());
    for (word, seq) in bytes[4..].as_chunks_mut().0.iter_mut().zip(seqs) {
        *word = seq.value().to_be_bytes();
    }
    bytes
}

/// Writes a keepalive back as it came, padded to 32 bytes; returns the length.
///
/// # Panics
/// When `out` is shorter than [`KEEPALIVE_LEN_MAX`](super::KEEPALIVE_LEN_MAX).
pub fn keepalive_echo(out: &mut [u8], keepalive: KeepAlive<'_>) -> usize {
    let bytes = keepalive.bytes();
    let length = bytes.len().max(PADDED_LEN);
    out[..bytes.len()].copy_from_slice(bytes);
    out[bytes.len()..length].fill(0);
    length
}

/// A sender's shortest keepalive.
#[must_use]
pub const fn keepalive() -> [u8; 2] {
    SRTLA_TYPE_KEEPALIVE.to_be_bytes()
}

/// A sender's keepalive that measures the round trip.
#[must_use]
pub fn keepalive_at(time_ms: u64) -> [u8; 10] {
    let mut bytes = [0; 10];
    bytes[..2].copy_from_slice(&keepalive());
    bytes[2..].copy_from_slice(&time_ms.to_be_bytes());
    bytes
}

/// A sender's keepalive that also tells how the link is.
#[must_use]
pub fn keepalive_with_info(time_ms: u64, info: &ConnectionInfo) -> [u8; INFO_LEN] {
    let mut bytes = [0; INFO_LEN];
    bytes[..10].copy_from_slice(&keepalive_at(time_ms));
    bytes[10..12].copy_from_slice(&INFO_MAGIC.to_be_bytes());
    bytes[12..14].copy_from_slice(&INFO_VERSION.to_be_bytes());
    let words = [
        info.connection_id,
        info.window.cast_unsigned(),
        info.in_flight.cast_unsigned(),
        info.rtt_ms,
        info.naks,
        info.bytes_per_second,
    ];
    for (out, word) in bytes[14..].as_chunks_mut().0.iter_mut().zip(words) {
        *out = word.to_be_bytes();
    }
    bytes
}
