//! Extension blocks: u16 type, u16 length in 32-bit words, body.

use crate::handshake::{Latency, StreamId, text};
use crate::packet::words;

/// What the caller can do (three words, [`Features`]).
pub const HSREQ: u16 = 1;
/// What the listener can do (the same three words).
pub const HSRSP: u16 = 2;
/// Key material from the side that encrypts.
pub const KMREQ: u16 = 3;
/// The answer to it.
pub const KMRSP: u16 = 4;
/// The stream id.
pub const SID: u16 = 5;
/// The congestion control's name, sent when it is not "live".
pub const CONGESTION: u16 = 6;
/// The packet filter's configuration.
pub const FILTER: u16 = 7;
/// Membership of a bonded socket group.
pub const GROUP: u16 = 8;

/// The bits of [`Features::flags`].
pub mod flags {
    /// Sends with timestamps for timed delivery.
    pub const TSBPDSND: u32 = 1;
    /// Delivers by timestamp.
    pub const TSBPDRCV: u32 = 2;
    /// Knows encryption.
    pub const CRYPT: u32 = 4;
    /// Drops packets that come too late.
    pub const TLPKTDROP: u32 = 8;
    /// Repeats its loss reports.
    pub const NAKREPORT: u32 = 16;
    /// Knows the R bit.
    pub const REXMITFLG: u32 = 32;
    /// Wants a byte stream instead of messages.
    pub const STREAM: u32 = 64;
    /// Knows packet filters.
    pub const FILTERCAP: u32 = 128;
}

/// The length of a [`HSREQ`] or [`HSRSP`] block with its head.
pub const FEATURES_LEN: usize = 16;
/// The length of the longest text block with its head.
pub const TEXT_BLOCK_MAX: usize = 4 + StreamId::LENGTH_MAX;

/// Why extension blocks are refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// A block's head or body is cut short.
    #[error("extension block cut short")]
    Short,
    /// A block has a length its type cannot have.
    #[error("extension block {0} of a wrong length")]
    Length(u16),
    /// A block stands twice.
    #[error("extension block {0} twice")]
    Twice(u16),
    /// A stream id that is no printable UTF-8 text.
    #[error("stream id is no text")]
    Text,
}

/// What the extension blocks of a conclusion say. Unknown blocks are skipped.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Extensions<'a> {
    /// The caller's request ([`HSREQ`]).
    pub request: Option<Features>,
    /// The listener's response ([`HSRSP`]).
    pub response: Option<Features>,
    /// Key material from the caller ([`KMREQ`]).
    pub key_material: Option<&'a [u8]>,
    /// The listener's answer to it ([`KMRSP`]).
    pub key_response: Option<&'a [u8]>,
    /// The stream id.
    pub stream_id: Option<StreamId>,
    /// Whether a congestion control other than "live" is asked for.
    pub congestion_not_live: bool,
    /// Whether a packet filter is asked for.
    pub filter: bool,
    /// Whether the connection would be a member of a socket group.
    pub group: bool,
}

impl<'a> Extensions<'a> {
    pub(super) fn parse(mut rest: &'a [u8]) -> Result<Self, Error> {
        let mut extensions = Self::default();
        let mut seen = 0_u16;
        while !rest.is_empty() {
            let (kind, body, after) = split_block(rest).ok_or(Error::Short)?;
            mark(&mut seen, kind)?;
            extensions.take(kind, body)?;
            rest = after;
        }
        Ok(extensions)
    }

    fn take(&mut self, kind: u16, body: &'a [u8]) -> Result<(), Error> {
        match kind {
            HSREQ => self.request = Some(Features::parse(kind, body)?),
            HSRSP => self.response = Some(Features::parse(kind, body)?),
            KMREQ => self.key_material = Some(body),
            KMRSP => self.key_response = Some(body),
            SID => self.stream_id = Some(parse_stream_id(body)?),
            CONGESTION => self.congestion_not_live = !is_live(body),
            FILTER => self.filter = true,
            GROUP => self.group = true,
            _ => {}
        }
        Ok(())
    }
}

/// Splits off a block: its type, its body and what follows.
fn split_block(bytes: &[u8]) -> Option<(u16, &[u8], &[u8])> {
    let (head, rest) = bytes.split_first_chunk::<4>()?;
    let kind = u16::from_be_bytes([head[0], head[1]]);
    let length = usize::from(u16::from_be_bytes([head[2], head[3]])) * 4;
    let (body, after) = rest.split_at_checked(length)?;
    Some((kind, body, after))
}

/// A known block may stand once: two stream ids would leave it to us which one was checked.
fn mark(seen: &mut u16, kind: u16) -> Result<(), Error> {
    let bit = if kind < 16 { 1 << kind } else { 0 };
    if *seen & bit != 0 {
        return Err(Error::Twice(kind));
    }
    *seen |= bit;
    Ok(())
}

fn parse_stream_id(body: &[u8]) -> Result<StreamId, Error> {
    if body.len() > StreamId::LENGTH_MAX {
        return Err(Error::Length(SID));
    }
    StreamId::from_swapped(body).ok_or(Error::Text)
}

fn is_live(body: &[u8]) -> bool {
    body.len() <= StreamId::LENGTH_MAX
        && StreamId::from_swapped(body).is_some_and(|name| name.as_str() == "live")
}

/// A peer's version, flags and latencies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Features {
    /// 0x00MMmmpp: 1.5.1 is 0x010501.
    pub version: u32,
    /// See [`flags`].
    pub flags: u32,
    /// The latencies the peer proposes or, in a response, decides.
    pub latency: Latency,
}

impl Features {
    fn parse(kind: u16, body: &[u8]) -> Result<Self, Error> {
        let mut fields = words(body);
        match (fields.next(), fields.next(), fields.next(), fields.next()) {
            (Some(version), Some(flags), Some(latency), None) => Ok(Self {
                version,
                flags,
                latency: Latency::from_word(latency),
            }),
            _ => Err(Error::Length(kind)),
        }
    }
}

/// Writes a block and returns its length; `body` is zero-padded to a whole word.
///
/// # Panics
///
/// When `out` is too short or `body` longer than a block can be.
pub fn write_block(out: &mut [u8], kind: u16, body: &[u8]) -> usize {
    let words = body.len().div_ceil(4);
    let length = u16::try_from(words).expect("a block's body has at most 65535 words");
    let end = 4 + words * 4;
    out[..2].copy_from_slice(&kind.to_be_bytes());
    out[2..4].copy_from_slice(&length.to_be_bytes());
    out[4..end].fill(0);
    out[4..4 + body.len()].copy_from_slice(body);
    end
}

/// Writes a [`HSREQ`] or [`HSRSP`] block, [`FEATURES_LEN`] bytes.
pub fn write_features(out: &mut [u8], kind: u16, features: &Features) -> usize {
    let mut body = [0; FEATURES_LEN - 4];
    let fields = [features.version, features.flags, features.latency.to_word()];
    for (out, field) in body.as_chunks_mut().0.iter_mut().zip(fields) {
        *out = field.to_be_bytes();
    }
    write_block(out, kind, &body)
}

/// Writes a block whose body is text, each word of it byte-swapped as libsrt does.
pub fn write_text(out: &mut [u8], kind: u16, text: &str) -> usize {
    let length = write_block(out, kind, text.as_bytes());
    text::swap_words(&mut out[4..length]);
    length
}
