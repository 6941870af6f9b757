//! The `streamhaul` command, run for real.

#![allow(clippy::unwrap_used)] // a helper that panics fails its test

mod apps;
mod archives;
mod backups;
mod instance;
mod nodes;
mod refusals;
mod up;
