//! Bearer tokens: a prefix that says whose, then 256 random bits. Only hashes are kept.

use secrecy::SecretString;
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

/// Whose token it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    User,
    Node,
    Join,
    /// Signs a dock in, once.
    DockLink,
    /// A signed-in dock.
    Dock,
    /// A browser that is signed in.
    Web,
    /// Opens, for minutes.
    Access,
    /// Brings the next access token, once.
    Refresh,
    /// A device that asks to be signed in.
    Poll,
    /// Makes an account, once.
    Invite,
    /// Proves an address, once.
    Verify,
    /// Sets a new password, once.
    Reset,
    /// A browser that is at a provider's page.
    Visit,
}

impl Kind {
    pub(crate) const fn prefix(self) -> &'static str {
        match self {
            Self::User => "sh_user_",
            Self::Node => "sh_node_",
            Self::Join => "sh_join_",
            Self::DockLink => "sh_link_",
            Self::Dock => "sh_dock_",
            Self::Web => "sh_web_",
            Self::Access => "sh_access_",
            Self::Refresh => "sh_refresh_",
            Self::Poll => "sh_poll_",
            Self::Invite => "sh_invite_",
            Self::Verify => "sh_verify_",
            Self::Reset => "sh_reset_",
            Self::Visit => "sh_visit_",
        }
    }
}

/// A token's SHA-256: what is kept and compared.
pub(crate) type Hash = [u8; 32];

/// Makes a token.
pub(crate) fn fresh(kind: Kind) -> SecretString {
    format!("{}{}", kind.prefix(), hex::encode(random::<32>())).into()
}

pub(crate) fn hash(token: &str) -> Hash {
    Sha256::digest(token.as_bytes()).into()
}

/// Compares in constant time.
pub(crate) fn same(a: &Hash, b: &Hash) -> bool {
    a.ct_eq(b).into()
}

/// Bytes from the system's secure source.
pub(crate) fn random<const N: usize>() -> [u8; N] {
    let mut bytes = [0; N];
    getrandom::fill(&mut bytes).expect("the system has a source of randomness");
    bytes
}

/// 128 bits for an identifier that sorts by the time it was made.
pub(crate) fn id_bits() -> u128 {
    uuid::Uuid::now_v7().as_u128()
}

#[cfg(test)]
mod tests {
    use secrecy::ExposeSecret;

    use super::*;

    #[test]
    fn a_fresh_token_has_256_bits_and_its_prefix() {
        let token = fresh(Kind::Join);
        let digits = token.expose_secret().strip_prefix("sh_join_").unwrap();
        assert_eq!(digits.len(), 64);
        assert!(!same(
            &hash(digits),
            &hash(fresh(Kind::Join).expose_secret())
        ));
    }
}
