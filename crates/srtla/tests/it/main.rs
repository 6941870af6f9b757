//! The wire format against captures, the registry against senders, strangers and impaired links.

#![allow(clippy::unwrap_used, reason = "a panic is the report")]
#![allow(
    clippy::disallowed_methods,
    reason = "tests need one instant to count from"
)]

mod allocation;
mod bond;
mod bond_node;
mod bonding;
mod captures;
mod handover;
mod hostile;
mod node;
mod properties;
mod publisher;
mod registration;
