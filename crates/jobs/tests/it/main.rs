//! The engine and the jobs against a real queue and a fake api.

mod engine;
mod fake_api;
mod service;
mod sweeps;
mod world;
