//! What the dock shows at a moment, as its reader sees it: words with units.

use serde::{Deserialize, Serialize};

/// What the page showed from a moment on, until the next sight.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Sight {
    /// When it began to.
    pub at_ms: u64,
    /// Which page it was.
    pub page: Page,
    /// The connections, in order.
    pub cards: Vec<Card>,
}

/// Which page.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Page {
    /// The list of connections.
    Dock,
    /// The sign-in, or nothing yet.
    Other,
}

/// A connection.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Card {
    /// Its name.
    pub name: String,
    /// `provisioning`, `ready`, `live`, `grace` or `error`.
    pub state: String,
    /// Such as `3 links`.
    pub badge: Option<String>,
    /// Bitrate, RTT and loss, while it is live.
    pub figures: Vec<String>,
    /// When its newest point came, by the browser's clock.
    pub newest_at_ms: Option<f64>,
    /// Used and granted: `192 / 2000 ms`; latency first.
    pub meters: Vec<String>,
    /// A bar for each link.
    pub links: Vec<Bar>,
}

/// A link's bar.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Bar {
    /// Its label.
    pub name: String,
    /// Its bitrate.
    pub rate: String,
    /// Its part of the stream.
    pub share: String,
    /// RTT and loss, or for how long it is silent.
    pub figures: String,
    /// Whether it is faded.
    pub faded: bool,
}

impl Card {
    /// The bitrate of the whole stream, bits a second.
    #[must_use]
    pub fn bitrate_bps(&self) -> Option<f64> {
        self.figures.first().and_then(|text| bitrate_bps(text))
    }

    /// The round trip, milliseconds.
    #[must_use]
    pub fn rtt_ms(&self) -> Option<f64> {
        self.figures.get(1).and_then(|text| before(text, "ms"))
    }

    /// Packets that did not come at first, percent.
    #[must_use]
    pub fn loss_pct(&self) -> Option<f64> {
        self.figures.get(2).and_then(|text| percent(text))
    }

    /// The latency that was agreed with the sender, milliseconds.
    #[must_use]
    pub fn latency_ms(&self) -> Option<f64> {
        let (_, granted) = self.meters.first()?.split_once('/')?;
        before(granted, "ms")
    }

    /// The number in the badge.
    #[must_use]
    pub fn badge_links(&self) -> Option<usize> {
        self.badge.as_ref()?.split(' ').next()?.parse().ok()
    }

    /// The bars of links that are not faded.
    pub fn active(&self) -> impl Iterator<Item = &Bar> {
        self.links.iter().filter(|bar| !bar.faded)
    }

    /// What the shares of the bars that are not faded add up to, percent.
    #[must_use]
    pub fn share_sum_pct(&self) -> f64 {
        self.active().filter_map(Bar::share_pct).sum()
    }

    /// A link's bar.
    #[must_use]
    pub fn bar(&self, name: &str) -> Option<&Bar> {
        self.links.iter().find(|bar| bar.name == name)
    }

    /// The labels of the bars, in order.
    #[must_use]
    pub fn labels(&self) -> Vec<&str> {
        self.links.iter().map(|bar| bar.name.as_str()).collect()
    }
}

impl Bar {
    /// Its bitrate, bits a second.
    #[must_use]
    pub fn bitrate_bps(&self) -> Option<f64> {
        bitrate_bps(&self.rate)
    }

    /// Its share, percent.
    #[must_use]
    pub fn share_pct(&self) -> Option<f64> {
        percent(&self.share)
    }
}

/// `6.1 Mbit/s`.
fn bitrate_bps(text: &str) -> Option<f64> {
    before(text, "Mbit/s").map(|mbps| mbps * 1e6)
}

/// `0.2 %`; of `< 0.1 %` the most that it can be.
fn percent(text: &str) -> Option<f64> {
    before(text.trim_start_matches(['<', ' ']), "%")
}

/// The number before a unit; what is not known is a dash.
fn before(text: &str, unit: &str) -> Option<f64> {
    text.trim().strip_suffix(unit)?.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_read_as_numbers() {
        let card: Card = serde_json::from_value(serde_json::json!({
            "name": "phone", "state": "live", "badge": "2 links", "newest_at_ms": 1.5,
            "figures": ["6.1 Mbit/s", "48 ms", "< 0.1 %"], "meters": ["192 / 2000 ms", "4 / 60 ms"],
            "links": [
                {"name": "Cox", "rate": "4.0 Mbit/s", "share": "66 %", "figures": "48 ms", "faded": false},
                {"name": "Verizon", "rate": "2.1 Mbit/s", "share": "34 %", "figures": "", "faded": false},
                {"name": "T-Mobile", "rate": "0.0 Mbit/s", "share": "0 %", "figures": "", "faded": true},
            ],
        }))
        .unwrap();
        assert_eq!(card.bitrate_bps(), Some(6.1e6));
        assert_eq!(card.rtt_ms(), Some(48.0));
        assert_eq!(card.loss_pct(), Some(0.1));
        assert_eq!(card.latency_ms(), Some(2000.0));
        assert_eq!(card.badge_links(), Some(2));
        assert_eq!(card.share_sum_pct(), 100.0);
        assert_eq!(card.labels(), ["Cox", "Verizon", "T-Mobile"]);
    }

    #[test]
    fn a_dash_is_no_number() {
        assert_eq!(bitrate_bps("– Mbit/s"), None);
        assert_eq!(percent("– %"), None);
        assert_eq!(Card::default().latency_ms(), None);
    }
}
