//! The whole path, from outside: the real service binaries as processes of their
//! own, a PostgreSQL cluster of their own, and programs that are not ours.
//!
//! A [`house::House`] is one running installation; [`media`] publishes to it and
//! plays from it with ffmpeg and srt-live-transmit; [`transport_stream`] judges
//! what came out. It refuses to know how a service works: it configures them,
//! speaks HTTP and SRT to them, and reads their metrics.
//!
//! To add a scenario, write a file under `tests/it/` named for the behaviour.

pub mod bench;
pub mod bonder;
pub mod clip;
pub mod control;
pub mod delay;
pub mod dock;
pub mod drill;
pub mod flood;
pub mod flood_drill;
pub mod forwarder;
pub mod house;
pub mod http;
pub mod ingest;
pub mod key_tap;
pub mod machine;
pub mod media;
pub mod metrics;
pub mod node;
pub mod pictures;
pub mod plane;
pub mod ports;
pub mod postgres;
pub mod program;
pub mod queue_bench;
pub mod queue_drill;
pub mod replica;
pub mod restart;
pub mod transport_stream;
mod usage;
pub mod wait;
