//! Scenarios in virtual time, through the public API.

#![allow(clippy::unwrap_used, reason = "a panic in a test is its report")]

mod admission;
mod allocation;
mod bans;
mod bond;
mod bonding;
mod buffered;
mod caller;
mod cascade;
mod chaos;
mod cut;
mod directives;
mod drift;
mod elsewhere;
mod encryption;
mod fan_out;
mod fleet;
mod flood;
mod forwarding;
mod garbage;
mod handshakes;
mod hold;
mod hours;
mod idle;
mod keyframe;
mod leases;
mod leasing;
mod limits;
mod pitfalls;
mod player;
mod publisher;
mod remotes;
mod restart;
mod retransmission;
mod samples;
mod secret_remotes;
mod shards;
mod slow_player;
mod takeover;
mod world;
mod wrap;
