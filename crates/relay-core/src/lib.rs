//! The relay as a state machine: datagrams, commands and time in; datagrams and
//! events out. One publisher a stream, many players, each packet forwarded the
//! moment it arrives.
//!
//! A publisher may come over several links (SRTLA): `bonding` is what differs then.
//!
//! The crate knows no socket, no clock, no thread and no log. Its owner drives
//! it, in this order:
//!
//! ```no_run
//! # use std::time::Instant;
//! # fn receive() -> (relay_core::Ingress, Vec<u8>) { loop {} }
//! # fn send(_: relay_core::Transmit<'_>) {}
//! # fn on_another_thread(_: relay_core::KeyWork) {}
//! # fn report(_: relay_core::Event) {}
//! # fn sleep_until(_: Option<Instant>) {}
//! # use streamhaul_relay_core as relay_core;
//! # fn run(mut relay: relay_core::Relay, now: Instant) {
//! let (ingress, datagram) = receive();
//! relay.handle_datagram(now, ingress, &datagram); // or handle_timeout, handle_command
//! for transmit in relay.drain_transmits().iter() {
//!     send(transmit);
//! }
//! while let Some(work) = relay.poll_key_work() {
//!     on_another_thread(work); // work.run(), then relay.handle_key_work(now, done)
//! }
//! while let Some(event) = relay.poll_event() {
//!     report(event);
//! }
//! sleep_until(relay.poll_timeout());
//! # }
//! ```
//!
//! Nothing that comes from the network can make it panic, grow without bound or
//! send more than it received before the peer's address is proven: a datagram
//! without effect is counted under its [`DropReason`]. Nothing is allocated for
//! a packet that is forwarded.
//!
//! To add a limit, put it into [`Limits`], refuse in `admission` and name the
//! reason in `reason`; to add a statistic, count it where it happens and show it
//! in `samples`.

mod admission;
mod banned;
mod bonding;
mod bucket;
mod buckets;
mod calling;
mod catch_up;
mod command;
mod config;
mod connections;
mod counters;
mod dials;
mod directives;
mod dispatch;
mod encryption;
mod ended;
mod ending;
mod event;
mod grant;
mod key_work;
mod link_sample;
mod output;
mod player;
mod publisher;
mod quota;
mod reason;
mod relay;
mod release;
mod remote;
mod remote_keys;
mod remotes;
mod resume;
mod ring;
mod saved;
mod sealer;
mod secrets;
mod sessions;
mod settings;
mod shard;
mod slab;
mod sources;
mod start;
mod stream;
mod timeline;
mod timers;
mod traffic;
mod transmit;
mod wall_clock;

pub use banned::{BANNED_PREFIXES_MAX, BannedAddresses};
pub use command::{Assignment, Command, CommandError, KeyedLease};
pub use config::{Config, Limits, PortRole};
pub use counters::Counters;
pub use event::Event;
pub use grant::Grant;
pub use key_work::{KeyWork, KeyWorkDone};
pub use reason::{DropReason, GoneReason, RefusalReason};
pub use relay::Relay;
pub use remote::{Direction, Lookup, LookupError, PUSHES_MAX, Remote, RemoteFailure, RemoteSecret};
pub use saved::Saved;
pub use shard::{Handover, Shard};
pub use srt::crypto::{KeyLength, RefreshAfter};
pub use transmit::{Drained, Ingress, Staged, Transmit, Transmits};
