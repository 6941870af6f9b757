//! The words of the domain: identifiers, nodes, sessions, streams, jobs, time.
//!
//! Every other crate speaks these types; wire formats and rows are turned into
//! them at the edge (`proto::convert`, `storage`). This crate knows no clock, no
//! socket, no SQL and no protocol.
//!
//! To add an identifier, add a line to [`id`]; to add a state, add the variant
//! and its word to the enum's `words!` table, so that the wire, the database
//! and the logs say the same.

pub mod app;
pub mod ban;
pub mod clock;
pub mod cycle;
pub mod id;
pub mod job;
pub mod lease_key;
pub mod live;
pub mod moving;
pub mod node;
pub mod passphrase;
pub mod probe;
pub mod provider;
pub mod reach;
mod reasons;
pub mod region;
pub mod role;
pub mod session;
pub mod settings;
pub mod stream;
pub mod telemetry;
mod words;

pub use words::UnknownWord;

pub use clock::UnixMillis;
pub use id::{BanId, JobId, NodeId, SessionId, SignInId, StreamId, TenantId, UserId, WebhookId};
pub use passphrase::Passphrase;
pub use provider::Provider;
pub use region::Region;
pub use role::OpsRole;
pub use settings::{InvalidSettings, StreamSettings};
pub use stream::StreamKey;
