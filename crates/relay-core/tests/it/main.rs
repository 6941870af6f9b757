//! Scenarios in virtual time, through the public API.

mod caller;
mod forwarding;
mod leases;
mod player;
mod publisher;
mod world;
