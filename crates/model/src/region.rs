//! Where a node stands, in the operator's own words.

use serde::{Deserialize, Deserializer, Serialize};

/// A region's name: 1 to 64 of `[a-z0-9-]`, such as `us-central`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(transparent)]
pub struct Region(Box<str>);

/// Why a text is not a region name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("not a region name: expected 1 to 64 of [a-z0-9-]")]
pub struct InvalidRegion;

impl Region {
    /// Checks and takes a region's name.
    ///
    /// # Errors
    /// When it is empty, longer than 64 or has another character.
    pub fn parse(text: &str) -> Result<Self, InvalidRegion> {
        let fits = (1..=64).contains(&text.len());
        let allowed = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
        if fits && text.bytes().all(allowed) {
            Ok(Self(text.into()))
        } else {
            Err(InvalidRegion)
        }
    }

    /// The name.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl std::fmt::Display for Region {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::str::FromStr for Region {
    type Err = InvalidRegion;

    fn from_str(text: &str) -> Result<Self, InvalidRegion> {
        Self::parse(text)
    }
}

impl<'de> Deserialize<'de> for Region {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = <std::borrow::Cow<'de, str>>::deserialize(deserializer)?;
        Self::parse(&text).map_err(serde::de::Error::custom)
    }
}
