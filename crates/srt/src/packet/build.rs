//! Builders: each writes one packet into the caller's buffer and returns its length.
//!
//! They allocate nothing. A buffer shorter than the packet is a bug of the caller's and panics;
//! [`CONTROL_MAX`] is enough for all but loss reports, which fill what they get.

use crate::id::{SocketId, Timestamp};
use crate::packet::control::{
    RANGE_BIT, TYPE_ACK, TYPE_ACKACK, TYPE_DROPREQ, TYPE_KEEPALIVE, TYPE_NAK, TYPE_SHUTDOWN,
    TYPE_USER,
};
use crate::packet::{Ack, AckDetail, ControlHeader, DataHeader, HEADER_LEN};
use crate::seq::{Seq, SeqRange};

/// Room for any control packet of fixed size: a full acknowledgement is the longest.
pub const CONTROL_MAX: usize = HEADER_LEN + 28;
/// The most 32-bit words a loss report may have.
pub const NAK_WORDS_MAX: usize = 364;

/// Writes the header of a data packet; the payload follows it.
pub fn data_header(out: &mut [u8], header: &DataHeader) -> usize {
    out[..HEADER_LEN].copy_from_slice(&header.to_bytes());
    HEADER_LEN
}

/// Writes an acknowledgement: light, small or full, as its fields say.
pub fn ack(out: &mut [u8], header: ControlHeader, ack: &Ack) -> usize {
    let mut writer = Writer::control(out, TYPE_ACK, 0, ack.number, header);
    writer.word(ack.next.value());
    if let Some(detail) = ack.detail {
        write_detail(&mut writer, &detail);
    }
    writer.length
}

/// Writes a light acknowledgement, which carries no number and is not answered.
pub fn light_ack(out: &mut [u8], header: ControlHeader, next: Seq) -> usize {
    ack(
        out,
        header,
        &Ack {
            number: 0,
            next,
            detail: None,
        },
    )
}

/// Writes the answer to the acknowledgement `number`.
pub fn ackack(out: &mut [u8], header: ControlHeader, number: u32) -> usize {
    empty(out, TYPE_ACKACK, number, header)
}

/// Writes a loss report with as many of `ranges` as fit `out` and [`NAK_WORDS_MAX`].
///
/// Returns 0, writing no packet, when no range was written: an empty report means nothing.
pub fn nak(
    out: &mut [u8],
    header: ControlHeader,
    ranges: impl IntoIterator<Item = SeqRange>,
) -> usize {
    let end = out.len().min(HEADER_LEN + NAK_WORDS_MAX * 4);
    let mut writer = Writer::control(out, TYPE_NAK, 0, 0, header);
    for range in ranges {
        let words = if range.count() == 1 { 1 } else { 2 };
        if writer.length + words * 4 > end {
            break;
        }
        write_range(&mut writer, range);
    }
    if writer.length == HEADER_LEN {
        0
    } else {
        writer.length
    }
}

/// Writes a keepalive.
pub fn keepalive(out: &mut [u8], header: ControlHeader) -> usize {
    empty(out, TYPE_KEEPALIVE, 0, header)
}

/// Writes the end of the connection.
pub fn shutdown(out: &mut [u8], header: ControlHeader) -> usize {
    empty(out, TYPE_SHUTDOWN, 0, header)
}

/// Writes that the packets of `range` will not be sent (again).
pub fn dropreq(out: &mut [u8], header: ControlHeader, message: u32, range: SeqRange) -> usize {
    let mut writer = Writer::control(out, TYPE_DROPREQ, 0, message, header);
    writer.word(range.first().value());
    writer.word(range.last().value());
    writer.length
}

/// Writes an extension command.
pub fn user(out: &mut [u8], header: ControlHeader, subtype: u16, body: &[u8]) -> usize {
    let mut writer = Writer::control(out, TYPE_USER, subtype, 0, header);
    writer.bytes(body);
    writer.length
}

/// Gives an already built packet another timestamp, as when it is sent again later.
pub fn restamp(packet: &mut [u8], timestamp: Timestamp) {
    packet[8..12].copy_from_slice(&timestamp.0.to_be_bytes());
}

/// Gives an already built packet another destination.
pub fn readdress(packet: &mut [u8], destination: SocketId) {
    packet[12..16].copy_from_slice(&destination.0.to_be_bytes());
}

/// A packet without control information carries four zero bytes: libsrt 1.4 refuses a shorter ACKACK.
fn empty(out: &mut [u8], kind: u16, information: u32, header: ControlHeader) -> usize {
    let mut writer = Writer::control(out, kind, 0, information, header);
    writer.word(0);
    writer.length
}

fn write_detail(writer: &mut Writer<'_>, detail: &AckDetail) {
    writer.word(detail.rtt_us);
    writer.word(detail.rtt_var_us);
    writer.word(detail.buffer_available);
    if let Some(rates) = detail.rates {
        writer.word(rates.packets_per_second);
        writer.word(rates.capacity_packets_per_second);
        writer.word(rates.bytes_per_second);
    }
}

fn write_range(writer: &mut Writer<'_>, range: SeqRange) {
    if range.count() == 1 {
        writer.word(range.first().value());
    } else {
        writer.word(range.first().value() | RANGE_BIT);
        writer.word(range.last().value());
    }
}

/// Appends big-endian words to a buffer.
pub(crate) struct Writer<'a> {
    out: &'a mut [u8],
    length: usize,
}

impl<'a> Writer<'a> {
    /// Starts a control packet with its four header words.
    pub(crate) fn control(
        out: &'a mut [u8],
        kind: u16,
        subtype: u16,
        information: u32,
        header: ControlHeader,
    ) -> Self {
        let mut writer = Self { out, length: 0 };
        writer.word(0x8000_0000 | u32::from(kind) << 16 | u32::from(subtype));
        writer.word(information);
        writer.word(header.timestamp.0);
        writer.word(header.destination.0);
        writer
    }

    pub(crate) fn word(&mut self, word: u32) {
        self.bytes(&word.to_be_bytes());
    }

    pub(crate) fn bytes(&mut self, bytes: &[u8]) {
        self.out[self.length..self.length + bytes.len()].copy_from_slice(bytes);
        self.length += bytes.len();
    }

    pub(crate) const fn length(&self) -> usize {
        self.length
    }
}
