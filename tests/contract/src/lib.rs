//! A client that behaves like the OBS plugin: its requests, its timers, what it tolerates.
//!
//! The plugin was written for another control plane and cannot be changed, so its habits
//! are the contract: a fresh `Idempotency-Key` for each call, bodies with or without
//! their wrapping, defaults for what is absent, any 2xx is good and every other status one
//! failure. The rows of the contract, good and bad, are recorded in the api's own tests
//! (`contract*.rs`), where the clock is a test's to move.
//!
//! To add a call of the plugin, add a method to [`Plugin`] and have the test record it.

mod exchange;
mod plugin;
mod session;
mod timers;

pub use exchange::Exchange;
pub use plugin::{Login, Plugin};
pub use session::Session;
pub use timers::{Heartbeat, Timers, Verdict};
