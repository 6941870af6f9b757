//! SRTLA's own packets on the wire. All integers are big-endian.
//!
//! SRTLA has no header: a datagram is an SRT packet or one of these, told apart by its first 16
//! bits, which lie among SRT's unused control types.
//!
//! ```text
//! 0x9000 keepalive   S⇄R  type [time u64 [extended: see ConnectionInfo]]     2, 10 or 38 bytes
//! 0x9100 SRTLA ACK   R→S  type, 0 u16, sequence numbers u32 × 10                     44
//! 0x9200 REG1        S→R  type, id (its first half is the sender's)                 258
//! 0x9201 REG2        S⇄R  type, id                                                  258
//! 0x9202 REG3        R→S  type                                                2, we send 32
//! 0x9210 REG_ERR     R→S  type                                                2, we send 32
//! 0x9211 REG_NGP     R→S  type ("no group")                                   2, we send 32
//! 0x9212 REG_NAK     reserved, sent by nobody
//! ```
//!
//! Short replies are padded with zeros to 32 bytes, because some carriers drop UDP payloads of two;
//! every known sender looks at the type only. SRT packets are never padded: a longer loss report
//! would say something else.

mod build;

pub use build::{
    REG_ERR, REG_NGP, REG3, ack, keepalive, keepalive_at, keepalive_echo, keepalive_with_info,
    reg1, reg2,
};

use srt::Seq;

/// Keepalive.
pub const SRTLA_TYPE_KEEPALIVE: u16 = 0x9000;
/// Which packets arrived on this link.
pub const SRTLA_TYPE_ACK: u16 = 0x9100;
/// Asks for a group.
pub const SRTLA_TYPE_REG1: u16 = 0x9200;
/// Names a group: the receiver's answer to REG1, and how a link joins.
pub const SRTLA_TYPE_REG2: u16 = 0x9201;
/// The link is registered.
pub const SRTLA_TYPE_REG3: u16 = 0x9202;
/// Registration refused.
pub const SRTLA_TYPE_REG_ERR: u16 = 0x9210;
/// No such group.
pub const SRTLA_TYPE_REG_NGP: u16 = 0x9211;
/// Reserved.
pub const SRTLA_TYPE_REG_NAK: u16 = 0x9212;

/// The length of a group's id.
pub const ID_LEN: usize = 256;
/// The length of REG1 and REG2.
pub const REG_LEN: usize = 2 + ID_LEN;
/// What short replies are padded to.
pub const PADDED_LEN: usize = 32;
/// The length of the acknowledgements we send.
pub const ACK_LEN: usize = 4 + 4 * ACK_PACKETS;
/// Data packets that one acknowledgement of ours names.
pub const ACK_PACKETS: usize = 10;
/// The longest keepalive that is answered; the longest in use has 38 bytes.
pub const KEEPALIVE_LEN_MAX: usize = 256;
/// The longest reply to any control packet.
pub const REPLY_LEN_MAX: usize = REG_LEN;

const INFO_LEN: usize = 38;
const INFO_MAGIC: u16 = 0xc01f;
const INFO_VERSION: u16 = 0x0001;

/// What a datagram is, by its first 16 bits and its length.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Class {
    /// SRT's: data, or a control type SRT may use.
    Srt,
    /// SRTLA's own.
    Srtla,
    /// Neither: too short, or a type that nobody defines.
    Unknown,
}

/// Sorts a datagram; costs a comparison or two.
#[must_use]
pub fn classify(datagram: &[u8]) -> Class {
    match kind(datagram) {
        Some(
            SRTLA_TYPE_KEEPALIVE
            | SRTLA_TYPE_ACK
            | SRTLA_TYPE_REG1..=SRTLA_TYPE_REG3
            | SRTLA_TYPE_REG_ERR..=SRTLA_TYPE_REG_NAK,
        ) => Class::Srtla,
        // 0xffff is SRT's user-defined type: new key material, among others.
        Some(0..0x9000 | 0xffff) if datagram.len() >= srt::packet::HEADER_LEN => Class::Srt,
        _ => Class::Unknown,
    }
}

