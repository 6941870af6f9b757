//! SRT packets on the wire. All integers are big-endian.
//!
//! ```text
//! data      0|    sequence number (31)      control  1|  type (15)  |  subtype (16)
//!           PP|O|KK|R|  message number (26)           type-specific information
//!           timestamp, microseconds                   timestamp, microseconds
//!           destination socket id                     destination socket id
//!           payload …                                 control information (CIF) …
//! ```

pub mod build;
mod control;
mod data;

pub use control::{Ack, AckDetail, AckRates, Control, ControlHeader, Nak, NakRanges};
pub use data::{DataHeader, KeyParity};

use crate::id::SocketId;

/// The length of the header that every packet starts with.
pub const HEADER_LEN: usize = 16;
/// The longest payload that fits a 1500-byte IP packet: 1500 − 28 (IP, UDP) − 16.
pub const PAYLOAD_MAX: usize = 1456;
/// The longest datagram a peer with the usual MTU sends.
pub const DATAGRAM_MAX: usize = HEADER_LEN + PAYLOAD_MAX;

/// A packet, borrowed from the datagram it came in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Packet<'a> {
    /// Media.
    Data {
        /// The four header words.
        header: DataHeader,
        /// What the application sent; encrypted when `header.key` says so.
        payload: &'a [u8],
    },
    /// Everything else.
    Control {
        /// The header words that all control packets share.
        header: ControlHeader,
        /// What the packet says.
        body: Control<'a>,
    },
}

impl<'a> Packet<'a> {
    /// Reads one datagram.
    ///
    /// # Errors
    ///
    /// When the bytes are no SRT packet of a known type and a possible length. SRTLA's own packets
    /// are [`Error::UnknownType`]: their first 16 bits lie in SRT's unused control types.
    pub fn parse(datagram: &'a [u8]) -> Result<Self, Error> {
        let (words, rest) = split_header(datagram)?;
        if words[0] & CONTROL_BIT == 0 {
            return Ok(Self::Data {
                header: DataHeader::from_words(words),
                payload: rest,
            });
        }
        let header = ControlHeader::from_words(words);
        let body = Control::parse(words, rest)?;
        Ok(Self::Control { header, body })
    }
}

/// Whose packet this is, for routing before parsing; `None` when it is too short for a header.
pub fn destination(datagram: &[u8]) -> Option<SocketId> {
    split_header(datagram)
        .ok()
        .map(|(words, _)| SocketId(words[3]))
}

/// Why a datagram is not a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// Shorter than a header.
    #[error("shorter than the 16-byte header")]
    Short,
    /// A control type that SRT does not define, SRTLA's among them.
    #[error("unknown control type {0:#06x}")]
    UnknownType(u16),
    /// The control information has a length its type cannot have.
    #[error("control information of a wrong length")]
    Length,
    /// A list of lost packets with a range that has no end or runs backwards.
    #[error("malformed sequence range")]
    Range,
}

const CONTROL_BIT: u32 = 0x8000_0000;

fn split_header(datagram: &[u8]) -> Result<([u32; 4], &[u8]), Error> {
    let (head, rest) = datagram
        .split_first_chunk::<HEADER_LEN>()
        .ok_or(Error::Short)?;
    let mut words = [0; 4];
    for (word, bytes) in words.iter_mut().zip(head.as_chunks().0) {
        *word = u32::from_be_bytes(*bytes);
    }
    Ok((words, rest))
}

/// The whole 32-bit words of `bytes`; a rest of one to three bytes is left out.
pub(crate) fn words(bytes: &[u8]) -> impl ExactSizeIterator<Item = u32> + Clone + '_ {
    bytes
        .as_chunks()
        .0
        .iter()
        .map(|word| u32::from_be_bytes(*word))
}
