//! Where a decoder can begin: the last program association table before the
//! last random access point of the video.
//!
//! A look at the transport stream's packet headers (ISO/IEC 13818-1, 2.4.3) and
//! no further: nothing is reassembled, and what is no transport stream simply
//! has no such place.

use std::time::{Duration, Instant};

/// Length and first byte of a transport stream packet.
const TS_PACKET: usize = 188;
const TS_SYNC: u8 = 0x47;
/// The program association table's packet identifier.
const PAT_PID: u16 = 0;

/// A place to begin at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Place {
    index: u64,
    at: Instant,
}

/// The places seen in a stream.
#[derive(Debug, Default)]
pub(crate) struct StartPoints {
    table: Option<Place>,
    start: Option<Place>,
}

impl StartPoints {
    /// Looks at a packet as it goes to the players.
    pub(crate) fn observe(&mut self, now: Instant, index: u64, payload: &[u8]) {
        for packet in ts_packets(payload) {
            if is_table(packet) {
                self.table = Some(Place { index, at: now });
            } else if is_video_start(packet) {
                self.start = self.table.filter(|table| table.index <= index);
            }
        }
    }

    /// The last place to begin at, no older than `age_max`.
    pub(crate) fn last(&self, now: Instant, age_max: Duration) -> Option<u64> {
        let start = self.start?;
        let age = now.saturating_duration_since(start.at);
        (age <= age_max).then_some(start.index)
    }
}

/// A payload is whole packets, or none at all.
fn ts_packets(payload: &[u8]) -> impl Iterator<Item = &[u8; TS_PACKET]> {
    let (packets, rest) = payload.as_chunks::<TS_PACKET>();
    let is_ts = rest.is_empty() && packets.iter().all(|packet| packet[0] == TS_SYNC);
    packets.iter().take(if is_ts { packets.len() } else { 0 })
}

fn is_table(packet: &[u8; TS_PACKET]) -> bool {
    let pid = u16::from_be_bytes([packet[1] & 0x1f, packet[2]]);
    pid == PAT_PID && is_unit_start(packet)
}

const fn is_unit_start(packet: &[u8; TS_PACKET]) -> bool {
    packet[1] & 0x40 != 0
}

/// A random access point whose elementary stream is video: muxers flag every
/// packet of audio, too.
fn is_video_start(packet: &[u8; TS_PACKET]) -> bool {
    let has_adaptation = packet[3] & 0x20 != 0;
    let has_payload = packet[3] & 0x10 != 0;
    let (length, flags) = (usize::from(packet[4]), packet[5]);
    let is_random_access = has_adaptation && length > 0 && flags & 0x40 != 0;
    if !(is_random_access && has_payload && is_unit_start(packet)) {
        return false;
    }
    matches!(packet.get(5 + length..), Some([0, 0, 1, 0xe0..=0xef, ..]))
}

#[cfg(test)]
mod tests {
    use super::*;

    const MAX: Duration = Duration::from_secs(5);

    #[allow(
        clippy::disallowed_methods,
        reason = "tests need one instant to count from"
    )]
    fn start() -> Instant {
        Instant::now()
    }

    fn ts(pid: u16, unit_start: bool) -> [u8; TS_PACKET] {
        let mut packet = [0xff; TS_PACKET];
        packet[0] = TS_SYNC;
        packet[1..3].copy_from_slice(&pid.to_be_bytes());
        packet[1] |= if unit_start { 0x40 } else { 0 };
        packet[3] = 0x10;
        packet
    }

    /// With an adaptation field of eight bytes that flags random access.
    fn access(stream_id: u8) -> [u8; TS_PACKET] {
        let mut packet = ts(256, true);
        packet[3] = 0x30;
        packet[4..6].copy_from_slice(&[7, 0x50]);
        packet[12..16].copy_from_slice(&[0, 0, 1, stream_id]);
        packet
    }

    fn observed(payloads: &[Vec<u8>]) -> Option<u64> {
        let mut points = StartPoints::default();
        for (index, payload) in (10..).zip(payloads) {
            points.observe(start(), index, payload);
        }
        points.last(start(), MAX)
    }

    #[test]
    fn it_is_the_last_table_before_the_last_video_access_point() {
        let (table, video, other) = (ts(0, true), access(0xe0), ts(256, false));
        let both = [table, other, video].concat();
        assert_eq!(observed(std::slice::from_ref(&both)), Some(10));
        let apart = [table, other, video, other].map(|packet| packet.to_vec());
        assert_eq!(observed(&apart), Some(10));
        let later_table = [both, table.to_vec(), other.to_vec()];
        assert_eq!(observed(&later_table), Some(10), "no access point after it");
        let twice = [table, video, table, other, video].map(|packet| packet.to_vec());
        assert_eq!(observed(&twice), Some(12));
    }

    #[test]
    fn audio_tables_in_pieces_and_video_without_a_table_are_none() {
        let (table, video) = (ts(0, true), access(0xe0));
        assert_eq!(observed(&[video.to_vec()]), None);
        assert_eq!(observed(&[table.to_vec(), access(0xc0).to_vec()]), None);
        assert_eq!(observed(&[ts(0, false).to_vec(), video.to_vec()]), None);
    }

    #[test]
    fn what_is_no_transport_stream_has_no_start() {
        let mut cut = [ts(0, true), access(0xe0)].concat();
        cut.pop();
        let mut out_of_step = [ts(0, true), access(0xe0)].concat();
        out_of_step[TS_PACKET] = 0;
        let mut overlong = access(0xe0);
        overlong[4] = 255;
        for payload in [cut, out_of_step, vec![], vec![TS_SYNC; 100]] {
            assert_eq!(observed(&[payload]), None);
        }
        assert_eq!(observed(&[ts(0, true).to_vec(), overlong.to_vec()]), None);
        let mut empty = access(0xe0);
        empty[4] = 0;
        assert_eq!(observed(&[ts(0, true).to_vec(), empty.to_vec()]), None);
    }

    #[test]
    fn an_old_start_is_none() {
        let mut points = StartPoints::default();
        let start = start();
        points.observe(start, 1, &[ts(0, true), access(0xe0)].concat());
        assert_eq!(points.last(start + MAX, MAX), Some(1));
        assert_eq!(
            points.last(start + MAX + Duration::from_millis(1), MAX),
            None
        );
    }
}
