//! A client that behaves like the OBS plugin: its requests, its timers, what it tolerates.
//!
//! The plugin was written for another control plane and cannot be changed, so its habits
//! are the contract: a fresh `Idempotency-Key` for each call, bodies with or without
//! their wrapping, defaults for what is absent, any 2xx is good and every other status one
//! failure. `rows.txt` lists every answer of the contract, and the tests record each with its
//! request; [`given`] is that list.
//!
//! To add a call of the plugin, add a method to [`Plugin`] and a line to `rows.txt`.

mod clock;
mod exchange;
mod login;
mod mask;
mod plugin;
mod rows;
mod running;
mod session;
mod timers;
mod wire;

pub use clock::Clock;
pub use exchange::{Exchange, Request};
pub use login::Login;
pub use plugin::Plugin;
pub use rows::{Row, given, not_given};
pub use running::{Running, Seen};
pub use session::Session;
pub use timers::{Heartbeat, Verdict};
pub use wire::Wire;
