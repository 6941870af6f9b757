//! The wire format, the listener and the caller, against captures, against libsrt and against anything else.

#![allow(clippy::unwrap_used, reason = "a panic is the report")]

mod caller;
mod captures;
mod crypto;
mod libsrt;
mod listener;
mod properties;
mod rebuild;
mod receiver_model;
mod sender_model;

/// The instant that a test counts from, or reads beside a real program.
#[allow(clippy::disallowed_methods, reason = "tests own the clock")]
fn now() -> std::time::Instant {
    std::time::Instant::now()
}
