//! SRT live mode, sans-IO: bytes and time in, bytes and facts out.
//!
//! The crate reads and writes SRT packets ([`packet`]), answers the caller's handshake without
//! keeping anything ([`listener`]), calls a listener itself ([`caller`]), and keeps the books of the two legs of a relay: the one that a
//! publisher sends on and the one that a player receives on.
//!
//! It refuses to know sockets, clocks, threads, random numbers, leases and what a stream is: time,
//! socket ids and secrets are arguments, and a stream id is text whose conventions [`streamid`]
//! sorts. It does not speak rendezvous, HSv4, socket groups, file mode, packet filters or AES-GCM; a
//! caller that asks for one of them gets the rejection code libsrt knows for it. Encryption is
//! [`crypto`]; random keys for it are arguments too.
//!
//! No bytes from the network can panic it. The builders write into the caller's buffer and may
//! panic when that buffer is smaller than the documented maximum, which is a bug of the caller's.
//!
//! To add a control packet: a variant in [`packet::Control`] with its parser, a function in
//! [`packet::build`], and a case in the round-trip property in `tests/it/properties.rs`. To add a
//! handshake extension: a variant in `handshake::Extension` with its parser and builder.

pub mod caller;
pub mod cookie;
pub mod crypto;
pub mod handshake;
pub mod id;
pub mod listener;
pub mod loss;
pub mod packet;
mod ranges;
pub mod rate;
pub mod receiver;
pub mod reject;
mod resent;
pub mod rtt;
pub mod sender;
pub mod seq;
pub mod streamid;

pub use id::{SocketId, Timestamp};
pub use packet::Packet;
pub use reject::RejectReason;
pub use seq::{Seq, SeqRange};
