//! Programs that people use, as publishers and as players of a relay node, over
//! paths that delay and lose: is what comes out what went in?
//!
//! A [`cell::Cell`] is one run of the matrix: who publishes, who plays, with which
//! encryption, loss and SRT latency. A [`stage::Stage`] is the node that all cells
//! share, each with a session and two impaired paths of its own. Beside them the
//! same stream goes straight from one srt-live-transmit to another, through both
//! paths in a row: the relay must not be worse than that.
//!
//! A [`bonded::BondedCell`] has a sender with three links between publisher and node.
//!
//! [`named`] is apart: names of slots, at a name server that is not ours. So is [`pgbouncer`]:
//! background jobs behind a proxy before the database.
//!
//! To add a program: a variant of [`cell::Program`] and its arms in [`callers`].

pub mod bonded;
pub mod callers;
pub mod cell;
pub mod completeness;
pub mod matrix;
pub mod moblin;
pub mod named;
pub mod pgbouncer;
pub mod report;
pub mod stage;
