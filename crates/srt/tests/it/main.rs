//! The wire format and the listener, against captures, against libsrt and against anything else.

#![allow(clippy::unwrap_used, reason = "a panic is the report")]

mod captures;
mod libsrt;
mod listener;
mod properties;
mod rebuild;
