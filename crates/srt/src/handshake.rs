//! The handshake packet: a fixed part of 48 bytes and, in a conclusion, extension blocks.

use crate::packet::Error;

/// A handshake as it came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Handshake<'a> {
    body: &'a [u8],
}

impl<'a> Handshake<'a> {
    pub(crate) fn parse(body: &'a [u8]) -> Result<Self, Error> {
        Ok(Self { body })
    }
}
