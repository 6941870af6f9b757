//! Text in extension blocks: zero-padded to whole words, the bytes of each word reversed.

use std::fmt;

/// A stream id as the caller sent it: UTF-8 without control characters, at most 512 bytes.
///
/// It usually is a credential, so its `Debug` shows only the length.
#[derive(Clone, PartialEq, Eq)]
pub struct StreamId {
    bytes: [u8; Self::LENGTH_MAX],
    length: usize,
}

impl StreamId {
    /// The longest stream id, in bytes.
    pub const LENGTH_MAX: usize = 512;

    /// Takes a text, or `None` when it is too long or has control characters.
    pub fn new(text: &str) -> Option<Self> {
        if text.len() > Self::LENGTH_MAX || text.chars().any(char::is_control) {
            return None;
        }
        let mut bytes = [0; Self::LENGTH_MAX];
        bytes[..text.len()].copy_from_slice(text.as_bytes());
        Some(Self {
            bytes,
            length: text.len(),
        })
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        std::str::from_utf8(&self.bytes[..self.length]).expect("checked when it was made")
    }

    /// Reads a block's body of at most [`Self::LENGTH_MAX`] bytes.
    pub(super) fn from_swapped(body: &[u8]) -> Option<Self> {
        let mut bytes = [0; Self::LENGTH_MAX];
        let text = bytes.get_mut(..body.len())?;
        text.copy_from_slice(body);
        swap_words(text);
        let length = text
            .iter()
            .rposition(|byte| *byte != 0)
            .map_or(0, |last| last + 1);
        Self::new(std::str::from_utf8(&text[..length]).ok()?)
    }
}

impl fmt::Debug for StreamId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "StreamId({} bytes)", self.length)
    }
}

/// Reverses the bytes of every whole word.
pub(super) fn swap_words(bytes: &mut [u8]) {
    for word in bytes.as_chunks_mut::<4>().0 {
        word.reverse();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_swapped_and_padding_is_stripped() {
        assert_eq!(StreamId::from_swapped(b"0bup").unwrap().as_str(), "pub0");
        assert_eq!(
            StreamId::from_swapped(b"evil\0\0\0_").unwrap().as_str(),
            "live_"
        );
        assert_eq!(StreamId::from_swapped(b"").unwrap().as_str(), "");
    }

    #[test]
    fn only_printable_text_is_a_stream_id() {
        assert_eq!(StreamId::from_swapped(&[0xff; 4]), None);
        assert_eq!(StreamId::from_swapped(b"a\0bc"), None);
        assert_eq!(StreamId::new("a\nb"), None);
        assert_eq!(StreamId::new(&"x".repeat(513)), None);
        assert!(StreamId::new(&"x".repeat(512)).is_some());
    }

    #[test]
    fn debug_keeps_the_secret() {
        assert_eq!(
            format!("{:?}", StreamId::new("live_secret").unwrap()),
            "StreamId(11 bytes)"
        );
    }
}
