//! What a received MPEG transport stream says about the way it came.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::{Context, bail, ensure};

/// Bytes of a transport packet.
pub const PACKET_BYTES: usize = 188;

const SYNC: u8 = 0x47;
const PID_NULL: u16 = 0x1fff;

/// A packet of nothing (ISO/IEC 13818-1, 2.4.3.3).
pub const NULL_PACKET: [u8; PACKET_BYTES] = {
    let mut packet = [0xff; PACKET_BYTES];
    let [high, low] = PID_NULL.to_be_bytes();
    (packet[0], packet[1], packet[2], packet[3]) = (SYNC, high, low, 0x10);
    packet
};

/// How often a packet of a stream inside was missing or out of order: its
/// 4-bit counter did not go on (ISO/IEC 13818-1, 2.4.3.3).
///
/// # Errors
/// When the bytes are not whole transport packets.
pub fn continuity_errors(bytes: &[u8]) -> anyhow::Result<usize> {
    ensure!(
        bytes.len().is_multiple_of(PACKET_BYTES),
        "{} bytes are not whole packets",
        bytes.len()
    );
    let mut counters = BTreeMap::new();
    let mut errors = 0;
    for packet in bytes.chunks_exact(PACKET_BYTES) {
        ensure!(packet[0] == SYNC, "a packet does not begin with 0x47");
        let pid = u16::from_be_bytes([packet[1], packet[2]]) & 0x1fff;
        // A counter counts payloads; an announced discontinuity is none.
        let has_payload = packet[3] & 0x10 != 0;
        let is_announced = packet[3] & 0x20 != 0 && packet[4] > 0 && packet[5] & 0x80 != 0;
        if pid == PID_NULL || !has_payload {
            continue;
        }
        let counter = packet[3] & 0x0f;
        let before: Option<u8> = counters.insert(pid, counter);
        errors += usize::from(
            !is_announced && before.is_some_and(|before| (before + 1) & 0x0f != counter),
        );
    }
    Ok(errors)
}

/// The whole transport packets of a file that is still being written.
///
/// # Errors
/// When it cannot be read.
pub fn whole_packets(file: &Path) -> anyhow::Result<Vec<u8>> {
    let mut bytes = std::fs::read(file)?;
    bytes.truncate(bytes.len() - bytes.len() % PACKET_BYTES);
    Ok(bytes)
}

/// Where `received` begins in `sent`, when it is one unbroken run of it.
///
/// # Errors
/// When it is not; says where they part.
pub fn offset_in(sent: &[u8], received: &[u8]) -> anyhow::Result<usize> {
    let start = begin_of(sent, received)?;
    let common = received
        .iter()
        .zip(&sent[start..])
        .take_while(|(a, b)| a == b)
        .count();
    if common == received.len() {
        return Ok(start);
    }
    bail!(
        "received byte {common} of {} differs from sent byte {}",
        received.len(),
        start + common
    )
}

/// Where what was received first was sent.
fn begin_of(sent: &[u8], received: &[u8]) -> anyhow::Result<usize> {
    let probe = received
        .get(..PROBE_BYTES)
        .context("less was received than can be aligned")?;
    (0..sent.len().saturating_sub(PROBE_BYTES))
        .step_by(PACKET_BYTES)
        .find(|&start| &sent[start..start + PROBE_BYTES] == probe)
        .context("what was received first was never sent")
}

/// Long enough to be found once only.
const PROBE_BYTES: usize = 40 * PACKET_BYTES;

/// What was received of all but the last `tail` bytes of `sent`: a sender that closes
/// repairs nothing of these any more.
#[must_use]
pub fn repaired<'a>(sent: &[u8], received: &'a [u8], tail: usize) -> &'a [u8] {
    let Ok(start) = begin_of(sent, received) else {
        return received;
    };
    let due = sent.len().saturating_sub(tail).saturating_sub(start);
    &received[..due.next_multiple_of(PACKET_BYTES).min(received.len())]
}

/// Judges that `received` is `sent` without a hole, from a start that leaves at
/// most `head` of it out to an end that leaves at most `tail` out.
///
/// # Errors
/// When it is not, with what is wrong.
pub fn check_identical(
    sent: &[u8],
    received: &[u8],
    head: usize,
    tail: usize,
) -> anyhow::Result<()> {
    let errors = continuity_errors(received)?;
    let start = offset_in(sent, received).with_context(|| format!("{errors} continuity errors"))?;
    ensure!(errors == 0, "{errors} continuity errors");
    let end = start + received.len();
    ensure!(
        start <= head,
        "the first {start} of {} bytes are missing",
        sent.len()
    );
    ensure!(
        sent.len() - end <= tail,
        "the last {} of {} bytes are missing",
        sent.len() - end,
        sent.len()
    );
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stream(packets: u16) -> Vec<u8> {
        let mut bytes = Vec::new();
        for index in 0..packets {
            let mut packet = [0; PACKET_BYTES];
            packet[..4].copy_from_slice(&[SYNC, 1, 0, 0x10 | (index % 16) as u8]);
            packet[4..6].copy_from_slice(&index.to_be_bytes());
            bytes.extend(packet);
        }
        bytes
    }

    #[test]
    fn an_unbroken_run_is_identical() {
        let sent = stream(500);
        check_identical(
            &sent,
            &sent[10 * PACKET_BYTES..490 * PACKET_BYTES],
            10 * PACKET_BYTES,
            10 * PACKET_BYTES,
        )
        .unwrap();
    }

    #[test]
    fn a_missing_packet_is_seen() {
        let sent = stream(500);
        let mut received = sent.clone();
        received.drain(300 * PACKET_BYTES..301 * PACKET_BYTES);
        assert_eq!(continuity_errors(&received).unwrap(), 1);
        assert!(offset_in(&sent, &received).is_err());
    }

    #[test]
    fn a_missing_end_is_seen() {
        let sent = stream(500);
        let check = |packets: usize| {
            check_identical(&sent, &sent[..packets * PACKET_BYTES], 0, 10 * PACKET_BYTES)
        };
        check(490).unwrap();
        assert!(check(489).is_err());
    }

    #[test]
    fn only_the_end_of_a_closing_sender_is_left_out() {
        let sent = stream(500);
        let tail = 10 * PACKET_BYTES;
        let check = |received: &[u8]| {
            check_identical(&sent, repaired(&sent, received, tail), tail, tail).is_ok()
        };
        let without = |packet: usize| {
            let hole = packet * PACKET_BYTES;
            [&sent[..hole], &sent[hole + PACKET_BYTES..]].concat()
        };
        assert!(check(&without(490)) && check(&without(0)));
        assert!(!check(&without(489)), "a hole before the end");
        assert!(!check(&sent[..489 * PACKET_BYTES]), "too short");
        assert!(!check(&stream(100)[PACKET_BYTES..]), "another stream");
    }

    #[test]
    fn a_late_start_is_seen() {
        let sent = stream(500);
        assert!(check_identical(&sent, &sent[100 * PACKET_BYTES..], 10 * PACKET_BYTES, 0).is_err());
    }
}
