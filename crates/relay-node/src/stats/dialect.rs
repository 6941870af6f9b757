//! The languages that people's tools speak. Each has its own encoder: they share
//! names, and mean different things by 0, by 1 and by what is left out.
//!
//! | | offline | keep the scene | figures |
//! |---|---|---|---|
//! | `open_irl` | no `publisher` | bitrate 1 | from 2 |
//! | `sls_legacy`, `irlhosting` | no such publisher | bitrate 0 | from 1 |
//! | `belabox` | bitrate 0 | bitrate 1 | from 2 |
//! | `web_socket` | `connected` false | bitrate 0 | from 1 |
//!
//! To add one: a file with its encoder, a golden file in `tests/fixtures/stats`, its
//! variant here and its path in `routes.rs`.

mod belabox;
mod irlhosting;
mod line;
mod links;
mod open_irl;
mod sls_legacy;
#[cfg(test)]
mod tests;
mod web_socket;

use model::UnixMillis;
use model::telemetry::{LinkSample, PublisherSample};
use serde::Serialize;

use super::board::Stream;

/// What a node's only stream behind a key is called where a dialect wants a name.
const NAME: &str = "live";
/// A sender repeats its claims each second; what is older says nothing of now.
const CLAIM_AGE_MS_MAX: u64 = 10_000;

/// A language.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Dialect {
    /// SRT Live Server as OpenIRL has it: `publisher`, with `peers` when bonded.
    OpenIrl,
    /// SRT Live Server as it was: `publishers`, libsrt's counters.
    SlsLegacy,
    /// BELABOX's cloud.
    Belabox,
    /// IRLHosting.
    Irlhosting,
    /// The links of a bonded publisher, as srtla's receiver shows them.
    Links,
    /// One line of text for chat bots.
    Line,
    /// What NOALBS is pushed each second.
    WebSocket,
}

impl Dialect {
    pub(super) const ALL: [Self; 7] = [
        Self::OpenIrl,
        Self::SlsLegacy,
        Self::Belabox,
        Self::Irlhosting,
        Self::Links,
        Self::Line,
        Self::WebSocket,
    ];

    pub(super) const fn as_str(self) -> &'static str {
        match self {
            Self::OpenIrl => "open_irl",
            Self::SlsLegacy => "sls_legacy",
            Self::Belabox => "belabox",
            Self::Irlhosting => "irlhosting",
            Self::Links => "links",
            Self::Line => "line",
            Self::WebSocket => "web_socket",
        }
    }

    pub(super) const fn content_type(self) -> &'static str {
        match self {
            Self::Line => "text/plain; charset=utf-8",
            _ => "application/json",
        }
    }

    /// A stream in this language; `None` has no publisher.
    pub(super) fn encode(self, stream: Option<&Stream>, observed_at: UnixMillis) -> String {
        let feed = Stream::feed(stream);
        match self {
            Self::OpenIrl => json(&open_irl::encode(feed)),
            Self::SlsLegacy => json(&sls_legacy::encode(feed)),
            Self::Belabox => json(&belabox::encode(feed)),
            Self::Irlhosting => json(&irlhosting::encode(feed, observed_at)),
            Self::Links => json(&links::encode(stream)),
            Self::Line => line::encode(feed),
            Self::WebSocket => json(&web_socket::encode(feed, observed_at)),
        }
    }
}

fn json(body: &impl Serialize) -> String {
    serde_json::to_string(body).expect("numbers and texts are always JSON")
}

/// Kilobits a second, at least `least`: smaller numbers mean something else.
fn kbps(bps: u64, least: u32) -> u32 {
    let kbps = bps.saturating_add(500) / 1000;
    u32::try_from(kbps).unwrap_or(u32::MAX).max(least)
}

fn mbps(bps: u64) -> f64 {
    bps as f64 / 1e6
}

/// Milliseconds with three decimals.
fn ms(us: u32) -> f64 {
    f64::from(us) / 1000.0
}

/// A link's round trip as its sender measures it; absent when it says nothing.
fn rtt_ms(link: &LinkSample) -> Option<u32> {
    let claim = link.sender.filter(|claim| claim.age_ms <= CLAIM_AGE_MS_MAX);
    claim.and_then(|claim| claim.rtt_ms)
}

const fn uptime_s(publisher: &PublisherSample) -> u64 {
    publisher.uptime_ms / 1000
}

/// A counter for readers that take 31 bits.
fn int32(counter: u64) -> i32 {
    i32::try_from(counter).unwrap_or(i32::MAX)
}
