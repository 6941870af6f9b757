//! The `streamhaul` command, run for real.

mod instance;
mod refusals;
mod up;
