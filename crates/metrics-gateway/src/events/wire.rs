//! An event as SDKs write it: JSON, read without a copy.
//!
//! ```json
//! {"schema_version":"1.0.0","event_id":"<uuid>","timestamp":"<RFC 3339>","user_id":"…","session_id":"…",
//!  "service":{"name":"…","version":"…","language":"…","language_version":"…"},
//!  "environment":{"os":"…","os_version":"…","arch":"…","ci":false,"shell":"…"},
//!  "event":{"type":"…","category":"…","data":…},"metadata":{"sdk_version":"…"}}
//! ```

use std::borrow::Cow;

use serde::Deserialize;
use serde_json::value::RawValue;

use super::event::Fault;

/// Bytes of an event's own text fields, each.
pub(super) const TEXT_BYTES_MAX: usize = 256;

/// An event; fields that are not named here are ignored, so that newer SDKs are understood.
#[derive(Debug, Deserialize)]
pub(super) struct Wire<'a> {
    #[serde(borrow)]
    pub(super) schema_version: Text<'a>,
    #[serde(borrow)]
    pub(super) event_id: Text<'a>,
    #[serde(borrow)]
    pub(super) timestamp: Text<'a>,
    #[serde(borrow)]
    pub(super) service: Service<'a>,
    #[serde(borrow)]
    pub(super) user_id: Text<'a>,
    #[serde(borrow)]
    pub(super) session_id: Option<Text<'a>>,
    #[serde(borrow)]
    pub(super) environment: Environment<'a>,
    #[serde(borrow)]
    pub(super) event: Inner<'a>,
    #[serde(default, borrow)]
    pub(super) metadata: Option<Metadata<'a>>,
}

/// Which program.
#[derive(Debug, Deserialize)]
pub(super) struct Service<'a> {
    #[serde(borrow)]
    pub(super) name: Text<'a>,
    #[serde(borrow)]
    pub(super) version: Text<'a>,
    #[serde(borrow)]
    pub(super) language: Text<'a>,
    #[serde(borrow)]
    pub(super) language_version: Option<Text<'a>>,
}

/// Where it ran.
#[derive(Debug, Deserialize)]
pub(super) struct Environment<'a> {
    #[serde(borrow)]
    pub(super) os: Text<'a>,
    #[serde(borrow)]
    pub(super) os_version: Option<Text<'a>>,
    #[serde(borrow)]
    pub(super) arch: Option<Text<'a>>,
    pub(super) ci: Option<bool>,
    #[serde(borrow)]
    pub(super) shell: Option<Text<'a>>,
}

/// What happened.
#[derive(Debug, Deserialize)]
pub(super) struct Inner<'a> {
    #[serde(rename = "type", borrow)]
    pub(super) event_type: Text<'a>,
    #[serde(borrow)]
    pub(super) category: Option<Text<'a>>,
    #[serde(default, borrow)]
    pub(super) data: Option<&'a RawValue>,
}

/// Who says so.
#[derive(Debug, Deserialize)]
pub(super) struct Metadata<'a> {
    #[serde(borrow)]
    pub(super) sdk_version: Option<Text<'a>>,
}

/// A text as it stands in the request, copied only if it has escapes. serde borrows no `Cow` that is
/// in an `Option`.
#[derive(Debug, Deserialize)]
#[serde(transparent)]
pub(super) struct Text<'a>(#[serde(borrow)] pub(super) Cow<'a, str>);

impl<'a> Wire<'a> {
    /// Reads one.
    pub(super) fn parse(text: &'a str) -> Result<Self, Fault> {
        serde_json::from_str(text).map_err(|_| Fault::Malformed)
    }
}

impl Text<'_> {
    /// What is said, if it is short enough and PostgreSQL can hold it.
    pub(super) fn checked(&self) -> Result<&str, Fault> {
        if self.0.len() > TEXT_BYTES_MAX {
            return Err(Fault::Text);
        }
        if self.0.contains('\0') {
            return Err(Fault::Nul);
        }
        Ok(&self.0)
    }

    /// The same of what must be said.
    pub(super) fn required(&self) -> Result<&str, Fault> {
        if self.0.is_empty() {
            return Err(Fault::Text);
        }
        self.checked()
    }
}

/// The same of what need not be said.
pub(super) fn optional<'a>(text: Option<&'a Text<'_>>) -> Result<Option<&'a str>, Fault> {
    text.map(Text::checked).transpose()
}
