//! Events of apps from outside: how many, how soon, and whether any is lost when things die.

mod bench;
mod contender;
pub mod drill;
pub mod forgotten;
pub mod hostile;
mod load;
mod nats;
pub mod outage;
mod peer;
mod report;
mod rig;
pub mod sdk;
mod sender;
mod stock;

pub use bench::{Plan, measure};
pub use peer::Peer;
pub use report::Report;
pub use rig::{NatsSetup, Setup};
pub use sender::Target;
