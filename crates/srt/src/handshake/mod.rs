//! The handshake packet: a fixed part of 48 bytes and, in a conclusion, extension blocks.
//!
//! ```text
//! caller                                                      listener
//!   induction   version 4, cookie 0                        →
//!               ←  induction   version 5, magic, cookie, the caller's own socket id
//!   conclusion  version 5, the cookie, HSREQ, stream id    →
//!               ←  conclusion  version 5, our socket id, HSRSP
//!               or a rejection: kind 1000 + reason
//! ```

mod extension;
mod latency;
mod text;

pub use extension::{
    CONGESTION, FEATURES_LEN, FILTER, GROUP, HSREQ, HSRSP, KMREQ, KMRSP, SID, TEXT_BLOCK_MAX, flags,
};
pub use extension::{
    Error as ExtensionError, Extensions, Features, write_block, write_features, write_text,
};
pub use latency::Latency;
pub use text::StreamId;

use std::fmt;

use crate::id::SocketId;
use crate::packet::build::Writer;
use crate::packet::{ControlHeader, Error, HEADER_LEN};
use crate::reject::RejectReason;
use crate::seq::Seq;

/// The length of the fixed part.
pub const CIF_LEN: usize = 48;
/// The handshake version that has extensions, the only one we complete.
pub const VERSION: u32 = 5;
/// The handshake version a caller starts with, so that old listeners understand it.
pub const VERSION_INDUCTION: u32 = 4;
/// What a listener that speaks version 5 puts into `extension` of its induction reply.
pub const MAGIC: u16 = 0x4a17;
/// What a caller puts into `extension` of its induction (UDT's "datagram").
pub const EXTENSION_DGRAM: u16 = 2;
/// Bits of `extension` in a conclusion: which kinds of block follow.
pub const EXTENSION_HSREQ: u16 = 1;
/// Key material follows.
pub const EXTENSION_KMREQ: u16 = 2;
/// Stream id, congestion control, filter or group follow.
pub const EXTENSION_CONFIG: u16 = 4;

/// A handshake: the fixed fields, and the extension blocks as they came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Handshake<'a> {
    /// 4 in an induction, 5 from then on.
    pub version: u32,
    /// Key length / 8 that the sender of this packet advertises; 0 for none.
    pub encryption: u16,
    /// [`EXTENSION_DGRAM`], [`MAGIC`], or in a conclusion which blocks follow.
    pub extension: u16,
    /// The first data packet's number, the same in both directions.
    pub isn: Seq,
    /// The longest IP packet the sender takes.
    pub mtu: u32,
    /// How many unacknowledged packets the sender takes.
    pub flow_window: u32,
    /// Which step this is.
    pub kind: Kind,
    /// The socket that sends this packet; in an induction reply the caller's own.
    pub socket_id: SocketId,
    /// The listener's proof that the caller receives at its address.
    pub cookie: u32,
    /// The address at which the sender sees its peer. Nobody checks it.
    pub peer_ip: [u8; 16],
    /// The extension blocks.
    pub blocks: Blocks<'a>,
}

/// Unparsed extension blocks. Their `Debug` shows no content: a stream id is a credential.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
pub struct Blocks<'a>(pub &'a [u8]);

impl fmt::Debug for Blocks<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "Blocks({} bytes)", self.0.len())
    }
}

/// The step of a handshake.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// The caller knocks; the listener hands out a cookie.
    Induction,
    /// The caller says what it wants; the listener agrees.
    Conclusion,
    /// Refused.
    Rejection(RejectReason),
    /// A step of a rendezvous, or no step at all.
    Other(u32),
}

const KIND_INDUCTION: u32 = 1;
const KIND_CONCLUSION: u32 = u32::MAX;

impl Kind {
    const fn from_wire(value: u32) -> Self {
        match value {
            KIND_INDUCTION => Self::Induction,
            KIND_CONCLUSION => Self::Conclusion,
            other => match RejectReason::from_wire(other) {
                Some(reason) => Self::Rejection(reason),
                None => Self::Other(other),
            },
        }
    }

    const fn to_wire(self) -> u32 {
        match self {
            Self::Induction => KIND_INDUCTION,
            Self::Conclusion => KIND_CONCLUSION,
            Self::Rejection(reason) => reason.wire(),
            Self::Other(value) => value,
        }
    }
}

impl<'a> Handshake<'a> {
    pub(crate) fn parse(body: &'a [u8]) -> Result<Self, Error> {
        let (fixed, blocks) = body.split_first_chunk::<CIF_LEN>().ok_or(Error::Length)?;
        let word = |index: usize| u32::from_be_bytes(fixed.as_chunks().0[index]);
        let mut peer_ip = [0; 16];
        peer_ip.copy_from_slice(&fixed[32..]);
        Ok(Self {
            version: word(0),
            encryption: (word(1) >> 16) as u16,
            extension: word(1) as u16,
            isn: Seq::new(word(2)),
            mtu: word(3),
            flow_window: word(4),
            kind: Kind::from_wire(word(5)),
            socket_id: SocketId(word(6)),
            cookie: word(7),
            peer_ip,
            blocks: Blocks(blocks),
        })
    }

    /// Reads the extension blocks.
    ///
    /// # Errors
    ///
    /// When a block is cut short, stands twice or has an impossible length.
    pub fn extensions(&self) -> Result<Extensions<'a>, ExtensionError> {
        Extensions::parse(self.blocks.0)
    }

    /// Writes the packet into `out` and returns its length, [`Handshake::packet_len`].
    ///
    /// # Panics
    ///
    /// When `out` is shorter than that.
    pub fn write(&self, out: &mut [u8], header: ControlHeader) -> usize {
        let mut writer = Writer::control(out, 0, 0, 0, header);
        writer.word(self.version);
        writer.word(u32::from(self.encryption) << 16 | u32::from(self.extension));
        writer.word(self.isn.value());
        writer.word(self.mtu);
        writer.word(self.flow_window);
        writer.word(self.kind.to_wire());
        writer.word(self.socket_id.0);
        writer.word(self.cookie);
        writer.bytes(&self.peer_ip);
        writer.bytes(self.blocks.0);
        writer.length()
    }

    /// The length of the whole packet.
    pub const fn packet_len(&self) -> usize {
        HEADER_LEN + CIF_LEN + self.blocks.0.len()
    }
}
