//! What a batch is filed under: its app's names, as words that NATS can hold.

use crate::events::batch::Source;

/// Those of all apps.
pub(super) const ALL: &str = "streamhaul.events.>";

/// The subject of an app's batches.
pub(super) fn of(source: &Source) -> String {
    let (org, name) = (word(&source.org), word(&source.name));
    format!("streamhaul.events.{org}.{name}")
}

/// Letters, digits, `-` and `_` as they are; any other byte as `=` and two hexadecimal digits,
/// since dots, stars and spaces mean something in a subject. No two names have the same word.
fn word(name: &str) -> String {
    let mut word = String::with_capacity(name.len());
    for byte in name.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' => word.push(byte.into()),
            _ => word.push_str(&format!("={byte:02X}")),
        }
    }
    if word.is_empty() {
        "=".to_owned()
    } else {
        word
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn source(org: &str, name: &str) -> Source {
        Source {
            org: org.to_owned(),
            name: name.to_owned(),
        }
    }

    #[test]
    fn names_are_words() {
        assert_eq!(of(&source("acme", "cam-2")), "streamhaul.events.acme.cam-2");
        assert_eq!(of(&source("a.b", "*>")), "streamhaul.events.a=2Eb.=2A=3E");
        assert_eq!(of(&source("", "=")), "streamhaul.events.=.=3D");
    }

    proptest! {
        #[test]
        fn no_name_makes_another_subject(one in (".{0,9}", ".{0,9}"), two in (".{0,9}", ".{0,9}")) {
            let (one, two) = (source(&one.0, &one.1), source(&two.0, &two.1));
            let subject = of(&one);
            prop_assert_eq!(subject.split('.').filter(|word| !word.is_empty()).count(), 4);
            prop_assert!(subject.bytes().all(|it| it.is_ascii_graphic() && !b"*>".contains(&it)));
            prop_assert_eq!(one == two, subject == of(&two));
        }
    }
}
