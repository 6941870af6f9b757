//! Between the wire's messages and the domain's words. What comes in is checked:
//! identifiers by their own rules, texts and lists by the bounds below.

mod fleet;
mod jobs;
mod telemetry;

use std::str::FromStr;

/// The longest free text (versions, hosts, names of boots).
pub const TEXT_LENGTH_MAX: usize = 255;
/// The longest reason or error text of a node.
pub const REASON_LENGTH_MAX: usize = 256;
/// The most reasons that a node may count something by.
pub const REASONS_MAX: usize = 512;
/// The most sessions one message may list.
pub const SESSIONS_MAX: usize = 20_000;
/// The most players one session sample may list.
pub const PLAYERS_MAX: usize = 1_024;
/// The most links one session sample may list.
pub const LINKS_MAX: usize = 64;
/// The longest JSON arguments of a job.
pub const ARGUMENTS_LENGTH_MAX: usize = 64 * 1024;

/// Why a message is not what its contract promises.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// A required part is absent.
    #[error("`{0}` is missing")]
    Missing(&'static str),
    /// A text or list is longer than its bound.
    #[error("`{field}` is longer than {max}")]
    TooLong {
        /// Which part.
        field: &'static str,
        /// Its bound.
        max: usize,
    },
    /// A part does not have the form it should.
    #[error("`{field}`: {reason}")]
    Invalid {
        /// Which part.
        field: &'static str,
        /// What is wrong with it.
        reason: String,
    },
}

pub(crate) fn invalid(field: &'static str, reason: impl Into<String>) -> Error {
    Error::Invalid {
        field,
        reason: reason.into(),
    }
}

pub(crate) fn parse<T>(field: &'static str, text: &str) -> Result<T, Error>
where
    T: FromStr,
    T::Err: ToString,
{
    if text.is_empty() {
        return Err(Error::Missing(field));
    }
    text.parse()
        .map_err(|error: T::Err| invalid(field, error.to_string()))
}

pub(crate) fn text(field: &'static str, text: String, max: usize) -> Result<String, Error> {
    if text.len() > max {
        return Err(Error::TooLong { field, max });
    }
    Ok(text)
}

/// A text that must say something.
pub(crate) fn word(field: &'static str, word: String, max: usize) -> Result<String, Error> {
    if word.is_empty() {
        return Err(Error::Missing(field));
    }
    text(field, word, max)
}

pub(crate) fn list<T, U>(
    field: &'static str,
    items: Vec<T>,
    max: usize,
    convert: impl FnMut(T) -> Result<U, Error>,
) -> Result<Vec<U>, Error> {
    if items.len() > max {
        return Err(Error::TooLong { field, max });
    }
    items.into_iter().map(convert).collect()
}

pub(crate) fn port(field: &'static str, port: u32) -> Result<u16, Error> {
    u16::try_from(port)
        .ok()
        .filter(|port| *port != 0)
        .ok_or_else(|| invalid(field, "not a port number"))
}
