//! What a lease says, in memory and on the wire.

use std::borrow::Cow;

use model::session::Role;
use model::settings::{Delivery, Encryption, Resume, Start};
use model::{NodeId, SessionId, StreamId, TenantId, UnixMillis};
use serde::{Deserialize, Serialize};

use crate::letters::Words;
use crate::short_id::{lengthen, shorten};

/// What a lease permits. A limit that is absent leaves the node's own in force.
///
/// The node it is for is not among the claims: it is an argument of
/// [`issue`](crate::issue()) and [`KeySet::verify`](crate::KeySet::verify).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Claims {
    /// The session it belongs to.
    pub session: SessionId,
    /// Who pays for the bytes.
    pub tenant: TenantId,
    /// The stream slot.
    pub stream: StreamId,
    /// What the holder may do.
    pub role: Role,
    /// Valid from this time on; whole seconds, rounded down when issued.
    pub not_before: UnixMillis,
    /// Valid before this time; whole seconds, rounded down when issued.
    pub expires_at: UnixMillis,
    /// The least SRT latency.
    pub latency_min_ms: Option<u32>,
    /// The most SRT latency.
    pub latency_max_ms: Option<u32>,
    /// The most bits a second.
    pub rate_bps_max: Option<u64>,
    /// The most bytes over the session's life.
    pub bytes_max: Option<u64>,
    /// The most players at one time.
    pub players_max: Option<u32>,
    /// How long players stay connected without a publisher.
    pub hold_seconds: Option<u32>,
    /// What players see when the publisher returns.
    pub resume: Option<Resume>,
    /// When packets go on to players.
    pub delivery: Option<Delivery>,
    /// Where joining players start.
    pub start: Option<Start>,
    /// Whether callers encrypt. The passphrase is a secret and travels beside
    /// the lease, which is signed and not encrypted.
    pub encryption: Option<Encryption>,
}

impl Claims {
    pub(crate) fn to_json(&self) -> Vec<u8> {
        serde_json::to_vec(&WireClaims::from(self)).expect("plain fields always serialise")
    }

    pub(crate) fn from_json(json: &[u8]) -> Option<Self> {
        let wire: WireClaims = serde_json::from_slice(json).ok()?;
        wire.to_claims()
    }
}

/// Identifiers are spelt as `short_id` says.
#[derive(Serialize, Deserialize)]
struct WireClaims {
    s: String,
    t: String,
    m: String,
    r: WireRole,
    /// Begins, in seconds since the epoch.
    f: i64,
    /// Lasts, in seconds: fewer digits than the second of its end.
    d: i64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    l: Option<u32>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    x: Option<u32>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    b: Option<u64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    y: Option<u64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    p: Option<u32>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    h: Option<u32>,
    /// The settings that are words.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    w: Option<String>,
}

#[derive(Serialize, Deserialize)]
enum WireRole {
    #[serde(rename = "w")]
    Publish,
    #[serde(rename = "r")]
    Play,
}

impl From<&Claims> for WireClaims {
    fn from(claims: &Claims) -> Self {
        let words = Words {
            resume: claims.resume,
            delivery: claims.delivery,
            start: claims.start,
            encryption: claims.encryption,
        };
        Self {
            s: shorten(claims.session.as_str(), SessionId::PREFIX),
            t: shorten(claims.tenant.as_str(), TenantId::PREFIX),
            m: shorten(claims.stream.as_str(), StreamId::PREFIX),
            r: match claims.role {
                Role::Publish => WireRole::Publish,
                Role::Play => WireRole::Play,
            },
            f: claims.not_before.as_secs(),
            d: claims
                .expires_at
                .as_secs()
                .saturating_sub(claims.not_before.as_secs()),
            l: claims.latency_min_ms,
            x: claims.latency_max_ms,
            b: claims.rate_bps_max,
            y: claims.bytes_max,
            p: claims.players_max,
            h: claims.hold_seconds,
            w: words.to_letters(),
        }
    }
}

