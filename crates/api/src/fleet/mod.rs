//! The fleet: what each node should hold, and telling it.
//!
//! Level-triggered: the sessions table is the truth, a [`connection`] compares it with what it
//! told its node and sends the difference. A lost wake, a lost Ack or a lost process
//! costs time, never correctness.

pub(crate) mod advice;
pub(crate) mod bans;
pub(crate) mod budget;
pub(crate) mod budget_gauges;
pub(crate) mod connection;
pub(crate) mod heartbeats;
pub(crate) mod keys;
pub(crate) mod leases;
pub(crate) mod looks;
pub(crate) mod pause;
pub(crate) mod probes;
pub(crate) mod registry;
pub(crate) mod roster;
pub(crate) mod standing;
pub(crate) mod watch;
