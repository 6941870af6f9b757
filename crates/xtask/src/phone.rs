//! A phone that is not there: three modems on made-up carriers, bonded, one of which
//! has a bad time every minute.
//!
//! ```text
//! ffmpeg ──SRT──▶ Phone ─┬─ 127.0.1.1 "T-Mobile" ─┐
//!                        ├─ 127.0.2.1 "Verizon"  ─┼─SRTLA──▶ relay-node
//!                        └─ 127.0.3.1 "Cox"      ─┘
//! ```
//!
//! The names come from a database of the testkit, which says whose the addresses of this
//! machine would be. No network is involved, and none of those companies.

use std::io::Write as _;
use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use anyhow::Context;
use e2e::wait;
use tempfile::NamedTempFile;
use testkit::asn_database::{self, Dialect};
use testkit::linksim::Impairment;
use testkit::srtla_sender::udp::UdpSender;
use testkit::srtla_sender::{KeepAlives, Uplink};

const SEED: u64 = 7;
const PATIENCE: Duration = Duration::from_secs(10);
/// The modem that has bad times.
const WANDERER: usize = 1;

/// How the wanderer is, and for how many seconds; then it begins anew.
const MOODS: [(Mood, u64); 4] = [
    (Mood::Well, 20),
    (Mood::Weak, 15),
    (Mood::Dark, 13),
    (Mood::Well, 12),
];

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Mood {
    Well,
    Weak,
    Dark,
}

/// The database of made-up carriers, in a file that goes with it.
pub(crate) struct Carriers(NamedTempFile);

impl Carriers {
    pub(crate) fn write() -> anyhow::Result<Self> {
        let mut file = tempfile::Builder::new().suffix(".mmdb").tempfile()?;
        let database = asn_database::write(Dialect::GeoLite2Asn, &asn_database::carriers());
        file.write_all(&database)
            .context("the made-up carriers' database")?;
        Ok(Self(file))
    }

    pub(crate) fn path(&self) -> &Path {
        self.0.path()
    }
}

/// The phone; dropping it ends it.
pub(crate) struct Phone {
    sender: UdpSender,
    mood: Mood,
}

impl Phone {
    /// Bonds its modems towards a node and waits until all are registered.
    pub(crate) fn start(node: SocketAddr) -> anyhow::Result<Self> {
        let sender = UdpSender::start(node, modems(), KeepAlives::Extended, SEED)?;
        wait::until("the phone's links are registered", PATIENCE, || {
            let links = sender.links();
            links.iter().all(|link| link.is_live).then_some(())
        })?;
        Ok(Self {
            sender,
            mood: Mood::Well,
        })
    }

    /// Where its encoder sends to, as an SRT URL.
    pub(crate) fn url(&self, stream_id: &str, latency: Duration) -> String {
        let (address, latency_us) = (self.sender.address(), latency.as_micros());
        format!(
            "srt://{address}?mode=caller&transtype=live&latency={latency_us}&streamid={stream_id}"
        )
    }

    /// Lets the wanderer go on; says so when something changed.
    pub(crate) fn go_on(&mut self, elapsed: Duration) -> Option<String> {
        let mood = mood_at(elapsed);
        if mood == self.mood {
            return None;
        }
        self.mood = mood;
        let name = self.sender.uplinks().swap_remove(WANDERER).name;
        Some(match mood {
            Mood::Well => {
                self.set(modems().swap_remove(WANDERER));
                format!("{name} is well again: its bar is back within 2 s")
            }
            Mood::Weak => {
                self.set(weak(&name));
                format!("{name} gets weak: slow and lossy, the others take over")
            }
            Mood::Dark => {
                self.sender.black_out(WANDERER);
                format!("{name} is dark: its bar fades after 3 s and goes after 10 s")
            }
        })
    }

    fn set(&self, modem: Uplink) {
        self.sender.set_impairment(WANDERER, modem.up, modem.down);
    }
}

/// Modems as one meets them: a good one, a fair one, a slow one.
fn modems() -> Vec<Uplink> {
    let way = |delay_ms, jitter_ms, loss, rate_bps| {
        Impairment::delayed(Duration::from_millis(delay_ms))
            .with_jitter(Duration::from_millis(jitter_ms))
            .with_loss(loss)
            .with_rate(rate_bps)
    };
    vec![
        Uplink::new("T-Mobile", [127, 0, 1, 1], way(24, 4, 0.001, 5_000_000)),
        Uplink::new("Verizon", [127, 0, 2, 1], way(36, 8, 0.003, 4_000_000)),
        Uplink::new("Cox", [127, 0, 3, 1], way(62, 16, 0.006, 3_000_000)),
    ]
}

fn weak(name: &str) -> Uplink {
    let way = Impairment::delayed(Duration::from_millis(190))
        .with_jitter(Duration::from_millis(40))
        .with_loss(0.08)
        .with_rate(1_000_000);
    Uplink::new(name, [127, 0, 2, 1], way)
}

fn mood_at(elapsed: Duration) -> Mood {
    let round: u64 = MOODS.iter().map(|(_, seconds)| seconds).sum();
    let mut left = elapsed.as_secs() % round;
    for (mood, seconds) in MOODS {
        if left < seconds {
            return mood;
        }
        left -= seconds;
    }
    Mood::Well
}

/// What the demo's readers should know before they look.
pub(crate) const STORY: &str = "\
A phone streams over three modems. The carriers are made up: every packet stays on this machine.
  T-Mobile  127.0.1.1   48 ms round trip, up to 5 Mbit/s
  Verizon   127.0.2.1   72 ms round trip, up to 4 Mbit/s; every minute it gets weak, goes dark, and returns
  Cox       127.0.3.1  124 ms round trip, up to 3 Mbit/s";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_modems_are_on_the_carriers_they_are_named_after() {
        for modem in modems() {
            let mut carriers = asn_database::carriers().into_iter();
            let carrier = carriers.find(|network| match (network.address, modem.source) {
                (std::net::IpAddr::V4(network), std::net::IpAddr::V4(modem)) => {
                    network.octets()[..3] == modem.octets()[..3]
                }
                _ => false,
            });
            assert_eq!(carrier.unwrap().organisation, modem.name);
            assert!(STORY.contains(&modem.source.to_string()), "{modem:?}");
        }
    }

    #[test]
    fn the_wanderer_goes_through_every_mood_each_minute() {
        let at = |seconds| mood_at(Duration::from_secs(seconds));
        assert_eq!(at(0), Mood::Well);
        assert_eq!(at(20), Mood::Weak);
        assert_eq!(at(35), Mood::Dark);
        assert_eq!(at(48), Mood::Well);
        assert_eq!((at(60), at(80)), (Mood::Well, Mood::Weak));
    }

    #[test]
    fn a_dark_time_is_long_enough_to_be_seen() {
        let dark = MOODS.iter().find(|(mood, _)| *mood == Mood::Dark);
        assert!(dark.unwrap().1 > 10, "a bar goes after ten seconds");
    }
}
