//! What a stream id asks for: a name and a role, sorted out of the conventions in use.
//!
//! | text | means |
//! |---|---|
//! | `live_NAME`, `publish:NAME…`, `publish/…/NAME` | publish NAME |
//! | `play_NAME`, `read:NAME…`, `play/…/NAME` | play NAME |
//! | `#!::r=NAME,m=publish` | publish NAME; `m=request`, or no `m`, plays it |
//! | `#!::r=live_NAME`, `#!::r=play_NAME` | the prefix says the role; `m` must not contradict it |
//! | `NAME`, `host/app/NAME` | NAME in the role of the port it came to |
//! | `v4.public.…` | a signed permission, which says its role itself |

/// The prefix of a signed permission (PASETO v4.public).
pub const LEASE_PREFIX: &str = "v4.public.";

/// A stream id, sorted.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum StreamIdText<'a> {
    /// Publish under this name.
    Publish(&'a str),
    /// Play this name.
    Play(&'a str),
    /// This name, in the role that the port or the permission says.
    Either(&'a str),
}

/// Why a stream id is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// It names nothing.
    #[error("stream id without a name")]
    NoName,
    /// It starts with `#!` but is no flat list of `key=value`, or says a key twice.
    #[error("malformed access control stream id")]
    Malformed,
    /// It asks for a direction or a type that is not offered, or contradicts itself.
    #[error("stream id asks for a mode that is not offered")]
    Mode,
}

impl Error {
    /// The code to refuse the caller with.
    pub const fn reject_reason(self) -> crate::reject::RejectReason {
        match self {
            Self::NoName | Self::Malformed => crate::reject::RejectReason::BAD_REQUEST,
            Self::Mode => crate::reject::RejectReason::BAD_MODE,
        }
    }
}

impl<'a> StreamIdText<'a> {
    /// Sorts a stream id.
    ///
    /// # Errors
    ///
    /// When it names nothing, is malformed, or asks for what is not offered.
    pub fn parse(text: &'a str) -> Result<Self, Error> {
        let sorted = if let Some(list) = text.strip_prefix("#!::") {
            parse_list(list)?
        } else if text.starts_with("#!") {
            return Err(Error::Malformed);
        } else {
            parse_plain(text)
        };
        if sorted.name().is_empty() {
            Err(Error::NoName)
        } else {
            Ok(sorted)
        }
    }

    /// The name without the role.
    pub const fn name(self) -> &'a str {
        match self {
            Self::Publish(name) | Self::Play(name) | Self::Either(name) => name,
        }
    }

    /// Whether the name is a signed permission rather than a key.
    pub fn is_lease(self) -> bool {
        self.name().starts_with(LEASE_PREFIX)
    }
}

/// The name is a credential: `Debug` shows the role and the length.
impl std::fmt::Debug for StreamIdText<'_> {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let role = match self {
            Self::Publish(_) => "Publish",
            Self::Play(_) => "Play",
            Self::Either(_) => "Either",
        };
        write!(formatter, "{role}({} bytes)", self.name().len())
    }
}

fn parse_plain(text: &str) -> StreamIdText<'_> {
    if let Some(rest) = text.strip_prefix("publish:") {
        return StreamIdText::Publish(path(rest));
    }
    if let Some(rest) = text.strip_prefix("read:") {
        return StreamIdText::Play(path(rest));
    }
    if let Some(rest) = text.strip_prefix("publish/") {
        return StreamIdText::Publish(last_segment(rest));
    }
    if let Some(rest) = text.strip_prefix("play/") {
        return StreamIdText::Play(last_segment(rest));
    }
    // A lease is base64url with dots: it has no slash to cut at.
    parse_name(last_segment(text))
}

/// `live_` and `play_` say the role; anything else leaves it open.
fn parse_name(name: &str) -> StreamIdText<'_> {
    if let Some(key) = name.strip_prefix("live_") {
        StreamIdText::Publish(key)
    } else if let Some(key) = name.strip_prefix("play_") {
        StreamIdText::Play(key)
    } else {
        StreamIdText::Either(name)
    }
}

