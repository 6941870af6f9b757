//! Identifiers as a lease spells them: without the prefix that their field
//! implies, and 128 bits in 22 characters instead of 32.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

/// Marks bits; no identifier has this character.
const MARK: char = '~';

const DIGITS: usize = 32;

/// What follows the prefix, shortened when it is 32 lower-case hexadecimal
/// digits, as those are that `from_u128` makes.
pub(crate) fn shorten(id: &str, prefix: &str) -> String {
    let suffix = id
        .strip_prefix(prefix)
        .expect("an id begins with its prefix");
    match bits_of(suffix) {
        Some(bits) => format!("{MARK}{}", URL_SAFE_NO_PAD.encode(bits.to_be_bytes())),
        None => suffix.to_owned(),
    }
}

/// The whole identifier, not yet checked; `None` when marked bits are none.
pub(crate) fn lengthen(short: &str, prefix: &str) -> Option<String> {
    let Some(encoded) = short.strip_prefix(MARK) else {
        return Some([prefix, short].concat());
    };
    let bytes = URL_SAFE_NO_PAD.decode(encoded).ok()?;
    let bits = u128::from_be_bytes(bytes.try_into().ok()?);
    Some(format!("{prefix}{bits:032x}"))
}

fn bits_of(suffix: &str) -> Option<u128> {
    let digit = |b: u8| b.is_ascii_digit() || (b'a'..=b'f').contains(&b);
    let is_bits = suffix.len() == DIGITS && suffix.bytes().all(digit);
    is_bits.then(|| u128::from_str_radix(suffix, 16).ok())?
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bits_are_short_and_come_back() {
        let id = format!("ses_{:032x}", 0xfeed_u128);
        let short = shorten(&id, "ses_");
        assert_eq!(short, "~AAAAAAAAAAAAAAAAAAD-7Q");
        assert_eq!(lengthen(&short, "ses_"), Some(id));
    }

    #[test]
    fn other_identifiers_stay_as_they_are() {
        let digits = "F".repeat(32);
        for suffix in ["1", "cam-1", &digits, &"a".repeat(33)] {
            let id = format!("ses_{suffix}");
            assert_eq!(shorten(&id, "ses_"), suffix);
            assert_eq!(lengthen(suffix, "ses_"), Some(id));
        }
    }

    #[test]
    fn what_is_marked_and_no_128_bits_is_refused() {
        for short in [
            "~",
            "~AA",
            "~AAAAAAAAAAAAAAAAAAD-7QA",
            "~!",
            "~AAAAAAAAAAAAAAAAAAD-7R",
        ] {
            assert_eq!(lengthen(short, "ses_"), None, "{short}");
        }
    }
}
