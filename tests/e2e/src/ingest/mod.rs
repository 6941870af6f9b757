//! Events of apps from outside: how many, how soon, and whether any is lost when things die.

mod bench;
pub mod drill;
mod load;
mod report;
mod rig;
pub mod sdk;
mod sender;

pub use bench::{Plan, measure};
pub use report::Report;
pub use sender::Target;
