//! One second of one link, as viewers get it.

use std::net::SocketAddr;
use std::sync::Arc;

use model::telemetry::{LinkClaim, LinkSample, LinkTally, LinkType};
use serde::{Serialize, Serializer};

/// A sender repeats its claims each second; what is older says nothing of now.
const CLAIM_AGE_MAX_MS: u64 = 10_000;

/// One second of one link. Figures are as coarse as they are shown, so that a
/// history of them is small.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Link {
    pub(crate) identity: Arc<Identity>,
    pub(crate) figures: Figures,
    pub(crate) sender: Option<Claim>,
}

/// What a link keeps as long as it lives, unless its sender moves.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Identity {
    pub(crate) number: u64,
    pub(crate) addr: SocketAddr,
    pub(crate) asn_org: Option<Box<str>>,
    pub(crate) asn: Option<u32>,
    pub(crate) link_type: LinkType,
}

/// What was counted and measured of a link.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Figures {
    pub(crate) bytes: u64,
    pub(crate) packets: u64,
    pub(crate) duplicates: u64,
    pub(crate) late: u64,
    pub(crate) retransmitted: u64,
    pub(crate) lost: u64,
    pub(crate) bitrate_kbps: u64,
    pub(crate) share_permille: u32,
    pub(crate) bitrate_10s_kbps: u64,
    pub(crate) share_10s_permille: u32,
    /// Of ten seconds, hundredths of a percent; absent when nothing was sent.
    pub(crate) loss_10s: Option<u32>,
    /// Tenths of a millisecond, as the next.
    pub(crate) jitter: u32,
    pub(crate) delay: Option<u32>,
    pub(crate) silent_ms: u64,
    pub(crate) uptime_s: u64,
}

/// What the sender says about its link.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Claim {
    pub(crate) rtt_ms: Option<u32>,
    pub(crate) window_packets: u32,
    pub(crate) in_flight_packets: u32,
    pub(crate) naks: u32,
    pub(crate) bitrate_kbps: u32,
}

impl Link {
    /// Makes it from a sample; an identity that is among those of `before` is shared.
    pub(crate) fn new(sample: &LinkSample, before: &[Self]) -> Self {
        let identity = Identity::of(sample);
        let mut known = before.iter().map(|link| &link.identity);
        let known = known.find(|known| ***known == identity);
        let sender = sample.sender.as_ref();
        Self {
            identity: known.map_or_else(|| Arc::new(identity), Clone::clone),
            figures: Figures::of(sample),
            sender: sender
                .filter(|claim| claim.age_ms <= CLAIM_AGE_MAX_MS)
                .map(Claim::of),
        }
    }
}

impl Identity {
    fn of(sample: &LinkSample) -> Self {
        Self {
            number: sample.number,
            addr: sample.address,
            asn_org: sample.carrier.as_deref().map(Into::into),
            asn: sample.asn,
            link_type: sample.link_type,
        }
    }
}

impl Figures {
    fn of(sample: &LinkSample) -> Self {
        let (total, second) = (&sample.total, &sample.last_second);
        let ten = &sample.last_ten_seconds;
        Self {
            bytes: total.bytes,
            packets: total.packets,
            duplicates: total.duplicate,
            late: total.late,
            retransmitted: total.retransmitted,
            lost: total.lost,
            bitrate_kbps: kbps(second.bitrate_bps),
            share_permille: second.share_permille.min(1000),
            bitrate_10s_kbps: kbps(ten.bitrate_bps),
            share_10s_permille: ten.share_permille.min(1000),
            loss_10s: loss(&ten.tally),
            jitter: sample.jitter_us.div_ceil(100),
            delay: sample.relative_delay_us.map(|delay| delay / 100),
            silent_ms: sample.silent_ms,
            uptime_s: sample.uptime_ms / 1000,
        }
    }
}

