//! The product's command: runs everything on one machine (`streamhaul up`), and
//! speaks to a running instance.
//!
//! It links the four services as libraries and knows nothing of what they do: it
//! gives each its configuration, waits until all are ready, and stops them. The
//! other commands are thin clients of the HTTP API, and `jobs` one of jobs' gRPC.
//!
//! To add a command, add it to [`cli::Command`] and a file under `command/`. To
//! add a service to `up`, add a file under `up/launch/` and a line in `up/launch.rs`.

mod backups;
mod calling_off;
pub mod cli;
pub mod client;
pub mod command;
mod partial_file;
pub mod print;
pub mod run_file;
pub mod secrets;
mod service_client;
mod settings_file;
pub mod state_dir;
mod telemetry;
pub mod up;
