//! The engine and the jobs against a real queue and a fake api.

#![allow(clippy::unwrap_used, reason = "a panic is the report")]

mod archive;
mod attic;
mod cloudflare;
mod cloudflare_api;
mod dns_record;
mod dynamic_updates;
mod engine;
mod fake_api;
mod leaders;
mod name_server;
mod names;
mod partitions;
mod probes;
mod retention;
mod service;
mod srt_listener;
mod sweeps;
mod webhooks;
mod world;
