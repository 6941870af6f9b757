//! Making leases.

use model::NodeId;

use crate::claims::footer_json;
use crate::{Claims, LENGTH_MAX, SigningKey, paseto};

/// Why a lease was not issued.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// The identifiers are so long that the lease would not fit a stream id.
    /// It never happens with identifiers made by `from_u128` and a lease of less
    /// than ten years.
    #[error("the lease would have {length} characters, {LENGTH_MAX} is the most")]
    TooLong {
        /// How long it would be.
        length: usize,
    },
    /// It would expire before it begins.
    #[error("the lease expires before it begins")]
    EmptyWindow,
}

/// Signs the claims for one node.
///
/// # Errors
/// When the result would be longer than [`LENGTH_MAX`] or never valid.
pub fn issue(key: &SigningKey, claims: &Claims, node: &NodeId) -> Result<String, Error> {
    if claims.expires_at.as_secs() <= claims.not_before.as_secs() {
        return Err(Error::EmptyWindow);
    }
    let footer = footer_json(key.kid().as_str(), node);
    let token = paseto::sign(
        key.secret(),
        &claims.to_json(),
        &footer,
        node.as_str().as_bytes(),
    );
    if token.len() > LENGTH_MAX {
        return Err(Error::TooLong {
            length: token.len(),
        });
    }
    Ok(token)
}
