//! How much of a transport stream came through.

use std::collections::HashMap;
use std::fmt;
use std::ops::Range;
use std::time::Duration;

use anyhow::{Context, ensure};
use e2e::transport_stream::PACKET_BYTES;

/// After its first packet a player's buffer fills, and its join may have cost it
/// the packets of a handshake that was repeated.
const JOIN: Duration = Duration::from_secs(1);
/// What a publisher sends last is lost when it closes: libsrt does not wait for
/// acknowledgements in live mode.
const TAIL: Duration = Duration::from_millis(1500);

/// What came of the packets that are judged.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Completeness {
    /// Transport packets that had to come.
    pub judged: usize,
    /// Those that did not.
    pub missing: usize,
    /// Packets that came twice or after a later one.
    pub disordered: usize,
    /// Packets that nobody sent.
    pub foreign: usize,
}

impl Completeness {
    /// Compares `received` with `sent`, a stream of `length`: from a while after
    /// the first packet that was received, to a while before the last that was
    /// sent. Packets that repeat, such as tables, are not judged.
    ///
    /// # Errors
    /// When nothing was received, or so late that less than a third of the stream
    /// can be judged.
    pub fn judge(sent: &[u8], received: &[u8], length: Duration) -> anyhow::Result<Self> {
        let places = places(sent);
        let sent_packets = sent.len() / PACKET_BYTES;
        let in_time = |time: Duration| {
            (sent_packets as f64 * time.as_secs_f64() / length.as_secs_f64()) as usize
        };
        let first = packets(received)
            .find_map(|packet| places.get(packet).copied().flatten())
            .context("nothing was received that was sent")?;
        let judged = first + in_time(JOIN)..sent_packets.saturating_sub(in_time(TAIL));
        ensure!(
            judged.len() >= sent_packets / 3,
            "the player was let in too late: at packet {first} of {sent_packets}"
        );
        Ok(Self::count(&places, received, &judged))
    }

    fn count(places: &Places<'_>, received: &[u8], judged: &Range<usize>) -> Self {
        let had_to_come = |place: &&usize| judged.contains(place);
        let mut outcome = Self {
            judged: places.values().flatten().filter(had_to_come).count(),
            ..Self::default()
        };
        let mut came = 0;
        let mut newest = None;
        for packet in packets(received) {
            match places.get(packet) {
                None => outcome.foreign += 1,
                Some(None) => {}
                Some(&Some(place)) if newest >= Some(place) => outcome.disordered += 1,
                Some(&Some(place)) => {
                    newest = Some(place);
                    came += usize::from(judged.contains(&place));
                }
            }
        }
        outcome.missing = outcome.judged - came;
        outcome
    }

    /// Whether nothing is missing, and nothing else is wrong.
    #[must_use]
    pub const fn is_complete(&self) -> bool {
        self.missing == 0 && self.disordered == 0 && self.foreign == 0
    }

    /// The share that is missing.
    #[must_use]
    pub fn missing_ratio(&self) -> f64 {
        self.missing as f64 / self.judged.max(1) as f64
    }
}

impl fmt::Display for Completeness {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            judged,
            missing,
            disordered,
            foreign,
        } = self;
        write!(
            f,
            "{missing} of {judged} packets missing, {disordered} out of order, {foreign} foreign"
        )
    }
}

/// Where each packet is in a stream; `None` when it is there more than once.
type Places<'a> = HashMap<&'a [u8], Option<usize>>;

fn places(sent: &[u8]) -> Places<'_> {
    let mut places = HashMap::new();
    for (place, packet) in packets(sent).enumerate() {
        places
            .entry(packet)
            .and_modify(|place| *place = None)
            .or_insert(Some(place));
    }
    places
}

/// A program that is stopped may leave a part of a packet at the end.
fn packets(bytes: &[u8]) -> impl Iterator<Item = &[u8]> {
    bytes.chunks_exact(PACKET_BYTES)
}

#[cfg(test)]
mod tests {
    use super::*;

    const LENGTH: Duration = Duration::from_secs(10);

    /// A thousand packets; each hundredth is the same table.
    fn stream() -> Vec<Vec<u8>> {
        let packet = |index: u16| {
            let mut packet = vec![0x47; PACKET_BYTES];
            if !index.is_multiple_of(100) {
                packet[4..6].copy_from_slice(&index.to_be_bytes());
            }
            packet
        };
        (0..1000).map(packet).collect()
    }

    fn judge(received: &[Vec<u8>]) -> anyhow::Result<Completeness> {
        Completeness::judge(&stream().concat(), &received.concat(), LENGTH)
    }

    #[test]
    fn a_late_start_and_an_early_end_are_complete() {
        let outcome = judge(&stream()[150..870]).unwrap();
        assert!(outcome.is_complete(), "{outcome:?}");
        // From 1.5 s + 1 s to 8.5 s, without six tables.
        assert_eq!(outcome.judged, 850 - 251 - 6 + 1);
    }

    #[test]
    fn what_is_missing_is_counted() {
        let mut received = stream();
        received.drain(400..410);
        let outcome = judge(&received).unwrap();
        assert_eq!(outcome.missing, 9, "a table is not judged");
        assert!(!outcome.is_complete());
    }

    #[test]
    fn an_early_end_is_missing() {
        assert_eq!(judge(&stream()[..800]).unwrap().missing, 49);
    }

    #[test]
    fn repeated_and_foreign_packets_are_seen() {
        let mut received = stream();
        received.insert(500, received[450].clone());
        received.insert(600, vec![1; PACKET_BYTES]);
        let outcome = judge(&received).unwrap();
        assert_eq!((outcome.disordered, outcome.foreign), (1, 1));
        assert_eq!(outcome.missing, 0);
        assert!(!outcome.is_complete());
    }

    #[test]
    fn too_little_to_judge_is_no_result() {
        assert!(judge(&stream()[600..]).is_err());
        assert!(judge(&[]).is_err());
    }
}