/// `/path:user:password`: the path is the name.
fn path(text: &str) -> &str {
    let path = text.split(':').next().unwrap_or_default();
    path.strip_prefix('/').unwrap_or(path)
}

fn last_segment(text: &str) -> &str {
    text.rsplit('/').next().unwrap_or_default()
}

fn parse_list(list: &str) -> Result<StreamIdText<'_>, Error> {
    let (mut resource, mut mode, mut kind) = (None, None, None);
    for pair in list.split(',') {
        let (key, value) = pair.split_once('=').ok_or(Error::Malformed)?;
        let field = match key {
            "r" => &mut resource,
            "m" => &mut mode,
            "t" => &mut kind,
            _ => continue,
        };
        if field.replace(value).is_some() {
            return Err(Error::Malformed);
        }
    }
    if kind.is_some_and(|kind| kind != "stream") {
        return Err(Error::Mode);
    }
    with_mode(parse_name(resource.ok_or(Error::NoName)?), mode)
}

fn with_mode<'a>(named: StreamIdText<'a>, mode: Option<&str>) -> Result<StreamIdText<'a>, Error> {
    use StreamIdText::{Either, Play, Publish};
    match (named, mode) {
        (Publish(name) | Either(name), Some("publish")) | (Publish(name), None) => {
            Ok(Publish(name))
        }
        (Play(name) | Either(name), Some("request") | None) => Ok(Play(name)),
        _ => Err(Error::Mode),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use StreamIdText::{Either, Play, Publish};

    #[test]
    fn conventions_in_use() {
        for (text, sorted) in [
            ("live_k", Publish("k")),
            ("play_k", Play("k")),
            ("k", Either("k")),
            ("host/app/k", Either("k")),
            ("publish/live/k", Publish("k")),
            ("play/live/k", Play("k")),
            ("publish:/k", Publish("k")),
            ("publish:k:user:pass", Publish("k")),
            ("read:k", Play("k")),
            ("#!::r=k,m=publish,s=1", Publish("k")),
            ("#!::m=request,r=k", Play("k")),
            ("#!::r=k", Play("k")),
            ("#!::r=live_k", Publish("k")),
            ("#!::u=me,t=stream,r=play_k,m=request", Play("k")),
        ] {
            assert_eq!(StreamIdText::parse(text), Ok(sorted), "{text}");
        }
    }

    #[test]
    fn leases_are_taken_whole() {
        let lease = StreamIdText::parse("v4.public.aGk_-x.Zm9v").unwrap();
        assert_eq!(lease, Either("v4.public.aGk_-x.Zm9v"));
        assert!(lease.is_lease());
        assert!(
            StreamIdText::parse("#!::r=v4.public.x,m=publish")
                .unwrap()
                .is_lease()
        );
        assert!(!StreamIdText::parse("live_k").unwrap().is_lease());
    }

    #[test]
    fn refusals() {
        for (text, error) in [
            ("", Error::NoName),
            ("live_", Error::NoName),
            ("a/b/", Error::NoName),
            ("publish:", Error::NoName),
            ("#!::m=publish", Error::NoName),
            ("#!::r=,m=publish", Error::NoName),
            ("#!:{r=k}", Error::Malformed),
            ("#!r=k", Error::Malformed),
            ("#!::r", Error::Malformed),
            ("#!::r=a,r=b", Error::Malformed),
            ("#!::r=k,m=bidirectional", Error::Mode),
            ("#!::r=k,t=file", Error::Mode),
            ("#!::r=play_k,m=publish", Error::Mode),
            ("#!::r=live_k,m=request", Error::Mode),
        ] {
            assert_eq!(StreamIdText::parse(text), Err(error), "{text}");
        }
    }

    #[test]
    fn debug_keeps_the_name() {
        assert_eq!(format!("{:?}", Publish("secret")), "Publish(6 bytes)");
    }
}
