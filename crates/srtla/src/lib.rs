//! The receiving end of SRTLA bonding, sans-IO: datagrams and time in, answers and events out.
//!
//! An SRTLA sender spreads the packets of one SRT session over several links (a phone's modems)
//! and tells by this protocol which of them belong together. A [`Registry`] keeps the groups and
//! their links, answers registrations and keepalives, acknowledges data link by link, knows which
//! links an SRT packet for the sender goes to, and measures each link.
//!
//! It refuses to know sockets, clocks, random numbers and SRT sessions: its owner passes the time,
//! a secret key, and what its SRT receiver made of each packet.
//!
//! # Driving it
//!
//! ```
//! # use std::time::Instant;
//! # use streamhaul_srtla as srtla;
//! use srtla::packet::{Class, REPLY_LEN_MAX, classify};
//! use srtla::{Handled, Path, Registry};
//! # fn send(_: Path, _: &[u8]) {}
//! # fn hand_to_shard(_: u16, _: Path, _: &[u8]) {}
//!
//! fn handle(registry: &mut Registry, now: Instant, path: Path, datagram: &[u8]) {
//!     match classify(datagram) {
//!         Class::Srtla => {
//!             let mut out = [0; REPLY_LEN_MAX];
//!             match registry.handle_control(now, path, datagram, &mut out) {
//!                 Ok(Handled::Reply(length)) => send(path, &out[..length]),
//!                 Ok(Handled::Elsewhere(shard)) => hand_to_shard(shard, path, datagram),
//!                 Err(_counted) => {}
//!             }
//!         }
//!         Class::Srt => {
//!             // `None`: a plain SRT peer. Otherwise the connection must be the group's.
//!             let _link = registry.handle_srt(now, path, datagram.len());
//!             // Data that the connection's receiver has placed: registry.handle_data(…),
//!             // and what it returns is sent to `path`.
//!         }
//!         Class::Unknown => {}
//!     }
//!     while let Some(_event) = registry.poll_event() {}
//!     let _wake_at = registry.poll_timeout();
//! }
//! ```
//!
//! SRT packets *to* the sender: acknowledgements and loss reports to every path of
//! [`Registry::broadcast`], all others to [`Registry::reply_path`].
//!
//! # What hostile input can do
//!
//! A request for a group (REG1) leaves nothing behind: the id that answers it proves itself by a
//! keyed hash when it comes back, like an SRT cookie. So there are no half-made groups to flood the
//! table with. A reply is never longer than 32 bytes or its request, whichever is more. Groups,
//! links and throttled sources are bounded; packets without effect are counted under their
//! [`DropReason`], refusals under their [`Refusal`]. No bytes can panic it.
//!
//! # Shards
//!
//! A node may run one registry per shard, all with the same key and epoch. REG1 and REG2 carry the
//! sender's half of the id where an SRT packet has its socket id (bytes 12 to 16), so steering by
//! that word brings all registrations of a sender to one shard. The SRT session may belong to
//! another; then the group follows it by [`Registry::hand_over`] and [`Registry::take_over`], and
//! what still arrives elsewhere is answered [`Handled::Elsewhere`]:
//!
//! - REG2 of a link that joins later, at the shard that the id steers to;
//! - keepalives: short ones (below 16 bytes) at shard 0, extended ones wherever the sender's
//!   connection id steers them;
//! - SRT handshakes, which go to socket id 0 and so to shard 0: [`Registry::elsewhere`] tells
//!   whose they are. Media needs no hand-over: its socket id steers it to the session's shard.
//!
//! For that, shards tell each other of links that come and go ([`Event::LinkJoined`],
//! [`Event::LinkLeft`], [`Event::GroupClosed`]) by [`Registry::link_is_elsewhere`] and its kin, and
//! of sources that try keys ([`Event::SourceFailed`]).
//!
//! # Restarts
//!
//! A group can outlive the process: [`Registry::save`] says what to write down of it, and
//! [`Registry::resume`] takes it in again, in a registry with the same key. The sender of a group
//! that is lost instead speaks SRTLA from addresses that are no links'. Until it notices
//! ([`Registry::is_stranger`]), what these addresses send must not be taken for a plain peer's.
//!
//! To add a control packet: its type and parser in [`packet`], its handling in
//! [`Registry::handle_control`], a case in the properties in `tests/it/properties.rs`. To add a
//! measurement: count it in `link.rs` and show it in [`LinkSample`].

mod address;
mod arrivals;
mod attribution;
mod config;
mod group;
mod habits;
mod handover;
mod id;
mod link;
pub mod packet;
mod places;
mod reason;
mod registration;
mod registry;
pub mod reorder;
mod saved;
mod strangers;
#[cfg(test)]
mod testing;
pub mod throttle;
mod transit;
mod window;

use std::net::{IpAddr, SocketAddr};

pub use config::Config;
pub use group::GroupId;
pub use handover::MovedGroup;
pub use link::{LinkSample, SenderSample};
pub use places::GroupKey;
pub use reason::{Counters, DropReason, GroupEnd, LinkEnd, Refusal};
pub use registry::{Event, Handled, LinkKey, Registry};
pub use saved::SavedGroup;
pub use transit::Progress;
pub use window::{Tally, Window};

/// Where a datagram came from and where to; its answer goes back the same way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Path {
    /// Who sent it.
    pub peer: SocketAddr,
    /// The local address it came to; answers leave from there.
    pub local_ip: Option<IpAddr>,
    /// Which of the owner's sockets took it.
    pub socket: u8,
}
