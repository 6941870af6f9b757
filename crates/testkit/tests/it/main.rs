//! The SRT caller against libsrt and against our own listener.
//!
//! Needs `srt-live-transmit` (Debian: `srt-tools`).

#![allow(clippy::unwrap_used, reason = "a panic is the report")]

mod libsrt;
mod rejected;