impl Claim {
    fn of(claim: &LinkClaim) -> Self {
        let packets = |count: i32| u32::try_from(count).unwrap_or(0);
        Self {
            rtt_ms: claim.rtt_ms,
            window_packets: packets(claim.window / 1000),
            in_flight_packets: packets(claim.in_flight),
            naks: claim.naks_total,
            bitrate_kbps: claim.bytes_per_second / 125,
        }
    }
}

/// Packets lost of those that were sent, as far as anybody can say: those that came
/// once, twice or late, and the lost ones.
fn loss(tally: &LinkTally) -> Option<u32> {
    let came = [tally.unique, tally.duplicate, tally.late];
    let sent = came.into_iter().fold(tally.lost, u64::saturating_add);
    let hundredths = (u128::from(tally.lost) * 10_000).checked_div(sent.into())?;
    u32::try_from(hundredths).ok()
}

const fn kbps(bps: u64) -> u64 {
    bps.saturating_add(500) / 1000
}

/// A link's JSON: the names are a contract, see docs/metrics/live.md.
#[derive(Serialize)]
struct View<'a> {
    number: u64,
    addr: SocketAddr,
    asn_org: Option<&'a str>,
    asn: Option<u32>,
    link_type: LinkType,
    bitrate_bps: u64,
    share_pct: f64,
    bitrate_10s_bps: u64,
    share_10s_pct: f64,
    loss_pct: Option<f64>,
    rtt_ms: Option<u32>,
    jitter_ms: f64,
    delay_ms: Option<f64>,
    last_ms_ago: u64,
    uptime_s: u64,
    bytes: u64,
    pkts: u64,
    duplicates: u64,
    late: u64,
    retransmitted: u64,
    lost: u64,
    sender: Option<ClaimView>,
}

#[derive(Serialize)]
struct ClaimView {
    window_pkts: u32,
    in_flight_pkts: u32,
    naks: u32,
    bitrate_bps: u64,
}

impl Serialize for Link {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let (identity, figures) = (&*self.identity, &self.figures);
        let view = View {
            number: identity.number,
            addr: identity.addr,
            asn_org: identity.asn_org.as_deref(),
            asn: identity.asn,
            link_type: identity.link_type,
            bitrate_bps: figures.bitrate_kbps.saturating_mul(1000),
            share_pct: f64::from(figures.share_permille) / 10.0,
            bitrate_10s_bps: figures.bitrate_10s_kbps.saturating_mul(1000),
            share_10s_pct: f64::from(figures.share_10s_permille) / 10.0,
            loss_pct: figures.loss_10s.map(|loss| f64::from(loss) / 100.0),
            rtt_ms: self.sender.and_then(|claim| claim.rtt_ms),
            jitter_ms: f64::from(figures.jitter) / 10.0,
            delay_ms: figures.delay.map(|delay| f64::from(delay) / 10.0),
            last_ms_ago: figures.silent_ms,
            uptime_s: figures.uptime_s,
            bytes: figures.bytes,
            pkts: figures.packets,
            duplicates: figures.duplicates,
            late: figures.late,
            retransmitted: figures.retransmitted,
            lost: figures.lost,
            sender: self.sender.map(ClaimView::from),
        };
        view.serialize(serializer)
    }
}

