//! The plugin's contract against the real services.
#![allow(clippy::unwrap_used, reason = "a panic is the report")]

mod meddler;
mod publisher;
mod rows;
mod whole_path;
