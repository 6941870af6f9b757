//! The header of a data packet.

use crate::id::{SocketId, Timestamp};
use crate::packet::HEADER_LEN;
use crate::seq::Seq;

/// The header of a data packet.
///
/// Never key on `message`: some senders put 1 in every packet. Only `seq` names a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DataHeader {
    /// The packet's number.
    pub seq: Seq,
    /// The two PP bits: 3 in live mode, where every packet is a message of its own.
    pub position: u8,
    /// The O bit: deliver in order. libsrt clears it in live mode, some senders set it.
    pub in_order: bool,
    /// Which key encrypts the payload.
    pub key: KeyParity,
    /// The R bit: sent again in answer to a loss report.
    pub retransmitted: bool,
    /// The message number, 26 bits.
    pub message: u32,
    /// When the packet was handed to the sending socket, on that socket's clock.
    pub timestamp: Timestamp,
    /// The receiving socket.
    pub destination: SocketId,
}

/// Which of the two keys a payload is encrypted with (the KK bits).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum KeyParity {
    /// Not encrypted.
    #[default]
    Clear,
    /// The even key.
    Even,
    /// The odd key.
    Odd,
    /// Both bits set, which no data packet should carry.
    Both,
}

/// PP of a packet that is a message of its own.
pub(crate) const POSITION_SOLO: u8 = 3;
const MESSAGE_MASK: u32 = 0x03ff_ffff;
const IN_ORDER_BIT: u32 = 1 << 29;
const RETRANSMITTED_BIT: u32 = 1 << 26;

impl DataHeader {
    /// The header of a live-mode packet: a message of its own, not encrypted, sent for the first time.
    pub const fn live(seq: Seq, message: u32, timestamp: Timestamp, destination: SocketId) -> Self {
        Self {
            seq,
            position: POSITION_SOLO,
            in_order: false,
            key: KeyParity::Clear,
            retransmitted: false,
            message,
            timestamp,
            destination,
        }
    }

    /// The header as it goes on the wire.
    pub fn to_bytes(&self) -> [u8; HEADER_LEN] {
        let mut bytes = [0; HEADER_LEN];
        let words = [
            self.seq.value(),
            self.message_word(),
            self.timestamp.0,
            self.destination.0,
        ];
        for (out, word) in bytes.as_chunks_mut().0.iter_mut().zip(words) {
            *out = word.to_be_bytes();
        }
        bytes
    }

    pub(super) fn from_words(words: [u32; 4]) -> Self {
        Self {
            seq: Seq::new(words[0]),
            position: (words[1] >> 30) as u8,
            in_order: words[1] & IN_ORDER_BIT != 0,
            key: KeyParity::from_bits(words[1] >> 27),
            retransmitted: words[1] & RETRANSMITTED_BIT != 0,
            message: words[1] & MESSAGE_MASK,
            timestamp: Timestamp(words[2]),
            destination: SocketId(words[3]),
        }
    }

    fn message_word(&self) -> u32 {
        let mut word = (u32::from(self.position) & 3) << 30;
        word |= self.key.bits() << 27;
        if self.in_order {
            word |= IN_ORDER_BIT;
        }
        if self.retransmitted {
            word |= RETRANSMITTED_BIT;
        }
        word | (self.message & MESSAGE_MASK)
    }
}

impl KeyParity {
    const fn from_bits(bits: u32) -> Self {
        match bits & 3 {
            0 => Self::Clear,
            1 => Self::Even,
            2 => Self::Odd,
            _ => Self::Both,
        }
    }

    const fn bits(self) -> u32 {
        match self {
            Self::Clear => 0,
            Self::Even => 1,
            Self::Odd => 2,
            Self::Both => 3,
        }
    }
}