fn kind(datagram: &[u8]) -> Option<u16> {
    datagram.first_chunk().copied().map(u16::from_be_bytes)
}

/// An SRTLA packet, borrowed from its datagram.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Packet<'a> {
    /// "I am still here", to be sent back as it is.
    KeepAlive(KeepAlive<'a>),
    /// Which packets arrived on this link.
    Ack(AckList<'a>),
    /// Asks for a group.
    Reg1(&'a [u8; ID_LEN]),
    /// Names a group.
    Reg2(&'a [u8; ID_LEN]),
    /// The link is registered.
    Reg3,
    /// Registration refused.
    RegErr,
    /// No such group.
    RegNgp,
    /// Reserved.
    RegNak,
}

/// Why a datagram is not an SRTLA packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// The type is none of SRTLA's.
    #[error("no SRTLA type")]
    Type,
    /// A length that the type cannot have.
    #[error("a wrong length for its type")]
    Length,
}

impl<'a> Packet<'a> {
    /// Reads one datagram.
    ///
    /// # Errors
    /// When its type is not SRTLA's or its length not the type's.
    pub fn parse(datagram: &'a [u8]) -> Result<Self, Error> {
        match kind(datagram).ok_or(Error::Length)? {
            SRTLA_TYPE_KEEPALIVE => KeepAlive::parse(datagram).map(Self::KeepAlive),
            SRTLA_TYPE_ACK => AckList::parse(datagram).map(Self::Ack),
            SRTLA_TYPE_REG1 => id(datagram).map(Self::Reg1),
            SRTLA_TYPE_REG2 => id(datagram).map(Self::Reg2),
            SRTLA_TYPE_REG3 => Ok(Self::Reg3),
            SRTLA_TYPE_REG_ERR => Ok(Self::RegErr),
            SRTLA_TYPE_REG_NGP => Ok(Self::RegNgp),
            SRTLA_TYPE_REG_NAK => Ok(Self::RegNak),
            _ => Err(Error::Type),
        }
    }
}

fn id(datagram: &[u8]) -> Result<&[u8; ID_LEN], Error> {
    datagram[2..].try_into().map_err(|_| Error::Length)
}

/// A keepalive of any of the three forms.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KeepAlive<'a> {
    bytes: &'a [u8],
}

impl<'a> KeepAlive<'a> {
    fn parse(bytes: &'a [u8]) -> Result<Self, Error> {
        if bytes.len() > KEEPALIVE_LEN_MAX {
            return Err(Error::Length);
        }
        Ok(Self { bytes })
    }

    /// The whole datagram.
    #[must_use]
    pub const fn bytes(self) -> &'a [u8] {
        self.bytes
    }

    /// The sender's time in milliseconds, on whatever clock it keeps.
    #[must_use]
    pub fn time_ms(self) -> Option<u64> {
        self.bytes
            .get(2..)?
            .first_chunk()
            .copied()
            .map(u64::from_be_bytes)
    }

    /// What the sender says about the link, when it says so.
    #[must_use]
    pub fn info(self) -> Option<ConnectionInfo> {
        let bytes: &[u8; INFO_LEN] = self.bytes.first_chunk()?;
        let known = half(bytes, 10) == INFO_MAGIC && half(bytes, 12) == INFO_VERSION;
        known.then(|| ConnectionInfo {
            connection_id: word(bytes, 14),
            window: word(bytes, 18).cast_signed(),
            in_flight: word(bytes, 22).cast_signed(),
            rtt_ms: word(bytes, 26),
            naks: word(bytes, 30),
            bytes_per_second: word(bytes, 34),
        })
    }
}

fn half(bytes: &[u8; INFO_LEN], at: usize) -> u16 {
    u16::from_be_bytes([bytes[at], bytes[at + 1]])
}

fn word(bytes: &[u8; INFO_LEN], at: usize) -> u32 {
    u32::from_be_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]])
}

