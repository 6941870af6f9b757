//! The only SQL, against a real server.
#![allow(clippy::unwrap_used, reason = "a panic is the report")]

mod control;
mod intake;
mod partitions;
mod queue;
mod server_settings;
mod session_steps;
mod sessions;
