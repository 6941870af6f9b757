//! What arbitrary bytes must not do to the parsers and to a whole relay.
//!
//! A *target* is a function that takes any bytes and panics when a promise is
//! broken. It is called from two places: `fuzz/fuzz_targets/` searches for bytes
//! that break it (`cargo xtask fuzz`), and this package's test replays the
//! corpus, what the search has found worth keeping, as part of every test run.
//!
//! Time is virtual and every key is fixed, so that an input means the same
//! wherever it runs.
//!
//! To add a target, write its function, name it in [`TARGETS`], give it a binary
//! in `fuzz/` and at least one input in `fuzz/corpus/<name>/`.

mod bonding;
mod calling;
mod input;
mod memory;
mod node;
mod parsers;
mod relay;
mod world;

pub use bonding::{srtla, srtla_packet};
pub use calling::caller;
pub use parsers::{handshake, key_material, lease_token, packet, stream_id};
pub use relay::relay;

/// A target's name, the same as its binary's and its corpus', and its body.
pub type Target = (&'static str, fn(&[u8]));

/// All targets.
pub const TARGETS: [Target; 9] = [
    ("packet", packet),
    ("handshake", handshake),
    ("key_material", key_material),
    ("stream_id", stream_id),
    ("lease_token", lease_token),
    ("srtla_packet", srtla_packet),
    ("srtla", srtla),
    ("caller", caller),
    ("relay", relay),
];

/// One instant for all inputs to count from.
pub(crate) fn start() -> std::time::Instant {
    static START: std::sync::OnceLock<std::time::Instant> = std::sync::OnceLock::new();
    *START.get_or_init(std::time::Instant::now)
}