/// What an extended keepalive says about its link. All of it is the sender's claim.
///
/// ```text
/// 0 type | 2 time u64 | 10 0xC01F | 12 version 0x0001 | 14 connection id u32 | 18 window i32
/// 22 in flight i32 | 26 RTT ms u32 | 30 NAKs u32, all so far | 34 bytes/s u32
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ConnectionInfo {
    /// The sender's number for the link; unique for one sender only.
    pub connection_id: u32,
    /// Its congestion window, in thousandths of a packet.
    pub window: i32,
    /// Packets sent and not acknowledged.
    pub in_flight: i32,
    /// Its smoothed round trip, milliseconds.
    pub rtt_ms: u32,
    /// Packets of this link that were reported lost, since it began.
    pub naks: u32,
    /// What it sends, bytes a second.
    pub bytes_per_second: u32,
}

/// The packets that an SRTLA acknowledgement names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AckList<'a> {
    words: &'a [[u8; 4]],
}

impl<'a> AckList<'a> {
    fn parse(bytes: &'a [u8]) -> Result<Self, Error> {
        match bytes.as_chunks() {
            ([_, words @ ..], []) if !words.is_empty() => Ok(Self { words }),
            _ => Err(Error::Length),
        }
    }

    /// Their sequence numbers, in order of arrival.
    pub fn seqs(self) -> impl ExactSizeIterator<Item = Seq> + use<'a> {
        self.words
            .iter()
            .map(|word| Seq::new(u32::from_be_bytes(*word)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn types_are_told_apart() {
        let long = |kind: u16| {
            let mut bytes = [0; 20];
            bytes[..2].copy_from_slice(&kind.to_be_bytes());
            bytes
        };
        for kind in [0x0000, 0x7fff, 0x8000, 0x8001, 0x8002, 0x8008, 0xffff] {
            assert_eq!(classify(&long(kind)), Class::Srt, "{kind:#06x}");
            assert_eq!(classify(&long(kind)[..15]), Class::Unknown, "{kind:#06x}");
        }
        for kind in [
            0x9000, 0x9100, 0x9200, 0x9201, 0x9202, 0x9210, 0x9211, 0x9212,
        ] {
            assert_eq!(classify(&long(kind)[..2]), Class::Srtla, "{kind:#06x}");
        }
        for kind in [0x9001, 0x9203, 0x9213, 0xfffe] {
            assert_eq!(classify(&long(kind)), Class::Unknown, "{kind:#06x}");
        }
        assert_eq!(classify(&[]), Class::Unknown);
        assert_eq!(classify(&[0x90]), Class::Unknown);
    }

    #[test]
    fn registrations_have_one_length() {
        let packet = reg1(&[7; ID_LEN]);
        assert_eq!(Packet::parse(&packet), Ok(Packet::Reg1(&[7; ID_LEN])));
        assert_eq!(Packet::parse(&packet[..257]), Err(Error::Length));
        let long = [&packet[..], &[0]].concat();
        assert_eq!(Packet::parse(&long), Err(Error::Length));
    }

    #[test]
    fn an_acknowledgement_may_be_short_but_not_ragged() {
        let packet = ack(&[Seq::new(5); ACK_PACKETS]);
        for length in 0..packet.len() {
            let parsed = Packet::parse(&packet[..length]);
            assert_eq!(parsed.is_ok(), length >= 8 && length % 4 == 0, "{length}");
        }
    }

    #[test]
    fn an_unknown_extension_is_a_plain_keepalive() {
        let info = ConnectionInfo {
            connection_id: 1,
            window: -2,
            in_flight: 3,
            rtt_ms: 4,
            naks: 5,
            bytes_per_second: 6,
        };
        let mut packet = keepalive_with_info(77, &info);
        let parsed = |packet: &[u8]| match Packet::parse(packet) {
            Ok(Packet::KeepAlive(keepalive)) => (keepalive.time_ms(), keepalive.info()),
            other => panic!("{other:?}"),
        };
        assert_eq!(parsed(&packet), (Some(77), Some(info)));
        assert_eq!(parsed(&packet[..37]), (Some(77), None));
        packet[13] = 2;
        assert_eq!(parsed(&packet), (Some(77), None));
        assert_eq!(parsed(&keepalive()), (None, None));
        let too_long = [&packet[..], &[0; KEEPALIVE_LEN_MAX]].concat();
        assert_eq!(Packet::parse(&too_long), Err(Error::Length));
    }
}
