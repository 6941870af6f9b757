//! Why datagrams are dropped, callers refused and connections ended: one word
//! each, the same in metrics, logs and events.

use model::reasons;
use srt::RejectReason;

reasons! {
    /// Why a datagram had no further effect.
    pub enum DropReason {
        /// Neither an SRT packet nor an SRTLA one.
        Malformed = "malformed",
        /// To the listener, but not a handshake.
        NotHandshake = "not_handshake",
        /// A handshake that no caller of ours makes.
        BadHandshake = "bad_handshake",
        /// A conclusion whose cookie we did not hand out, or too long ago.
        BadCookie = "bad_cookie",
        /// More handshakes than its source, or the node, takes in a second.
        HandshakeRate = "handshake_rate",
        /// A handshake or a registration from an address that is banned.
        Banned = "banned",
        /// A handshake of a connection that has ended; late or replayed.
        StaleHandshake = "stale_handshake",
        /// To a socket id that nobody has.
        UnknownSocket = "unknown_socket",
        /// To a connection, but not from its peer.
        WrongPeer = "wrong_peer",
        /// Data from a player.
        UnexpectedData = "unexpected_data",
        /// A control packet that this connection has no use for.
        UnexpectedControl = "unexpected_control",
        /// Data that came before, or was given up before it came.
        Duplicate = "duplicate",
        /// Data beyond the rate that the publisher's lease allows.
        RateLimit = "rate_limit",
        /// Data beyond the bytes that the publisher's lease allows.
        BytesUsed = "bytes_used",
        /// Data too far from its stream's place, or too large.
        OutOfWindow = "out_of_window",
        /// Encrypted data; this connection agreed on no key.
        Encrypted = "encrypted",
        /// Clear data; this connection agreed on a key.
        Unencrypted = "unencrypted",
        /// Encrypted data whose key has not come.
        NoKey = "no_key",
        /// New keys that are malformed, or under another passphrase.
        BadKeyMaterial = "bad_key_material",
        /// Asks again for what waits for its keys.
        KeyWorkPending = "key_work_pending",
        /// Its keys would wait for too many others.
        KeyWorkFull = "key_work_full",
        /// A socket index that the relay was not given.
        UnknownPort = "unknown_port",
        /// More was queued than may be between two drains.
        TransmitFull = "transmit_full",
        /// Too much waits for the relay that it belongs to.
        HandoverFull = "handover_full",
        /// Handed from relay to relay; none of them has it.
        HandoverLoop = "handover_loop",
        /// No SRTLA packet of a known type and a possible length.
        SrtlaMalformed = "srtla_malformed",
        /// A keepalive from an address that is no link's.
        SrtlaUnknownLink = "srtla_unknown_link",
        /// A handshake over a link that is not registered; its sender will notice.
        SrtlaUnregistered = "srtla_unregistered",
        /// Of SRTLA, but only receivers send it.
        SrtlaNotForReceivers = "srtla_not_for_receivers",
    }
}

reasons! {
    /// Why a caller with a proven address was refused.
    pub enum RefusalReason {
        /// No session here has this stream key, or no key signed this lease.
        UnknownKey = "unknown_key",
        /// The key does not allow this, or not on this port.
        WrongRole = "wrong_role",
        /// Nobody publishes this stream.
        NoPublisher = "no_publisher",
        /// The node is full.
        OverCapacity = "over_capacity",
        /// As many connections from this source as there may be.
        SourceFull = "source_full",
        /// More leases to verify than the node takes in a second.
        Busy = "busy",
        /// The session has used the bytes that its lease allows.
        BytesUsed = "bytes_used",
        /// The stream has as many players as it may have.
        SessionFull = "session_full",
        /// The node takes no new sessions.
        Draining = "draining",
        /// Another session publishes this stream.
        Conflict = "conflict",
        /// The lease ran out.
        LeaseExpired = "lease_expired",
        /// The lease is for later.
        LeaseNotYetValid = "lease_not_yet_valid",
        /// The lease is not one.
        MalformedLease = "malformed_lease",
        /// The lease was not signed by us, or was altered.
        BadSignature = "bad_signature",
        /// The lease is for another node.
        WrongNode = "wrong_node",
        /// The lease's session was revoked.
        Revoked = "revoked",
        /// No stream id, or one we cannot read.
        BadStreamId = "bad_stream_id",
        /// Asks only whether the node is there.
        Probe = "probe",
        /// The caller asks for more latency than the node allows.
        LatencyTooHigh = "latency_too_high",
        /// The caller encrypts where nobody does.
        EncryptionUnexpected = "encryption_unexpected",
        /// The caller does not encrypt where everybody must.
        EncryptionRequired = "encryption_required",
        /// The caller encrypts, and the node was given no passphrase.
        NoPassphrase = "no_passphrase",
        /// The caller has another passphrase.
        BadSecret = "bad_secret",
        /// The caller's keys come in a form that the node does not know.
        BadKeyMaterial = "bad_key_material",
        /// The caller encrypts with another cipher than AES-CTR.
        UnsupportedCipher = "unsupported_cipher",
        /// A mode of SRT that the node does not speak.
        Unsupported = "unsupported",
    }
}

impl RefusalReason {
    /// The code that the caller is told.
    pub(crate) const fn code(self) -> RejectReason {
        match self {
            Self::UnknownKey
            | Self::LeaseExpired
            | Self::LeaseNotYetValid
            | Self::MalformedLease
            | Self::BadSignature
            | Self::Revoked => RejectReason::UNAUTHORIZED,
            Self::WrongRole | Self::WrongNode | Self::BytesUsed => RejectReason::FORBIDDEN,
            Self::NoPublisher => RejectReason::NOT_FOUND,
            Self::OverCapacity | Self::SourceFull | Self::Busy | Self::SessionFull => {
                RejectReason::OVERLOAD
            }
            Self::Draining => RejectReason::DOWN,
            Self::Conflict => RejectReason::CONFLICT,
            Self::BadStreamId | Self::Probe | Self::Unsupported => RejectReason::BAD_REQUEST,
            Self::LatencyTooHigh => RejectReason::UNACCEPTABLE,
            Self::EncryptionUnexpected
            | Self::EncryptionRequired
            | Self::NoPassphrase
            | Self::BadKeyMaterial => RejectReason::UNSECURE,
            Self::BadSecret => RejectReason::BAD_SECRET,
            Self::UnsupportedCipher => RejectReason::CRYPTO,
        }
    }
}

reasons! {
    /// Why a connection ended.
    pub enum GoneReason {
        /// The peer closed it.
        Closed = "closed",
        /// The peer fell silent.
        TimedOut = "timed_out",
        /// The same stream is published from elsewhere now.
        TakenOver = "taken_over",
        /// The control plane took the session back.
        Revoked = "revoked",
        /// It comes from an address that is banned now.
        Banned = "banned",
        /// The lease ran out.
        LeaseExpired = "lease_expired",
        /// The publisher did not return in time.
        HoldExpired = "hold_expired",
        /// The session has used the bytes that its lease allows.
        BytesUsed = "bytes_used",
        /// The control plane took the remote out of the session.
        Withdrawn = "withdrawn",
        /// A pull's packets were far from any player's time: it went in a circle, or
        /// its clock was set.
        Stale = "stale",
        /// The node stops, and the next one will not know the connection.
        Restart = "restart",
    }
}
