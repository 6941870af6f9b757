//! The whole service: nodes report, viewers watch, a fake api says who may.

mod access;
mod fake_api;
mod live;
mod reports;
mod viewer;
mod world;
