//! Identifiers: a short prefix that says what it is, then 1 to 60 characters
//! of `[0-9A-Za-z_-]`. Opaque to everyone but the service that made them.

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// Why a text is not an identifier.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("not a {what} id: expected `{prefix}` and 1 to 60 of [0-9A-Za-z_-]")]
pub struct InvalidId {
    what: &'static str,
    prefix: &'static str,
}

macro_rules! string_id {
    ($(#[$meta:meta])* $name:ident, $prefix:literal, $what:literal) => {
        $(#[$meta])*
        #[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(Box<str>);

        impl $name {
            /// What every such identifier begins with.
            pub const PREFIX: &'static str = $prefix;

            /// Makes an identifier from 128 unique bits, as 32 hexadecimal digits.
            #[must_use]
            pub fn from_u128(bits: u128) -> Self {
                Self(format!("{}{bits:032x}", $prefix).into())
            }

            /// Checks and takes an identifier.
            ///
            /// # Errors
            /// When the prefix, the length or a character is wrong.
            pub fn parse(text: &str) -> Result<Self, InvalidId> {
                if is_valid(text, $prefix) {
                    Ok(Self(text.into()))
                } else {
                    Err(InvalidId { what: $what, prefix: $prefix })
                }
            }

            /// The whole identifier.
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl std::str::FromStr for $name {
            type Err = InvalidId;

            fn from_str(text: &str) -> Result<Self, InvalidId> {
                Self::parse(text)
            }
        }

        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.serialize_str(&self.0)
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let text = <std::borrow::Cow<'de, str>>::deserialize(deserializer)?;
                Self::parse(&text).map_err(serde::de::Error::custom)
            }
        }
    };
}

string_id!(
    /// One relay node, for as long as it is enrolled.
    NodeId, "nod_", "node"
);
string_id!(
    /// One ban, for as long as it is remembered.
    BanId, "ban_", "ban"
);
string_id!(
    /// One relay session: a stream on a node from start to stop.
    SessionId, "ses_", "session"
);
string_id!(
    /// One browser or plugin that is signed in.
    SignInId, "aut_", "sign-in"
);
string_id!(
    /// One stream slot: its keys stay the same from session to session.
    StreamId, "str_", "stream"
);
string_id!(
    /// One customer of the installation.
    TenantId, "ten_", "tenant"
);
string_id!(
    /// One person who signs in.
    UserId, "usr_", "user"
);
string_id!(
    /// One endpoint that a tenant is told at.
    WebhookId, "whk_", "webhook"
);

/// One job, numbered by the queue.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct JobId(pub i64);

impl std::fmt::Display for JobId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.fmt(f)
    }
}

const SUFFIX_LENGTH_MAX: usize = 60;

fn is_valid(text: &str, prefix: &str) -> bool {
    text.strip_prefix(prefix).is_some_and(|suffix| {
        (1..=SUFFIX_LENGTH_MAX).contains(&suffix.len())
            && suffix
                .bytes()
                .all(|b| b.is_ascii_alphanumeric() || b == b'_' || b == b'-')
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn made_ids_parse_and_foreign_ones_do_not() {
        let id = SessionId::from_u128(7);
        assert_eq!(SessionId::parse(id.as_str()), Ok(id.clone()));
        assert!(NodeId::parse(id.as_str()).is_err());
        assert!(SessionId::parse("ses_").is_err());
        assert!(SessionId::parse("ses_a b").is_err());
        assert!(SessionId::parse(&format!("ses_{}", "a".repeat(61))).is_err());
    }
}
