//! What a lease says, in memory and on the wire.

use model::session::Role;
use model::{NodeId, SessionId, StreamId, TenantId, UnixMillis};
use serde::{Deserialize, Serialize};

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
}

impl Claims {
    pub(crate) fn to_json(&self) -> Vec<u8> {
        serde_json::to_vec(&WireClaims::from(self)).expect("plain fields always serialise")
    }

    pub(crate) fn from_json(json: &[u8]) -> Option<Self> {
        let wire: WireClaims<'_> = serde_json::from_slice(json).ok()?;
        wire.to_claims()
    }
}

/// Identifiers travel without the prefix that their field implies.
#[derive(Serialize, Deserialize)]
struct WireClaims<'a> {
    s: &'a str,
    t: &'a str,
    m: &'a str,
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
}

#[derive(Serialize, Deserialize)]
enum WireRole {
    #[serde(rename = "w")]
    Publish,
    #[serde(rename = "r")]
    Play,
}

impl<'a> From<&'a Claims> for WireClaims<'a> {
    fn from(claims: &'a Claims) -> Self {
        Self {
            s: suffix(claims.session.as_str(), SessionId::PREFIX),
            t: suffix(claims.tenant.as_str(), TenantId::PREFIX),
            m: suffix(claims.stream.as_str(), StreamId::PREFIX),
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
        }
    }
}

impl WireClaims<'_> {
    fn to_claims(&self) -> Option<Claims> {
        Some(Claims {
            session: SessionId::parse(&prefixed(SessionId::PREFIX, self.s)).ok()?,
            tenant: TenantId::parse(&prefixed(TenantId::PREFIX, self.t)).ok()?,
            stream: StreamId::parse(&prefixed(StreamId::PREFIX, self.m)).ok()?,
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
        })
    }
}

/// What a verifier must know before it can check a signature.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct WireFooter<'a> {
    kid: &'a str,
    n: &'a str,
}

/// The footer: which key signed, and for which node.
pub(crate) fn footer_json(kid: &str, node: &NodeId) -> Vec<u8> {
    let footer = WireFooter {
        kid,
        n: suffix(node.as_str(), NodeId::PREFIX),
    };
    serde_json::to_vec(&footer).expect("plain fields always serialise")
}

pub(crate) fn parse_footer(json: &[u8]) -> Option<(&str, NodeId)> {
    let footer: WireFooter<'_> = serde_json::from_slice(json).ok()?;
    let node = NodeId::parse(&prefixed(NodeId::PREFIX, footer.n)).ok()?;
    Some((footer.kid, node))
}

fn suffix<'a>(id: &'a str, prefix: &str) -> &'a str {
    id.strip_prefix(prefix)
        .expect("an id begins with its prefix")
}

fn prefixed(prefix: &str, suffix: &str) -> String {
    [prefix, suffix].concat()
}
