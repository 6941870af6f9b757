//! Listeners elsewhere that a session pulls from or pushes to.

use std::time::Duration;

use model::{Passphrase, SessionId};
use srt::RejectReason;
use srt::caller::Failure;
use srt::crypto::KeyLength;
use srt::handshake::StreamId;

use crate::reason::RefusalReason;

/// Pushes of one session.
pub const PUSHES_MAX: usize = 4;

/// Which way the packets go over a connection that this node made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Direction {
    /// From the remote to us: it is the stream's publisher.
    Pull,
    /// From us to the remote: it is one of the stream's players.
    Push,
}

impl Direction {
    /// The direction's word.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Pull => "pull",
            Self::Push => "push",
        }
    }
}

/// What a connection to a remote is encrypted with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RemoteSecret {
    /// The passphrase that the remote expects.
    pub passphrase: Passphrase,
    /// How long the keys are: it is the caller who says.
    pub key_length: KeyLength,
}

/// An SRT listener elsewhere. Its `Debug` shows neither the stream id's text nor
/// the passphrase.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Remote {
    /// Its name or address, as whoever looks it up understands it.
    pub host: String,
    /// Its UDP port.
    pub port: u16,
    /// What is asked of it.
    pub stream_id: Option<StreamId>,
    /// The least latency of the connection; the remote may make it more.
    pub latency: Duration,
    /// What the connection is encrypted with, both ways; `None`: it is clear.
    pub secret: Option<RemoteSecret>,
}

/// The longest host name.
const HOST_LENGTH_MAX: usize = 253;

impl Remote {
    /// Takes a remote as it is written down, without encryption; an empty stream id
    /// is none. `None` when the host or the stream id cannot be one, or there is no such port.
    #[must_use]
    pub fn new(host: &str, port: u32, stream_id: &str, latency: Duration) -> Option<Self> {
        let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"-._:[]".contains(&byte);
        let is_host = (1..=HOST_LENGTH_MAX).contains(&host.len()) && host.bytes().all(allowed);
        let stream_id = match stream_id {
            "" => None,
            text => Some(StreamId::new(text)?),
        };
        is_host.then_some(Self {
            host: host.into(),
            port: u16::try_from(port).ok().filter(|port| *port != 0)?,
            stream_id,
            latency,
            secret: None,
        })
    }
}

/// The remotes of one session.
#[derive(Debug, Clone, Default)]
pub(crate) struct Remotes {
    pub(crate) pull: Option<Remote>,
    pub(crate) push: Vec<Remote>,
}

/// A host that must be looked up before it is called. The answer is
/// [`crate::Command::Found`] with the same session and attempt.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lookup {
    /// For which session.
    pub session: SessionId,
    /// For which of its attempts.
    pub attempt: u64,
    /// What the connection is for: an operator may allow one and not the other.
    pub direction: Direction,
    /// The name or address.
    pub host: String,
    /// The UDP port.
    pub port: u16,
}

/// Why a lookup gave no address.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LookupError {
    /// There is none, or nobody could say.
    NotFound,
    /// It may not be called from this node.
    Forbidden,
}

/// Why a remote is not connected. It is called again later.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RemoteFailure {
    /// It has no address.
    NoAddress,
    /// Its address may not be called from this node.
    ForbiddenAddress,
    /// Too many keys wait to be derived on this node.
    NoKeys,
    /// It did not answer.
    NoAnswer,
    /// It refused.
    Rejected(RejectReason),
    /// It agreed to what is not spoken here.
    Unusable(RejectReason),
    /// There is no place for it here.
    Refused(RefusalReason),
}

impl RemoteFailure {
    /// The failure's word: a rejection without a name of its own has its number
    /// on the wire.
    #[must_use]
    pub fn word(self) -> String {
        match self {
            Self::NoAddress => "no_address".into(),
            Self::ForbiddenAddress => "forbidden_address".into(),
            Self::NoKeys => "no_keys".into(),
            Self::NoAnswer => "no_answer".into(),
            Self::Rejected(reason) => format!("rejected_{}", code(reason)),
            Self::Unusable(reason) => format!("unusable_{}", code(reason)),
            Self::Refused(reason) => reason.as_str().into(),
        }
    }
}

fn code(reason: RejectReason) -> String {
    match reason.as_str() {
        "other" => reason.wire().to_string(),
        name => name.into(),
    }
}

impl From<Failure> for RemoteFailure {
    fn from(failure: Failure) -> Self {
        match failure {
            Failure::Rejected(reason) => Self::Rejected(reason),
            Failure::Unusable(reason) => Self::Unusable(reason),
            Failure::NoAnswer => Self::NoAnswer,
        }
    }
}

impl From<LookupError> for RemoteFailure {
    fn from(error: LookupError) -> Self {
        match error {
            LookupError::NotFound => Self::NoAddress,
            LookupError::Forbidden => Self::ForbiddenAddress,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_can_be_called_is_a_remote() {
        let remote = |host: &str, port, id: &str| Remote::new(host, port, id, Duration::ZERO);
        let full = remote("relay.example", 9000, "play_1").unwrap();
        assert_eq!(full.stream_id.as_ref().unwrap().as_str(), "play_1");
        assert!(!format!("{full:?}").contains("play_1"));
        assert_eq!(remote("[2001:db8::1]", 9000, "").unwrap().stream_id, None);
        for (host, port, id) in [
            ("", 9000, ""),
            ("a/b", 9000, ""),
            ("a b", 9000, ""),
            ("relay.example", 0, ""),
            ("relay.example", 65_536, ""),
            ("relay.example", 9000, "a\nb"),
        ] {
            assert_eq!(remote(host, port, id), None, "{host} {port} {id}");
        }
        assert_eq!(remote(&"x".repeat(254), 9000, ""), None);
    }

    #[test]
    fn failures_have_words() {
        let rejected = |wire| RemoteFailure::Rejected(RejectReason::from_wire(wire).unwrap());
        assert_eq!(rejected(2404).word(), "rejected_not_found");
        assert_eq!(rejected(3077).word(), "rejected_3077");
        let full = RemoteFailure::Refused(RefusalReason::OverCapacity);
        assert_eq!(full.word(), "over_capacity");
    }
}
