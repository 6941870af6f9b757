//! What tests need: impaired links, captured sessions, SRT callers, SRTLA
//! senders, databases, buckets, carriers, a control plane, a provider of identities.
//!
//! With no feature this is light enough for the pure crates: [`linksim`] and
//! [`capture`]. It refuses to know what is being tested: no crate of ours is
//! behind the default features.
//!
//! To add a kind of impairment, give [`linksim::Impairment`] a field whose
//! default does nothing, and let [`linksim::Link::send`] act on it.

pub mod asn_database;
#[cfg(feature = "bucket")]
pub mod bucket;
pub mod capture;
#[cfg(feature = "certificates")]
pub mod certificates;
#[cfg(feature = "control-plane")]
pub mod control_plane;
#[cfg(feature = "database")]
pub mod database;
#[cfg(feature = "identity-provider")]
pub mod identity_provider;
#[cfg(feature = "database")]
pub mod intake_floor;
#[cfg(feature = "database")]
pub mod ledger;
pub mod linksim;
pub mod random;
#[cfg(feature = "srt-caller")]
pub mod srt_caller;
#[cfg(feature = "srtla-sender")]
pub mod srtla_sender;
