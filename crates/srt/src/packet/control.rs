//! Control packets: acknowledgements, loss reports, keepalives and their kin.

use crate::handshake::Handshake;
use crate::id::{SocketId, Timestamp};
use crate::packet::{Error, words};
use crate::seq::{Seq, SeqRange};

pub(super) const TYPE_HANDSHAKE: u16 = 0;
pub(super) const TYPE_KEEPALIVE: u16 = 1;
pub(super) const TYPE_ACK: u16 = 2;
pub(super) const TYPE_NAK: u16 = 3;
const TYPE_CONGESTION_WARNING: u16 = 4;
pub(super) const TYPE_SHUTDOWN: u16 = 5;
pub(super) const TYPE_ACKACK: u16 = 6;
pub(super) const TYPE_DROPREQ: u16 = 7;
const TYPE_PEER_ERROR: u16 = 8;
pub(super) const TYPE_USER: u16 = 0x7fff;

/// In a loss report: this number starts a range, the next word ends it.
pub(super) const RANGE_BIT: u32 = 0x8000_0000;

/// The header words that all control packets share.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ControlHeader {
    /// When the packet was sent, on the sending socket's clock.
    pub timestamp: Timestamp,
    /// The receiving socket; [`SocketId::LISTENER`] in a caller's handshake.
    pub destination: SocketId,
}

impl ControlHeader {
    pub(super) const fn from_words(words: [u32; 4]) -> Self {
        Self {
            timestamp: Timestamp(words[2]),
            destination: SocketId(words[3]),
        }
    }
}

/// What a control packet says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Control<'a> {
    /// Asks for, answers or refuses a connection.
    Handshake(Handshake<'a>),
    /// "I am still here." Never answered: two peers that answer each other never stop.
    KeepAlive,
    /// What has arrived.
    Ack(Ack),
    /// What has not.
    Nak(Nak<'a>),
    /// Congestion warning: obsolete, ignored.
    CongestionWarning,
    /// The peer closes the connection.
    Shutdown,
    /// The peer received the acknowledgement with this number.
    AckAck {
        /// The acknowledgement's number.
        number: u32,
    },
    /// The peer will never send these packets (again).
    DropReq {
        /// The message they belong to; 0 when only the range counts.
        message: u32,
        /// The packets.
        range: SeqRange,
    },
    /// The peer's file operation failed: ignored in live mode.
    PeerError {
        /// The peer's error code.
        code: u32,
    },
    /// An extension command, such as new key material (subtypes 3 and 4).
    User {
        /// Which command.
        subtype: u16,
        /// Its argument.
        body: &'a [u8],
    },
}

impl<'a> Control<'a> {
    pub(super) fn parse(header: [u32; 4], body: &'a [u8]) -> Result<Self, Error> {
        let kind = (header[0] >> 16) as u16 & 0x7fff;
        let information = header[1];
        match kind {
            TYPE_HANDSHAKE => Handshake::parse(body).map(Self::Handshake),
            TYPE_KEEPALIVE => Ok(Self::KeepAlive),
            TYPE_ACK => Ack::parse(information, body).map(Self::Ack),
            TYPE_NAK => Nak::parse(body).map(Self::Nak),
            TYPE_CONGESTION_WARNING => Ok(Self::CongestionWarning),
            TYPE_SHUTDOWN => Ok(Self::Shutdown),
            TYPE_ACKACK => Ok(Self::AckAck {
                number: information,
            }),
            TYPE_DROPREQ => parse_dropreq(information, body),
            TYPE_PEER_ERROR => Ok(Self::PeerError { code: information }),
            TYPE_USER => Ok(Self::User {
                subtype: header[0] as u16,
                body,
            }),
            unknown => Err(Error::UnknownType(unknown)),
        }
    }
}

fn parse_dropreq<'a>(message: u32, body: &[u8]) -> Result<Control<'a>, Error> {
    let mut numbers = words(body);
    let (Some(first), Some(last)) = (numbers.next(), numbers.next()) else {
        return Err(Error::Length);
    };
    let range = SeqRange::new(Seq::new(first), Seq::new(last)).ok_or(Error::Range)?;
    Ok(Control::DropReq { message, range })
}

/// An acknowledgement: full, small (without rates) or light (the sequence number only).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ack {
    /// The number an ACKACK returns; 0 in a light acknowledgement, which nobody answers.
    pub number: u32,
    /// The first packet that is still missing: everything before it has arrived or is given up.
    pub next: Seq,
    /// What a full or small acknowledgement adds.
    pub detail: Option<AckDetail>,
}

/// The receiver's view of the path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AckDetail {
    /// Round-trip time.
    pub rtt_us: u32,
    /// Its variance.
    pub rtt_var_us: u32,
    /// Free places in the receive buffer, in packets.
    pub buffer_available: u32,
    /// What a full acknowledgement adds.
    pub rates: Option<AckRates>,
}

/// What the receiver measured.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct AckRates {
    /// Packets received in a second.
    pub packets_per_second: u32,
    /// The link's estimated capacity, packets in a second.
    pub capacity_packets_per_second: u32,
    /// Bytes received in a second.
    pub bytes_per_second: u32,
}

impl Ack {
    fn parse(number: u32, body: &[u8]) -> Result<Self, Error> {
        let mut fields = words(body);
        let next = fields.next().ok_or(Error::Length)?;
        Ok(Self {
            number,
            next: Seq::new(next),
            detail: AckDetail::parse(fields),
        })
    }
}

impl AckDetail {
    fn parse(mut fields: impl Iterator<Item = u32>) -> Option<Self> {
        Some(Self {
            rtt_us: fields.next()?,
            rtt_var_us: fields.next()?,
            buffer_available: fields.next()?,
            rates: AckRates::parse(fields),
        })
    }
}

impl AckRates {
    fn parse(mut fields: impl Iterator<Item = u32>) -> Option<Self> {
        Some(Self {
            packets_per_second: fields.next()?,
            capacity_packets_per_second: fields.next()?,
            bytes_per_second: fields.next()?,
        })
    }
}

/// A loss report, checked: every range in it has an end and runs forward.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Nak<'a> {
    body: &'a [u8],
}

impl<'a> Nak<'a> {
    fn parse(body: &'a [u8]) -> Result<Self, Error> {
        if body.is_empty() || !body.len().is_multiple_of(4) {
            return Err(Error::Length);
        }
        let mut numbers = words(body);
        while let Some(number) = numbers.next() {
            next_range(number, &mut numbers).ok_or(Error::Range)?;
        }
        Ok(Self { body })
    }

    /// The lost packets as ranges, in the order reported.
    pub fn ranges(&self) -> NakRanges<'a> {
        NakRanges { body: self.body }
    }
}

/// The ranges of a [`Nak`].
#[derive(Clone, Debug)]
pub struct NakRanges<'a> {
    body: &'a [u8],
}

impl Iterator for NakRanges<'_> {
    type Item = SeqRange;

    fn next(&mut self) -> Option<SeqRange> {
        let mut numbers = words(self.body);
        let first = numbers.next()?;
        let range = next_range(first, &mut numbers);
        self.body = &self.body[self.body.len() - numbers.len() * 4..];
        range
    }
}

fn next_range(first: u32, numbers: &mut impl Iterator<Item = u32>) -> Option<SeqRange> {
    if first & RANGE_BIT == 0 {
        return Some(SeqRange::single(Seq::new(first)));
    }
    SeqRange::new(Seq::new(first), Seq::new(numbers.next()?))
}