impl From<Claim> for ClaimView {
    fn from(claim: Claim) -> Self {
        Self {
            window_pkts: claim.window_packets,
            in_flight_pkts: claim.in_flight_packets,
            naks: claim.naks,
            bitrate_bps: u64::from(claim.bitrate_kbps) * 1000,
        }
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use model::telemetry::LinkWindow;
    use serde_json::json;

    use super::*;

    pub(crate) fn sample(number: u64) -> LinkSample {
        let tally = LinkTally {
            packets: 900,
            bytes: 1_200_000,
            unique: 880,
            duplicate: 10,
            late: 10,
            retransmitted: 7,
            lost: 100,
        };
        LinkSample {
            number,
            address: "203.0.113.7:40912".parse().unwrap(),
            carrier: Some("Example Mobile".to_owned()),
            asn: Some(64_500),
            link_type: LinkType::Cellular,
            uptime_ms: 61_900,
            silent_ms: 12,
            total: tally,
            last_second: LinkWindow {
                tally: LinkTally::default(),
                time_ms: 1000,
                bitrate_bps: 2_100_499,
                share_permille: 342,
            },
            last_ten_seconds: LinkWindow {
                tally,
                time_ms: 10_000,
                bitrate_bps: 960_000,
                share_permille: 333,
            },
            jitter_us: 3_120,
            relative_delay_us: Some(12_450),
            sender: Some(LinkClaim {
                age_ms: 400,
                rtt_ms: Some(48),
                window: 20_999,
                in_flight: 8,
                naks_total: 3,
                bytes_per_second: 262_500,
            }),
        }
    }

    #[test]
    fn a_link_in_json() {
        let link = Link::new(&sample(3), &[]);
        let expected = json!({
            "number": 3, "addr": "203.0.113.7:40912",
            "asn_org": "Example Mobile", "asn": 64_500, "link_type": "cellular",
            "bitrate_bps": 2_100_000, "share_pct": 34.2,
            "bitrate_10s_bps": 960_000, "share_10s_pct": 33.3,
            "loss_pct": 10.0, "rtt_ms": 48, "jitter_ms": 3.2, "delay_ms": 12.4,
            "last_ms_ago": 12, "uptime_s": 61,
            "bytes": 1_200_000, "pkts": 900, "duplicates": 10, "late": 10,
            "retransmitted": 7, "lost": 100,
            "sender": {
                "window_pkts": 20, "in_flight_pkts": 8, "naks": 3, "bitrate_bps": 2_100_000,
            },
        });
        assert_eq!(serde_json::to_value(&link).unwrap(), expected);
    }

    #[test]
    fn what_nobody_knows_is_null() {
        let mut unknown = sample(1);
        unknown.carrier = None;
        unknown.asn = None;
        unknown.link_type = LinkType::Unknown;
        unknown.relative_delay_us = None;
        unknown.last_ten_seconds = LinkWindow::default();
        unknown.sender.as_mut().unwrap().age_ms = CLAIM_AGE_MAX_MS + 1;
        let link = serde_json::to_value(Link::new(&unknown, &[])).unwrap();
        for field in ["asn_org", "asn", "loss_pct", "rtt_ms", "delay_ms", "sender"] {
            assert!(link[field].is_null(), "{field}: {}", link[field]);
        }
        assert_eq!(link["link_type"], "unknown");
    }

    #[test]
    fn absurd_claims_and_counts_stay_numbers() {
        let mut absurd = sample(1);
        absurd.last_second.share_permille = u32::MAX;
        absurd.last_second.bitrate_bps = u64::MAX;
        absurd.last_ten_seconds.tally.lost = u64::MAX;
        absurd.last_ten_seconds.tally.unique = u64::MAX;
        let claim = absurd.sender.as_mut().unwrap();
        (claim.window, claim.in_flight) = (i32::MIN, i32::MIN);
        let link = serde_json::to_value(Link::new(&absurd, &[])).unwrap();
        assert_eq!(link["share_pct"], 100.0);
        assert_eq!(link["loss_pct"], 100.0);
        assert_eq!(link["sender"]["window_pkts"], 0);
        assert_eq!(link["sender"]["in_flight_pkts"], 0);
    }

    #[test]
    fn an_identity_is_shared_until_it_changes() {
        let first = Link::new(&sample(1), &[]);
        let same = Link::new(&sample(1), std::slice::from_ref(&first));
        assert!(Arc::ptr_eq(&first.identity, &same.identity));
        let mut moved = sample(1);
        moved.address = "198.51.100.9:40912".parse().unwrap();
        let moved = Link::new(&moved, &[first]);
        assert_eq!(moved.identity.addr.ip().to_string(), "198.51.100.9");
    }
}
