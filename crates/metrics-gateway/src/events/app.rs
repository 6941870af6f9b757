//! An app, as far as its requests are judged by it.

use std::net::IpAddr;
use std::sync::Arc;

use ipnet::IpNet;
use model::UnixMillis;
use ring::hmac;
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;
use zeroize::Zeroizing;

use super::allowance::Allowance;

/// Secrets that an app can have at the same time: the new one, and the one before.
pub(crate) const KEYS_MAX: usize = 2;
/// What an app's tokens begin with; nobody else's do.
pub(crate) const TOKEN_PREFIX: &str = "tk_";

/// An app.
pub(crate) struct App {
    pub(crate) id: i32,
    pub(crate) is_disabled: bool,
    pub(crate) keys: Vec<Key>,
    pub(crate) networks: Vec<IpNet>,
    pub(crate) origins: Vec<String>,
    /// None: any number of events in a second.
    pub(crate) allowance: Option<Arc<Allowance>>,
    /// Events in a calendar month; none: any number.
    pub(crate) quota_events: Option<u64>,
}

/// What an app is known by.
pub(crate) struct Key {
    token_hash: [u8; 32],
    /// What signs. Without the processor's instructions for SHA-256 a third of what a batch costs here goes
    /// through this, and ring needs three fifths of what pure Rust does.
    mac: hmac::Key,
    ends_at: Option<UnixMillis>,
}

impl Key {
    /// A token's hash, and a secret as the bytes of its text.
    pub(crate) fn new(
        token_hash: [u8; 32],
        secret: &Zeroizing<Vec<u8>>,
        ends_at: Option<UnixMillis>,
    ) -> Self {
        Self {
            token_hash,
            mac: hmac::Key::new(hmac::HMAC_SHA256, secret),
            ends_at,
        }
    }

    fn is_good(&self, now: UnixMillis) -> bool {
        self.ends_at.is_none_or(|ends_at| now < ends_at)
    }
}

impl App {
    /// Whether this is one of the app's tokens.
    pub(crate) fn knows(&self, token: &str, now: UnixMillis) -> bool {
        let hash: [u8; 32] = Sha256::digest(token.as_bytes()).into();
        self.good(now).any(|key| key.token_hash.ct_eq(&hash).into())
    }

    /// Whether one of the app's secrets signed these parts, one after another.
    pub(crate) fn signed(&self, parts: &[&[u8]], tag: &[u8; 32], now: UnixMillis) -> bool {
        self.good(now).any(|key| {
            let mut mac = hmac::Context::with_key(&key.mac);
            for part in parts {
                mac.update(part);
            }
            mac.sign().as_ref().ct_eq(tag).into()
        })
    }

    /// Whether it may send from there.
    pub(crate) fn admits(&self, address: IpAddr) -> bool {
        self.networks.is_empty() || self.networks.iter().any(|net| net.contains(&address))
    }

    /// Whether pages of that origin may send.
    pub(crate) fn shares_with(&self, origin: &str) -> bool {
        self.origins.iter().any(|one| one == origin)
    }

    fn good(&self, now: UnixMillis) -> impl Iterator<Item = &Key> {
        self.keys.iter().filter(move |key| key.is_good(now))
    }
}

#[cfg(test)]
mod tests {
    use ::hmac::{Hmac, KeyInit, Mac};

    use super::*;

    fn app(keys: Vec<Key>) -> App {
        App {
            id: 1,
            is_disabled: false,
            keys,
            networks: vec!["192.0.2.0/24".parse().unwrap()],
            origins: vec!["https://app.example".to_owned()],
            allowance: None,
            quota_events: None,
        }
    }

    fn key(secret: &str, ends_at: Option<UnixMillis>) -> Key {
        let hash = Sha256::digest(format!("tk_{secret}").as_bytes()).into();
        Key::new(hash, &Zeroizing::new(secret.into()), ends_at)
    }

    fn tag(secret: &str, message: &str) -> [u8; 32] {
        let mut mac = Hmac::<Sha256>::new_from_slice(secret.as_bytes()).unwrap();
        mac.update(message.as_bytes());
        mac.finalize().into_bytes().into()
    }

    #[test]
    fn either_secret_signs_until_its_end() {
        let app = app(vec![key("new", None), key("old", Some(UnixMillis(100)))]);
        let parts: [&[u8]; 2] = [b"1:", b"body"];
        for secret in ["new", "old"] {
            let tag = tag(secret, "1:body");
            assert!(app.signed(&parts, &tag, UnixMillis(99)), "{secret}");
            assert!(app.knows(&format!("tk_{secret}"), UnixMillis(99)));
        }
        assert!(!app.signed(&parts, &tag("old", "1:body"), UnixMillis(100)));
        assert!(!app.knows("tk_old", UnixMillis(100)));
        assert!(!app.signed(&parts, &tag("other", "1:body"), UnixMillis(99)));
        assert!(!app.signed(&parts, &tag("new", "1:bodY"), UnixMillis(99)));
    }

    #[test]
    fn who_may_send_is_denied_by_default() {
        let app = app(Vec::new());
        assert!(app.admits("192.0.2.9".parse().unwrap()));
        assert!(!app.admits("198.51.100.9".parse().unwrap()));
        assert!(app.shares_with("https://app.example"));
        assert!(!app.shares_with("https://app.example.evil"));
        assert!(!app.shares_with("null"));
    }
}
