//! The whole service: nodes report, viewers watch, a fake api says who may.

#![allow(clippy::unwrap_used, reason = "a panic is the report")]

mod access;
mod app;
mod apps;
mod archive;
mod askers;
mod database;
mod exports;
mod fake_api;
mod fleet;
mod hostile;
mod ingest;
mod live;
mod newest;
mod queries;
mod reports;
mod slis;
mod spool;
mod viewer;
mod world;
