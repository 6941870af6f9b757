//! What the demo shows each second, and what it comes to.

use std::collections::BTreeMap;

use anyhow::ensure;
use serde::Serialize;
use serde_json::Value;

use crate::cli::Up;

/// What is shown each second.
#[derive(Debug, Serialize)]
pub(super) struct Figures {
    pub(super) seconds: u64,
    /// What the node receives and sends.
    pub(super) ingress_bitrate_bps: u64,
    pub(super) egress_bitrate_bps: u64,
    /// Between the publisher and the node, as SRT measures it over all links.
    pub(super) rtt_ms: f64,
    /// Packets that the node gave up, of all.
    pub(super) loss_ratio: f64,
    /// Gaps when they were seen: for loss, or because a slower link had the packet.
    pub(super) packets_lost_total: u64,
    pub(super) packets_recovered_total: u64,
    /// Frames that the player decoded.
    pub(super) frames_total: u64,
    /// What the node adds to a datagram's way.
    pub(super) added_delay_us: Option<f64>,
    pub(super) added_delay_p99_us: Option<f64>,
    /// The phone's.
    pub(super) links: Vec<Link>,
}

/// One link of the phone.
#[derive(Debug, Serialize)]
pub(super) struct Link {
    number: u64,
    pub(super) carrier: String,
    bitrate_bps: u64,
    share_pct: f64,
    rtt_ms: Option<u64>,
    loss_pct: Option<f64>,
    /// Since it registered.
    bytes: u64,
}

impl Link {
    /// The links of a point of the live view.
    pub(super) fn all(point: &Value) -> Vec<Self> {
        let links = point["links"].as_array();
        links.into_iter().flatten().map(Self::of).collect()
    }

    fn of(link: &Value) -> Self {
        let whole = |field: &str| link[field].as_u64();
        let number = whole("number").unwrap_or(0);
        let carrier = link["asn_org"].as_str();
        Self {
            number,
            carrier: carrier.map_or_else(|| format!("link {number}"), str::to_owned),
            bitrate_bps: whole("bitrate_bps").unwrap_or(0),
            share_pct: link["share_pct"].as_f64().unwrap_or(0.0),
            rtt_ms: whole("rtt_ms"),
            loss_pct: link["loss_pct"].as_f64(),
            bytes: whole("bytes").unwrap_or(0),
        }
    }
}

/// What the demo comes to.
#[derive(Debug, Default, Serialize)]
pub(super) struct Summary {
    /// Seconds with figures.
    pub(super) seconds: u64,
    ingress_bitrate_bps_max: u64,
    egress_bitrate_bps_max: u64,
    last: Option<Figures>,
    /// What each carrier brought of all bytes, in percent.
    shares_pct: BTreeMap<String, f64>,
    /// By carrier and number: a link that returns counts anew under another number.
    #[serde(skip)]
    bytes: BTreeMap<(String, u64), u64>,
}

impl Summary {
    pub(super) fn add(&mut self, figures: Figures) {
        self.seconds += 1;
        self.ingress_bitrate_bps_max = self
            .ingress_bitrate_bps_max
            .max(figures.ingress_bitrate_bps);
        self.egress_bitrate_bps_max = self.egress_bitrate_bps_max.max(figures.egress_bitrate_bps);
        for link in &figures.links {
            self.bytes
                .insert((link.carrier.clone(), link.number), link.bytes);
        }
        self.shares_pct = shares(&self.bytes);
        self.last = Some(figures);
    }

    /// Whether a picture went in over every link, came out and was decoded.
    fn has_moved(&self) -> bool {
        let decoded = self.last.as_ref().is_some_and(|last| last.frames_total > 0);
        let bonded = self.shares_pct.len() > 1 && self.shares_pct.values().all(|pct| *pct > 0.0);
        decoded && bonded && self.ingress_bitrate_bps_max > 0 && self.egress_bitrate_bps_max > 0
    }

    /// Prints the last lines; a demo that was to run for a time fails when its
    /// figures stood still.
    pub(super) fn conclude(&self, options: &Up) -> anyhow::Result<()> {
        if options.json {
            println!("{}", serde_json::json!({ "summary": self }));
        } else if let Some(last) = &self.last {
            println!("after {} s: {}", self.seconds, last.line().trim_start());
            println!("of all bytes: {}", self.line_of_shares());
        }
        ensure!(
            options.seconds.is_none() || self.has_moved(),
            "no picture came through: {self:?}"
        );
        Ok(())
    }

    fn line_of_shares(&self) -> String {
        let shares = self.shares_pct.iter();
        let shares: Vec<_> = shares
            .map(|(carrier, pct)| format!("{carrier} {pct:.1} %"))
            .collect();
        shares.join("   ")
    }
}

