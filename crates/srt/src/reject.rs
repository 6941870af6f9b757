//! Why a connection is refused, in libsrt's codes.

use std::fmt;

/// A rejection code.
///
/// libsrt's API numbers its own reasons from 0, HTTP-like ones from 1000 and an application's from
/// 2000; the wire adds 1000 to all of them. So "not found" is 1404 in the API and 2404 on the wire.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct RejectReason(u32);

const WIRE_OFFSET: u32 = 1000;
/// Above these lie, as negative numbers, the steps of a handshake.
const WIRE_MAX: u32 = 0x7fff_ffff;

macro_rules! reasons {
    ($($(#[doc = $doc:literal])+ $name:ident = $code:literal, $label:literal;)+) => {
        impl RejectReason {
            $($(#[doc = $doc])+ pub const $name: Self = Self($code);)+

            /// A short name for logs and metrics; every unnamed code is "other".
            pub const fn as_str(self) -> &'static str {
                match self.0 {
                    $($code => $label,)+
                    _ => "other",
                }
            }
        }
    };
}

reasons! {
    /// No reason known.
    UNKNOWN = 0, "unknown";
    /// A system function failed.
    SYSTEM = 1, "system";
    /// The peer refused.
    PEER = 2, "peer";
    /// Out of resources.
    RESOURCE = 3, "resource";
    /// The handshake is malformed.
    ROGUE = 4, "rogue";
    /// Too many connections wait to be accepted.
    BACKLOG = 5, "backlog";
    /// An internal error.
    INTERNAL = 6, "internal";
    /// The listener is closing.
    CLOSE = 7, "close";
    /// A protocol version that is not spoken here.
    VERSION = 8, "version";
    /// A rendezvous cookie collision.
    RENDEZVOUS_COOKIE = 9, "rendezvous_cookie";
    /// Wrong passphrase.
    BAD_SECRET = 10, "bad_secret";
    /// A passphrase is required, or none is expected.
    UNSECURE = 11, "unsecure";
    /// Stream instead of message mode.
    MESSAGE_API = 12, "message_api";
    /// Another congestion control.
    CONGESTION = 13, "congestion";
    /// Packet filters do not agree.
    FILTER = 14, "filter";
    /// Socket groups do not agree.
    GROUP = 15, "group";
    /// The connection took too long.
    TIMEOUT = 16, "timeout";
    /// Another cipher mode.
    CRYPTO = 17, "crypto";
    /// The request is not understood.
    BAD_REQUEST = 1400, "bad_request";
    /// The credential is wrong.
    UNAUTHORIZED = 1401, "unauthorized";
    /// Too busy.
    OVERLOAD = 1402, "overload";
    /// The credential does not allow this.
    FORBIDDEN = 1403, "forbidden";
    /// There is no such stream.
    NOT_FOUND = 1404, "not_found";
    /// The stream cannot be used in this direction.
    BAD_MODE = 1405, "bad_mode";
    /// The parameters cannot be met.
    UNACCEPTABLE = 1406, "unacceptable";
    /// Somebody else uses it already.
    CONFLICT = 1409, "conflict";
    /// The media type is not supported.
    UNSUPPORTED_MEDIA = 1415, "unsupported_media";
    /// It is locked against any use.
    LOCKED = 1423, "locked";
    /// Something it depends on failed.
    FAILED_DEPENDENCY = 1424, "failed_dependency";
    /// The server failed.
    SERVER_ERROR = 1500, "server_error";
    /// Not implemented.
    UNIMPLEMENTED = 1501, "unimplemented";
    /// The server behind this one failed.
    GATEWAY = 1502, "gateway";
    /// The service is down.
    DOWN = 1503, "down";
    /// An application version that is not supported.
    APPLICATION_VERSION = 1505, "application_version";
    /// No room for more.
    NO_ROOM = 1507, "no_room";
}

impl RejectReason {
    /// A reason of libsrt's API, such as 1404; `None` when it is out of range.
    pub const fn new(code: u32) -> Option<Self> {
        if code <= WIRE_MAX - WIRE_OFFSET {
            Some(Self(code))
        } else {
            None
        }
    }

    /// The reason that a handshake kind stands for; `None` when that is no rejection.
    pub const fn from_wire(kind: u32) -> Option<Self> {
        if kind >= WIRE_OFFSET && kind <= WIRE_MAX {
            Some(Self(kind - WIRE_OFFSET))
        } else {
            None
        }
    }

    /// The number in libsrt's API.
    pub const fn code(self) -> u32 {
        self.0
    }

    /// The number on the wire.
    pub const fn wire(self) -> u32 {
        self.0 + WIRE_OFFSET
    }
}

impl fmt::Display for RejectReason {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            formatter,
            "{} ({}, {} on the wire)",
            self.as_str(),
            self.code(),
            self.wire()
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_wire_adds_a_thousand() {
        assert_eq!(RejectReason::UNSECURE.wire(), 1011);
        assert_eq!(RejectReason::NOT_FOUND.wire(), 2404);
        assert_eq!(RejectReason::from_wire(2409), Some(RejectReason::CONFLICT));
        assert_eq!(RejectReason::from_wire(1), None);
        assert_eq!(RejectReason::from_wire(u32::MAX), None);
        assert_eq!(
            RejectReason::NOT_FOUND.to_string(),
            "not_found (1404, 2404 on the wire)"
        );
    }

    #[test]
    fn an_unnamed_code_keeps_its_number() {
        let reason = RejectReason::from_wire(3077).unwrap();
        assert_eq!(
            (reason.code(), reason.wire(), reason.as_str()),
            (2077, 3077, "other")
        );
        assert_eq!(RejectReason::new(u32::MAX), None);
    }
}
