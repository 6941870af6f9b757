//! Addresses as accounts are known by.

use std::fmt;

use lettre::Address;

use crate::error::ApiError;

const LENGTH_MAX: usize = 254;

/// An address in lower case: no provider in use tells upper case apart.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Email(String);

impl Email {
    /// Takes what a person typed.
    pub(crate) fn parse(text: &str) -> Result<Self, ApiError> {
        let text = text.trim().to_lowercase();
        let address: Result<Address, _> = text.parse();
        match address {
            Ok(address) if text.len() <= LENGTH_MAX && address.domain().contains('.') => {
                Ok(Self(text))
            }
            _ => Err(ApiError::invalid(
                "email: an address such as someone@example.com",
            )),
        }
    }

    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Email {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_known_in_one_spelling() {
        let parsed = Email::parse("  Some.One+x@Example.COM ").unwrap();
        assert_eq!(parsed.as_str(), "some.one+x@example.com");
    }

    #[test]
    fn what_no_letter_reaches_is_refused() {
        let long = format!("a@{}.com", "b.".repeat(130));
        for text in [
            "",
            "a",
            "a@",
            "@b.c",
            "a@b",
            "a b@c.d",
            "a@b.c\r\nbcc: x@y.z",
            &long,
        ] {
            assert!(Email::parse(text).is_err(), "{text:?}");
        }
    }
}
