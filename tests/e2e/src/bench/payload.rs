//! What the generator's packets carry: a transport stream of null packets whose
//! first says when it was sent and as the how manieth.

/// Seven packets of a transport stream, as live senders do.
pub(super) const PAYLOAD_BYTES: usize = 1316;
const TS_PACKET_BYTES: usize = 188;
/// A packet that decoders skip: PID 0x1fff, payload only.
const TS_NULL_HEADER: [u8; 4] = [0x47, 0x1f, 0xff, 0x10];

const SENT_AT: usize = TS_NULL_HEADER.len();
const COUNTER_AT: usize = SENT_AT + 8;
const STREAM_AT: usize = COUNTER_AT + 8;
const JUDGED_AT: usize = STREAM_AT + 4;
const END: usize = JUDGED_AT + 1;

/// What a payload says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Stamp {
    /// Nanoseconds of the system's clock.
    pub(super) sent_ns: u64,
    /// Counts a stream's payloads from 0.
    pub(super) counter: u64,
    /// Which of the run's streams.
    pub(super) stream: u32,
    /// Whether it was sent while figures were taken.
    pub(super) judged: bool,
}

impl Stamp {
    /// Writes the stamp into a payload made by [`blank`].
    pub(super) fn write(&self, payload: &mut [u8]) {
        payload[SENT_AT..COUNTER_AT].copy_from_slice(&self.sent_ns.to_be_bytes());
        payload[COUNTER_AT..STREAM_AT].copy_from_slice(&self.counter.to_be_bytes());
        payload[STREAM_AT..JUDGED_AT].copy_from_slice(&self.stream.to_be_bytes());
        payload[JUDGED_AT] = self.judged.into();
    }

    /// Reads the stamp of a whole payload.
    pub(super) fn read(payload: &[u8]) -> Option<Self> {
        let fields = payload
            .first_chunk::<END>()
            .filter(|_| payload.len() == PAYLOAD_BYTES)?;
        Some(Self {
            sent_ns: u64::from_be_bytes(*fields[SENT_AT..].first_chunk()?),
            counter: u64::from_be_bytes(*fields[COUNTER_AT..].first_chunk()?),
            stream: u32::from_be_bytes(*fields[STREAM_AT..].first_chunk()?),
            judged: fields[JUDGED_AT] == 1,
        })
    }
}

/// A payload without a stamp.
pub(super) fn blank() -> [u8; PAYLOAD_BYTES] {
    let mut payload = [0xff; PAYLOAD_BYTES];
    for packet in payload.chunks_exact_mut(TS_PACKET_BYTES) {
        packet[..TS_NULL_HEADER.len()].copy_from_slice(&TS_NULL_HEADER);
    }
    payload
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stamp_is_read_as_it_was_written() {
        let stamp = Stamp {
            sent_ns: u64::MAX - 3,
            counter: 1 << 40,
            stream: 499,
            judged: true,
        };
        let mut payload = blank();
        stamp.write(&mut payload);
        assert_eq!(Stamp::read(&payload), Some(stamp));
        assert_eq!(payload[..4], TS_NULL_HEADER);
        assert_eq!(Stamp::read(&payload[..1000]), None);
    }
}
