//! What viewers see of a session: the same names on every wire that shows it.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use serde::{Serialize, Serializer};

use crate::UnixMillis;
use crate::telemetry::{LinkClaim, LinkSample, LinkTally, LinkType};

/// A sender repeats its claims each second; what is older says nothing of now.
const CLAIM_AGE_MAX_MS: u64 = 10_000;
/// A link silent for longer is gone, whatever the last report said.
const SILENT_MAX: Duration = Duration::from_secs(10);

/// The links of a session as a node last reported them.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct NewestLinks {
    /// The node's clock when it saw them; absent when nobody reports the session.
    pub observed_at: Option<UnixMillis>,
    /// How long ago the report came.
    pub age: Duration,
    /// The links.
    pub links: Vec<LinkSample>,
}

/// One second of one link. Figures are as coarse as they are shown, so that a
/// history of them is small.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Link {
    /// Which link it is.
    pub identity: Arc<Identity>,
    /// What the node counts and measures.
    pub figures: Figures,
    /// What the sender says; absent when it says nothing, or not any more.
    pub sender: Option<Claim>,
}

/// What a link keeps as long as it lives, unless its sender moves.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Identity {
    /// The same as long as the link lives.
    pub number: u64,
    /// Where it comes from.
    pub addr: SocketAddr,
    /// Its carrier.
    pub asn_org: Option<Box<str>>,
    /// The number of the carrier's network.
    pub asn: Option<u32>,
    /// What it most likely is.
    pub link_type: LinkType,
}

/// What was counted and measured of a link.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Figures {
    /// SRT datagrams' bytes since it registered; so are all counts up to `lost`.
    pub bytes: u64,
    /// SRT datagrams.
    pub packets: u64,
    /// Data packets that had come before.
    pub duplicates: u64,
    /// Data packets that came after they were given up.
    pub late: u64,
    /// Data packets that the sender marked as sent again.
    pub retransmitted: u64,
    /// Packets reported missing that were most likely sent here.
    pub lost: u64,
    /// Over the last second.
    pub bitrate_kbps: u64,
    /// Of the bytes of all links in the last second.
    pub share_permille: u32,
    /// Over the last ten seconds.
    pub bitrate_10s_kbps: u64,
    /// Of the bytes of all links in the last ten seconds.
    pub share_10s_permille: u32,
    /// Of what was sent in the last ten seconds; absent when nothing was.
    pub loss_10s_hundredths_pct: Option<u32>,
    /// Interarrival jitter.
    pub jitter_tenths_ms: u32,
    /// How much longer packets travel than on the fastest link.
    pub delay_tenths_ms: Option<u32>,
    /// Since anything came.
    pub silent_ms: u64,
    /// Since it registered.
    pub uptime_s: u64,
}

/// What the sender says about its link.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Claim {
    /// Its smoothed round trip, when it has one.
    pub rtt_ms: Option<u32>,
    /// Its congestion window.
    pub window_packets: u32,
    /// Packets sent and not acknowledged.
    pub in_flight_packets: u32,
    /// Packets that were reported lost.
    pub naks: u32,
    /// What it sends.
    pub bitrate_kbps: u32,
}

impl NewestLinks {
    /// The links as they are now: silence has gone on since the report, and who was
    /// silent for ten seconds is gone.
    #[must_use]
    pub fn now(&self) -> Vec<Link> {
        let age_ms = u64::try_from(self.age.as_millis()).unwrap_or(u64::MAX);
        let links = self.links.iter().map(|sample| {
            let mut link = Link::new(sample, &[]);
            link.figures.silent_ms = link.figures.silent_ms.saturating_add(age_ms);
            link
        });
        let silent_max_ms = SILENT_MAX.as_millis() as u64;
        links
            .filter(|link| link.figures.silent_ms <= silent_max_ms)
            .collect()
    }
}

impl Link {
    /// Makes it from a sample; an identity that is among those of `before` is shared.
    #[must_use]
    pub fn new(sample: &LinkSample, before: &[Self]) -> Self {
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
            loss_10s_hundredths_pct: loss(&ten.tally),
            jitter_tenths_ms: sample.jitter_us.div_ceil(100),
            delay_tenths_ms: sample.relative_delay_us.map(|delay| delay / 100),
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
            loss_pct: figures
                .loss_10s_hundredths_pct
                .map(|loss| f64::from(loss) / 100.0),
            rtt_ms: self.sender.and_then(|claim| claim.rtt_ms),
            jitter_ms: f64::from(figures.jitter_tenths_ms) / 10.0,
            delay_ms: figures.delay_tenths_ms.map(|delay| f64::from(delay) / 10.0),
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
mod tests {
    use serde_json::json;

    use super::*;
    use crate::telemetry::LinkWindow;

    fn sample(number: u64) -> LinkSample {
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
    fn silence_goes_on_after_the_report_until_the_link_is_gone() {
        let mut newest = NewestLinks {
            observed_at: Some(UnixMillis(1)),
            age: Duration::from_millis(9_988),
            links: vec![sample(1)],
        };
        let links = newest.now();
        assert_eq!(links[0].figures.silent_ms, 10_000);
        newest.age += Duration::from_millis(1);
        assert_eq!(newest.now(), []);
        newest.age = Duration::MAX;
        assert_eq!(newest.now(), []);
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