fn shares(bytes: &BTreeMap<(String, u64), u64>) -> BTreeMap<String, f64> {
    let all = bytes.values().sum::<u64>().max(1);
    let mut shares = BTreeMap::new();
    for ((carrier, _), bytes) in bytes {
        *shares.entry(carrier.clone()).or_default() += *bytes as f64 * 100.0 / all as f64;
    }
    shares
}

impl Figures {
    pub(super) fn print(&self, json: bool) -> anyhow::Result<()> {
        if json {
            println!("{}", serde_json::to_string(self)?);
        } else {
            println!("{}", self.line());
        }
        Ok(())
    }

    fn line(&self) -> String {
        let mbps = |bps: u64| bps as f64 / 1e6;
        let delay = match (self.added_delay_us, self.added_delay_p99_us) {
            (Some(half), Some(most)) => format!("{half:.0} µs (p99 {most:.0} µs)"),
            _ => "…".into(),
        };
        let links = self.links.iter();
        let links: String = links
            .map(|link| format!("   {} {:.0} %", link.carrier, link.share_pct))
            .collect();
        format!(
            "{:>5} s   in {:>5.2} Mbit/s   out {:>5.2} Mbit/s   RTT {:>5.2} ms   loss {:>5.2} % \
             ({} of {} gaps filled)   frames {:>6}   added delay {delay}{links}",
            self.seconds,
            mbps(self.ingress_bitrate_bps),
            mbps(self.egress_bitrate_bps),
            self.rtt_ms,
            self.loss_ratio * 100.0,
            self.packets_recovered_total,
            self.packets_lost_total,
            self.frames_total,
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_picture_that_nobody_decodes_has_not_moved() {
        let mut summary = Summary::default();
        assert!(!summary.has_moved());
        summary.add(Figures {
            frames_total: 0,
            ..figures(&[(1, "T-Mobile", 300), (2, "Cox", 100)])
        });
        assert!(!summary.has_moved());
        summary.add(figures(&[(1, "T-Mobile", 300), (2, "Cox", 100)]));
        assert!(summary.has_moved());
        assert_eq!(summary.seconds, 2);
    }

    #[test]
    fn a_picture_over_one_link_alone_has_not_moved() {
        let mut summary = Summary::default();
        summary.add(figures(&[(1, "T-Mobile", 300)]));
        assert!(!summary.has_moved());
        summary.add(figures(&[(1, "T-Mobile", 300), (2, "Cox", 0)]));
        assert!(!summary.has_moved());
    }

    #[test]
    fn a_carriers_share_is_that_of_all_its_links() {
        let mut summary = Summary::default();
        summary.add(figures(&[(1, "T-Mobile", 300), (2, "Cox", 100)]));
        summary.add(figures(&[(1, "T-Mobile", 500), (9, "Cox", 400)]));
        let shares: Vec<_> = summary.shares_pct.into_iter().collect();
        assert_eq!(shares, [("Cox".into(), 50.0), ("T-Mobile".into(), 50.0)]);
    }

    #[test]
    fn the_line_has_every_figure() {
        let line = figures(&[(1, "T-Mobile", 300)]).line();
        for part in [
            "4.00 Mbit/s",
            "4.10 Mbit/s",
            "0.40 ms",
            "0.00 %",
            "2 of 2",
            "88",
            "32 µs (p99 95 µs)",
            "T-Mobile 40 %",
        ] {
            assert!(line.contains(part), "{part} in {line}");
        }
    }

    #[test]
    fn links_are_read_from_a_point() {
        let point = serde_json::json!({"links": [
            {"number": 3, "asn_org": null, "bitrate_bps": 1000, "share_pct": 60.5, "bytes": 7, "rtt_ms": null},
        ]});
        let link = Link::all(&point).remove(0);
        assert_eq!((link.carrier.as_str(), link.bytes), ("link 3", 7));
        assert!(Link::all(&serde_json::json!({})).is_empty());
    }

    fn figures(links: &[(u64, &str, u64)]) -> Figures {
        let link = |(number, carrier, bytes): &(u64, &str, u64)| Link {
            number: *number,
            carrier: (*carrier).to_owned(),
            bitrate_bps: 2_000_000,
            share_pct: 40.0,
            rtt_ms: Some(48),
            loss_pct: Some(0.0),
            bytes: *bytes,
        };
        Figures {
            seconds: 3,
            ingress_bitrate_bps: 4_000_000,
            egress_bitrate_bps: 4_100_000,
            rtt_ms: 0.4,
            loss_ratio: 0.0,
            packets_lost_total: 2,
            packets_recovered_total: 2,
            frames_total: 88,
            added_delay_us: Some(31.5),
            added_delay_p99_us: Some(95.0),
            links: links.iter().map(link).collect(),
        }
    }
}
