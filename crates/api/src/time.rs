//! Times as people and programs read them.

use model::UnixMillis;

/// RFC 3339, UTC.
pub(crate) fn rfc3339(at: UnixMillis) -> String {
    jiff::Timestamp::from_millisecond(at.0).map_or_else(|_| at.0.to_string(), |at| at.to_string())
}

/// What a program wrote, any offset.
pub(crate) fn parse_rfc3339(text: &str) -> Option<UnixMillis> {
    let at: jiff::Timestamp = text.parse().ok()?;
    Some(UnixMillis(at.as_millisecond()))
}
