//! What stands behind the question mark of a request: each name once, none that is not known.

use std::collections::BTreeMap;

use jiff::Timestamp;
use model::UnixMillis;

/// Bytes of all of them; longer is no question.
const QUERY_BYTES_MAX: usize = 4096;
/// Letters of what was wrong that are shown again.
const SHOWN_MAX: usize = 64;
/// Bytes of an event's type, as the gateway takes them.
const TYPE_BYTES_MAX: usize = 256;

/// Which parameter is wrong, and what it should be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Fault(pub(crate) String);

impl Fault {
    pub(crate) fn new(name: &str, expected: &str) -> Self {
        Self(format!("{name}: {expected}"))
    }
}

/// The parameters that were not looked at yet.
pub(crate) struct Given(BTreeMap<String, String>);

impl Given {
    pub(crate) fn read(query: &str) -> Result<Self, Fault> {
        if query.len() > QUERY_BYTES_MAX {
            return Err(Fault("the parameters are too long".to_owned()));
        }
        let mut given = BTreeMap::new();
        for (name, value) in form_urlencoded::parse(query.as_bytes()) {
            let before = given.insert(name.to_string(), value.into_owned());
            if before.is_some() {
                return Err(Fault::new(&shown(&name), "once"));
            }
        }
        Ok(Self(given))
    }

    pub(crate) fn take(&mut self, name: &str) -> Option<String> {
        self.0.remove(name)
    }

    /// One of these words, or the first when there is none.
    pub(crate) fn word<T: Copy>(&mut self, name: &str, words: &[(&str, T)]) -> Result<T, Fault> {
        let given = self.take(name);
        let is_meant = |word: &str| given.as_deref().is_none_or(|given| given == word);
        let found = words.iter().find(|(word, _)| is_meant(word));
        found.map(|(_, value)| *value).ok_or_else(|| {
            let words: Vec<&str> = words.iter().map(|(word, _)| *word).collect();
            Fault::new(name, &words.join(", "))
        })
    }

    /// A type that events can have.
    pub(crate) fn event_type(&mut self) -> Result<Option<String>, Fault> {
        let is_type =
            |text: &str| (1..=TYPE_BYTES_MAX).contains(&text.len()) && !text.contains('\0');
        match self.take("type") {
            Some(text) if !is_type(&text) => Err(Fault::new("type", "1 to 256 bytes")),
            given => Ok(given),
        }
    }

    /// An instant, or `default`.
    pub(crate) fn instant(
        &mut self,
        name: &str,
        now: UnixMillis,
        default: Timestamp,
    ) -> Result<Timestamp, Fault> {
        let Some(text) = self.take(name) else {
            return Ok(default);
        };
        let expected =
            "RFC 3339 such as 2026-01-31T12:00:00Z (a + is %2B), now, or so long ago: -24h";
        instant(&text, now).ok_or_else(|| Fault::new(name, expected))
    }

    /// Checks that there are no others.
    pub(crate) fn end(self) -> Result<(), Fault> {
        match self.0.keys().next() {
            Some(name) => Err(Fault::new(&shown(name), "no such parameter here")),
            None => Ok(()),
        }
    }
}

/// RFC 3339, `now`, or a time ago such as `-90m`.
fn instant(text: &str, now: UnixMillis) -> Option<Timestamp> {
    let now = Timestamp::from_millisecond(now.0).ok()?;
    if text == "now" {
        return Some(now);
    }
    if let Some(ago) = text.strip_prefix('-') {
        let ago = jiff::SignedDuration::from_secs(seconds(ago)?.into());
        return now.checked_sub(ago).ok();
    }
    text.parse().ok()
}

/// A time such as `90s`, `5m`, `12h`, `7d`, `2w`.
pub(crate) fn seconds(text: &str) -> Option<u32> {
    let (place, unit) = text.char_indices().next_back()?;
    let factor: u32 = match unit {
        's' => 1,
        'm' => 60,
        'h' => 3600,
        'd' => 86_400,
        'w' => 604_800,
        _ => return None,
    };
    let digits = &text[..place];
    let is_number = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
    let number: u32 = is_number.then(|| digits.parse().ok()).flatten()?;
    number.checked_mul(factor)
}

fn shown(text: &str) -> String {
    text.chars().take(SHOWN_MAX).collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const NOW: UnixMillis = UnixMillis(1_760_000_000_500);

    #[test]
    fn instants_are_written_in_three_ways() {
        let millis = |text: &str| instant(text, NOW).map(Timestamp::as_millisecond);
        assert_eq!(millis("now"), Some(NOW.0));
        assert_eq!(millis("-0s"), Some(NOW.0));
        assert_eq!(millis("-90m"), Some(NOW.0 - 5_400_000));
        assert_eq!(millis("2025-10-09T08:53:20Z"), Some(1_760_000_000_000));
        assert_eq!(millis("2025-10-09T10:53:20+02:00"), Some(1_760_000_000_000));
        for bad in [
            "",
            "-",
            "-h",
            "-1",
            "-1y",
            "-+1h",
            "-é",
            "24h",
            "yesterday",
            "-9999999999d",
        ] {
            assert_eq!(millis(bad), None, "{bad}");
        }
    }

    #[test]
    fn what_is_there_twice_or_unknown_is_named() {
        let twice = Given::read("a=1&a=2").err().unwrap();
        assert_eq!(twice.0, "a: once");
        let unknown = Given::read("to=now&%C3%A9=1").unwrap().end().unwrap_err();
        assert!(unknown.0.contains("no such parameter"), "{}", unknown.0);
    }

    proptest! {
        #[test]
        fn no_text_panics(text in "\\PC{0,80}") {
            let _ = instant(&text, NOW);
            let _ = seconds(&text);
            if let Ok(mut given) = Given::read(&text) {
                let _ = given.event_type();
                let _ = given.end();
            }
        }

        #[test]
        fn a_time_is_its_number_times_its_unit(number in 0_u32..4000, unit in 0_usize..5) {
            let (letter, factor) = [("s", 1), ("m", 60), ("h", 3600), ("d", 86_400), ("w", 604_800)][unit];
            prop_assert_eq!(seconds(&format!("{number}{letter}")), number.checked_mul(factor));
        }
    }
}
