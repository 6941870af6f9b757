//! A stream's settings that are words, in one short string of a lease.
//!
//! ```text
//! "cbkr"   resume cut, buffered, from a keyframe, encryption required
//! "---o"   encryption optional, the rest is the node's
//! ```

use model::settings::{Delivery, Encryption, Resume, Start};

/// A word that is not set.
const UNSET: u8 = b'-';

/// The words of the settings.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Words {
    pub(crate) resume: Option<Resume>,
    pub(crate) delivery: Option<Delivery>,
    pub(crate) start: Option<Start>,
    pub(crate) encryption: Option<Encryption>,
}

impl Words {
    /// Their letters; `None` when no word is set.
    pub(crate) fn to_letters(self) -> Option<String> {
        let letters = [
            letter(self.resume),
            letter(self.delivery),
            letter(self.start),
            letter(self.encryption),
        ];
        let is_set = letters.iter().any(|letter| *letter != UNSET);
        is_set.then(|| letters.map(char::from).iter().collect())
    }

    /// Reads letters; `None` when one is not known or their number is another.
    pub(crate) fn from_letters(letters: &str) -> Option<Self> {
        let [resume, delivery, start, encryption] = letters.as_bytes().try_into().ok()?;
        Some(Self {
            resume: word(resume)?,
            delivery: word(delivery)?,
            start: word(start)?,
            encryption: word(encryption)?,
        })
    }
}

fn letter<T: Letter>(word: Option<T>) -> u8 {
    word.map_or(UNSET, T::to_letter)
}

fn word<T: Letter>(letter: u8) -> Option<Option<T>> {
    if letter == UNSET {
        return Some(None);
    }
    T::from_letter(letter).map(Some)
}

/// An enum with one letter a variant.
trait Letter: Sized {
    fn to_letter(self) -> u8;
    fn from_letter(letter: u8) -> Option<Self>;
}

macro_rules! letters {
    ($name:ident { $($variant:ident = $letter:literal),+ $(,)? }) => {
        impl Letter for $name {
            fn to_letter(self) -> u8 {
                match self { $(Self::$variant => $letter),+ }
            }

            fn from_letter(letter: u8) -> Option<Self> {
                match letter {
                    $($letter => Some(Self::$variant),)+
                    _ => None,
                }
            }
        }
    };
}

letters!(Resume { Hold = b'h', Cut = b'c' });
letters!(Delivery { PassThrough = b'p', Buffered = b'b' });
letters!(Start { Newest = b'n', Keyframe = b'k' });
letters!(Encryption { Off = b'n', Optional = b'o', Required = b'r' });

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn letters_are_as_documented() {
        let all = Words {
            resume: Some(Resume::Cut),
            delivery: Some(Delivery::Buffered),
            start: Some(Start::Keyframe),
            encryption: Some(Encryption::Required),
        };
        let other = Words {
            resume: Some(Resume::Hold),
            delivery: Some(Delivery::PassThrough),
            start: Some(Start::Newest),
            encryption: Some(Encryption::Off),
        };
        let one = Words {
            encryption: Some(Encryption::Optional),
            ..Words::default()
        };
        for (words, letters) in [(all, "cbkr"), (other, "hpnn"), (one, "---o")] {
            assert_eq!(words.to_letters().as_deref(), Some(letters));
            assert_eq!(Words::from_letters(letters), Some(words));
        }
        assert_eq!(Words::default().to_letters(), None);
    }

    #[test]
    fn what_is_not_known_is_refused() {
        for letters in [
            "", "cbk", "cbkrr", "xbkr", "cxkr", "cbxr", "cbkx", "éé", "CBKR",
        ] {
            assert_eq!(Words::from_letters(letters), None, "{letters}");
        }
    }
}