impl WireClaims {
    fn to_claims(&self) -> Option<Claims> {
        let words = match &self.w {
            Some(letters) => Words::from_letters(letters)?,
            None => Words::default(),
        };
        Some(Claims {
            session: SessionId::parse(&lengthen(&self.s, SessionId::PREFIX)?).ok()?,
            tenant: TenantId::parse(&lengthen(&self.t, TenantId::PREFIX)?).ok()?,
            stream: StreamId::parse(&lengthen(&self.m, StreamId::PREFIX)?).ok()?,
            role: match self.r {
                WireRole::Publish => Role::Publish,
                WireRole::Play => Role::Play,
            },
            not_before: UnixMillis::from_secs(self.f),
            expires_at: UnixMillis::from_secs(self.f.saturating_add(self.d)),
            latency_min_ms: self.l,
            latency_max_ms: self.x,
            rate_bps_max: self.b,
            bytes_max: self.y,
            players_max: self.p,
            hold_seconds: self.h,
            resume: words.resume,
            delivery: words.delivery,
            start: words.start,
            encryption: words.encryption,
        })
    }
}

/// What a verifier must know before it can check a signature.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct WireFooter<'a> {
    kid: &'a str,
    n: Cow<'a, str>,
}

/// The footer: which key signed, and for which node.
pub(crate) fn footer_json(kid: &str, node: &NodeId) -> Vec<u8> {
    let footer = WireFooter {
        kid,
        n: shorten(node.as_str(), NodeId::PREFIX).into(),
    };
    serde_json::to_vec(&footer).expect("plain fields always serialise")
}

pub(crate) fn parse_footer(json: &[u8]) -> Option<(&str, NodeId)> {
    let footer: WireFooter<'_> = serde_json::from_slice(json).ok()?;
    let node = NodeId::parse(&lengthen(&footer.n, NodeId::PREFIX)?).ok()?;
    Some((footer.kid, node))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What was issued before streams had settings.
    const OLD: &str =
        r#"{"s":"1","t":"2","m":"3","r":"w","f":1800000000,"d":60,"l":1,"x":2,"b":3,"y":4,"p":5}"#;

    fn with(extra: &str) -> Option<Claims> {
        let json = OLD.replace('}', &format!(",{extra}}}"));
        Claims::from_json(json.as_bytes())
    }

    #[test]
    fn old_claims_are_read_and_set_nothing_new() {
        let claims = Claims::from_json(OLD.as_bytes()).unwrap();
        assert_eq!(claims.players_max, Some(5));
        assert_eq!(claims.hold_seconds, None);
        assert_eq!(claims.resume, None);
        assert_eq!(claims.delivery, None);
        assert_eq!(claims.start, None);
        assert_eq!(claims.encryption, None);
        assert_eq!(claims.to_json(), OLD.as_bytes());
    }

    #[test]
    fn the_settings_are_read() {
        let claims = with(r#""h":90,"w":"cbkr""#).unwrap();
        assert_eq!(claims.hold_seconds, Some(90));
        assert_eq!(claims.resume, Some(Resume::Cut));
        assert_eq!(claims.delivery, Some(Delivery::Buffered));
        assert_eq!(claims.start, Some(Start::Keyframe));
        assert_eq!(claims.encryption, Some(Encryption::Required));
    }

    #[test]
    fn a_value_that_is_not_known_refuses_the_whole_lease() {
        for extra in [
            r#""w":"xbkr""#,
            r#""w":"cbk""#,
            r#""w":"""#,
            r#""w":1"#,
            r#""h":-1"#,
            r#""h":4294967296"#,
        ] {
            assert_eq!(with(extra), None, "{extra}");
        }
    }

    #[test]
    fn a_claim_that_is_not_known_is_passed_over() {
        assert_eq!(with(r#""z":"x""#), Claims::from_json(OLD.as_bytes()));
    }
}
