//! The gRPC contracts and their conversion to the domain's words.
//!
//! [`fleet`], [`jobs`] and [`telemetry`] are generated from `proto/` and checked in
//! under `src/gen`; [`convert`] turns their messages into `model` types and back,
//! and checks every bound on the way in. This crate refuses to know who calls, who
//! is allowed to, and what a message makes anybody do.
//!
//! To add a message: change the `.proto` (additions only within `v1`), run
//! `cargo xtask gen`, and write its `TryFrom` in `src/convert/`, bounds included.

mod codec;
pub mod convert;
mod generated;
mod redacted;

pub use generated::{fleet, jobs, telemetry};

/// Every contract as one encoded `FileDescriptorSet`, for gRPC reflection.
pub const FILE_DESCRIPTOR_SET: &[u8] = include_bytes!("gen/streamhaul.descriptor.bin");
