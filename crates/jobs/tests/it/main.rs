//! The engine and the jobs against a real queue and a fake api.

#![allow(clippy::unwrap_used, reason = "a panic is the report")]

mod engine;
mod fake_api;
mod service;
mod sweeps;
mod webhooks;
mod world;
