//! Believing leases, or saying exactly why not.

use std::time::Duration;

use model::{NodeId, UnixMillis};

use crate::claims::parse_footer;
use crate::paseto::Token;
use crate::{Claims, KeySet, Kid, LENGTH_MAX};

/// How far the clocks of the control plane and a node may differ: a lease is
/// good this much before it begins and after it expires.
pub const SKEW_TOLERATED: Duration = Duration::from_secs(30);

/// Why a lease is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, thiserror::Error)]
pub enum Refusal {
    /// It is not framed or worded like a lease.
    #[error("not a lease")]
    Malformed,
    /// It names a key that is not in the set.
    #[error("signed by an unknown key")]
    UnknownKey,
    /// The signature does not hold.
    #[error("the signature does not hold")]
    BadSignature,
    /// It is genuine, and for another node.
    #[error("for another node")]
    WrongNode,
    /// It is genuine, and begins later.
    #[error("not valid yet")]
    NotYetValid,
    /// It is genuine, and ran out.
    #[error("expired")]
    Expired,
}

impl Refusal {
    /// Every reason, in the order in which they are checked.
    pub const ALL: &'static [Self] = &[
        Self::Malformed,
        Self::UnknownKey,
        Self::BadSignature,
        Self::WrongNode,
        Self::NotYetValid,
        Self::Expired,
    ];

    /// The reason's word in metrics, events and logs.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Malformed => "malformed_lease",
            Self::UnknownKey => "unknown_key",
            Self::BadSignature => "bad_signature",
            Self::WrongNode => "wrong_node",
            Self::NotYetValid => "lease_not_yet_valid",
            Self::Expired => "lease_expired",
        }
    }
}

impl KeySet {
    /// Checks a lease and returns what it permits.
    ///
    /// # Errors
    /// With the reason for which it is refused. Everything from
    /// [`Refusal::WrongNode`] on is said only of genuine leases.
    pub fn verify(&self, token: &str, node: &NodeId, now: UnixMillis) -> Result<Claims, Refusal> {
        self.verify_named(token, node, now)
            .map(|(_, claims)| claims)
    }

    /// The same, with the name of the key that signed it.
    ///
    /// # Errors
    /// Those of [`Self::verify`].
    pub fn verify_named(
        &self,
        token: &str,
        node: &NodeId,
        now: UnixMillis,
    ) -> Result<(Kid, Claims), Refusal> {
        if token.len() > LENGTH_MAX {
            return Err(Refusal::Malformed);
        }
        let token = Token::parse(token).ok_or(Refusal::Malformed)?;
        let (kid, meant) = parse_footer(token.footer_unverified()).ok_or(Refusal::Malformed)?;
        let (name, key) = self.named(kid).ok_or(Refusal::UnknownKey)?;
        let message = token
            .verify(key, meant.as_str().as_bytes())
            .ok_or(Refusal::BadSignature)?;
        if meant != *node {
            return Err(Refusal::WrongNode);
        }
        let claims = Claims::from_json(message).ok_or(Refusal::Malformed)?;
        claims.check_time(now)?;
        Ok((name.clone(), claims))
    }
}

impl Claims {
    /// Checks that `now` is within the lease's time, skew tolerated. A node asks
    /// again while a session lives.
    ///
    /// # Errors
    /// [`Refusal::NotYetValid`] or [`Refusal::Expired`].
    pub fn check_time(&self, now: UnixMillis) -> Result<(), Refusal> {
        if now.plus(SKEW_TOLERATED) < self.not_before {
            return Err(Refusal::NotYetValid);
        }
        if now.minus(SKEW_TOLERATED) >= self.expires_at {
            return Err(Refusal::Expired);
        }
        Ok(())
    }
}
