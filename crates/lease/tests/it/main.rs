//! Leases through the public API: what is believed, and every refusal.

mod keys;
mod limits;
mod refusals;
mod sample;
