//! What `jsonb` cannot hold though it is JSON: found before it spoils a whole flush.

use super::event::Fault;

/// Deeper than anything sensible, and far from what makes a parser's stack overflow.
pub(crate) const DEPTH_MAX: u32 = 32;
/// Digits of a number, and the size of its exponent.
const NUMBER_LENGTH_MAX: usize = 400;
const EXPONENT_MAX: u32 = 400;

/// Looks through a JSON text, whose syntax was checked, for what cannot be kept.
pub(crate) fn check(json: &str) -> Result<(), Fault> {
    let mut rest = json.as_bytes();
    let mut depth = 0_u32;
    while let Some((&byte, after)) = rest.split_first() {
        rest = match byte {
            b'"' => string(after)?,
            b'-' | b'0'..=b'9' => number(rest)?,
            b'{' | b'[' => {
                depth += 1;
                if depth > DEPTH_MAX {
                    return Err(Fault::TooDeep);
                }
                after
            }
            b'}' | b']' => {
                depth = depth.saturating_sub(1);
                after
            }
            _ => after,
        };
    }
    Ok(())
}

/// What follows the string.
fn string(mut rest: &[u8]) -> Result<&[u8], Fault> {
    loop {
        match rest {
            [b'"', after @ ..] => return Ok(after),
            [b'\\', b'u', after @ ..] => rest = escape(after)?,
            [b'\\', _, after @ ..] | [_, after @ ..] => rest = after,
            [] => return Ok(rest),
        }
    }
}

/// What follows `\uXXXX`, or the two that make one character.
fn escape(rest: &[u8]) -> Result<&[u8], Fault> {
    let (unit, after) = unit(rest)?;
    match unit {
        0 => Err(Fault::Nul),
        0xd800..0xdc00 => match after {
            [b'\\', b'u', after @ ..] => match self::unit(after)? {
                (0xdc00..0xe000, after) => Ok(after),
                _ => Err(Fault::Surrogate),
            },
            _ => Err(Fault::Surrogate),
        },
        0xdc00..0xe000 => Err(Fault::Surrogate),
        _ => Ok(after),
    }
}

fn unit(rest: &[u8]) -> Result<(u16, &[u8]), Fault> {
    let (digits, after) = rest.split_at_checked(4).ok_or(Fault::Malformed)?;
    let digits = std::str::from_utf8(digits).map_err(|_| Fault::Malformed)?;
    let unit = u16::from_str_radix(digits, 16).map_err(|_| Fault::Malformed)?;
    Ok((unit, after))
}

/// What follows the number.
fn number(rest: &[u8]) -> Result<&[u8], Fault> {
    let is_part = |byte: &u8| matches!(byte, b'0'..=b'9' | b'-' | b'+' | b'.' | b'e' | b'E');
    let length = rest.iter().take_while(|byte| is_part(byte)).count();
    let (number, after) = rest.split_at(length);
    if length > NUMBER_LENGTH_MAX {
        return Err(Fault::Number);
    }
    let exponent = number.split(|byte| matches!(byte, b'e' | b'E')).nth(1);
    let Some(exponent) = exponent else {
        return Ok(after);
    };
    let digits = std::str::from_utf8(exponent).map_err(|_| Fault::Malformed)?;
    let digits = digits.trim_start_matches(['+', '-']);
    match digits.parse::<u32>() {
        Ok(exponent) if exponent <= EXPONENT_MAX => Ok(after),
        _ => Err(Fault::Number),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_jsonb_holds_passes() {
        for fine in [
            "null",
            r#"{"a":[1,-2.5e10,true,"x\"y\\u0000\n"],"\u00e9":"\ud83d\ude00"}"#,
            r#""\\""#,
            "1E-400",
        ] {
            assert_eq!(check(fine), Ok(()), "{fine}");
        }
        let deep = format!("{}1{}", "[".repeat(32), "]".repeat(32));
        assert_eq!(check(&deep), Ok(()));
    }

    #[test]
    fn what_it_cannot_hold_is_named() {
        let deep = format!("{}1{}", "[".repeat(64), "]".repeat(64));
        let long = "1".repeat(401);
        for (bad, fault) in [
            (r#""\u0000""#, Fault::Nul),
            (r#"{"\u0000":1}"#, Fault::Nul),
            (r#""\\\u0000""#, Fault::Nul),
            (r#""\ud800""#, Fault::Surrogate),
            (r#""\ud800\u0041""#, Fault::Surrogate),
            (r#""\udc00""#, Fault::Surrogate),
            ("1e401", Fault::Number),
            ("1e99999999999", Fault::Number),
            (&long, Fault::Number),
            (&deep, Fault::TooDeep),
        ] {
            assert_eq!(check(bad), Err(fault), "{bad}");
        }
    }
}
