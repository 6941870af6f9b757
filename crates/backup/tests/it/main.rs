//! Backups of a real server, restored and compared.

#![allow(clippy::unwrap_used)] // a helper that panics fails its test

mod bucket;
mod failures;
mod instants;
mod world;
