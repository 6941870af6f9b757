//! The lease: the control plane's signed, expiring permission to use one node
//! for one session in one role.
//!
//! A lease is a PASETO `v4.public` token: Ed25519 over the claims, with the key
//! id and the node id in the footer and the node id bound once more as implicit
//! assertion. It has at most [`LENGTH_MAX`] characters, so that it fits an SRT
//! stream id, and a node verifies it with nothing but a [`KeySet`].
//!
//! ```text
//! v4.public.<base64url(claims JSON ‖ signature)>.<base64url({"kid":…,"n":…})>
//! ```
//!
//! This crate knows no clock, no random source and no storage: `now` and key
//! seeds come from the caller. What a revoked or exhausted lease means is the
//! relay's business; here a lease is only good or refused for a [`Refusal`].
//!
//! To add a claim, give it a short name in `claims.rs` as an optional field, so
//! that nodes which are not yet updated keep reading the others, and check that
//! `the_largest_claims_fit` still holds. A word a node does not know refuses the
//! lease: what the owner asked for is done or refused, never passed over.

mod claims;
mod issue;
mod keyring;
mod letters;
mod paseto;
mod short_id;
mod verify;

pub use claims::Claims;
pub use issue::{Error, issue};
pub use keyring::{InvalidKey, KEYS_MAX, KeySet, Kid, SigningKey};
pub use verify::{Refusal, SKEW_TOLERATED};

/// The longest lease there is: what an SRT stream id can carry.
pub const LENGTH_MAX: usize = 512;
