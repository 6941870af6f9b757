//! A part of the matrix that has every program on either side, every encryption,
//! loss and latency. `cargo xtask interop` runs all of it.
#![allow(clippy::unwrap_used, reason = "a panic is the report")]

mod subset;
