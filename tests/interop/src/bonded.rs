//! Publishers over several links: an encoder, a sender that bonds, three modems.
//!
//! ```text
//! encoder ──▶ sender ──┬─ 127.0.1.1 ─ 20 ms ─┐
//!                      ├─ 127.0.2.1 ─ 45 ms ─┼──▶ node ──▶ srt-live-transmit
//!                      └─ 127.0.3.1 ─ 80 ms ─┘
//! ```

use std::fmt;
use std::time::Duration;

use e2e::bonder::{Bonded, Bonder};
use serde_json::{Value, json};
use testkit::linksim::Impairment;
use testkit::linksim::udp::Tallies;
use testkit::srtla_sender::Uplink;

use crate::cell::Program;
use crate::completeness::Completeness;

/// What the callers ask for.
pub const LATENCY: Duration = Duration::from_secs(2);
/// One way over each link.
const DELAYS_MS: [u64; 3] = [20, 45, 80];
/// Two links carry the stream, one does not.
const LINK_BPS: u64 = 2_000_000;
const JITTER: Duration = Duration::from_millis(10);
const LOSS: f64 = 0.02;
/// Which link goes, when after the player is there, and for how long.
const LOST: usize = 1;
const BEFORE: Duration = Duration::from_millis(1500);
const OUTAGE: Duration = Duration::from_secs(3);
/// A link that carried less than this, in packets, was not used.
const USED_MIN: u64 = 50;

/// What the links do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Way {
    /// They delay.
    Steady,
    /// They delay by more or less, and lose 2 %.
    Lossy,
    /// One of them goes and returns.
    Outage,
}

impl Way {
    const ALL: [Self; 3] = [Self::Steady, Self::Lossy, Self::Outage];

    const fn as_str(self) -> &'static str {
        match self {
            Self::Steady => "steady",
            Self::Lossy => "lossy",
            Self::Outage => "outage",
        }
    }

    /// The modems.
    #[must_use]
    pub fn uplinks(self) -> Vec<Uplink> {
        Uplink::numbered(DELAYS_MS.map(|delay| {
            let way = Impairment::delayed(Duration::from_millis(delay)).with_rate(LINK_BPS);
            match self {
                Self::Lossy => way.with_jitter(JITTER).with_loss(LOSS),
                Self::Steady | Self::Outage => way,
            }
        }))
    }
}

/// One run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BondedCell {
    /// What bonds.
    pub bonder: Bonder,
    /// What it is given.
    pub publisher: Program,
    /// What the links do.
    pub way: Way,
}

/// Such as `bonded own moblin outage`.
impl fmt::Display for BondedCell {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (publisher, way) = (self.publisher.as_str(), self.way.as_str());
        write!(f, "bonded {} {publisher} {way}", self.bonder)
    }
}

/// Every run with our own sender and with these programs.
#[must_use]
pub fn all(programs: &[std::path::PathBuf]) -> Vec<BondedCell> {
    let mut cells = Vec::new();
    for bonder in Bonder::with(programs) {
        for publisher in [Program::SrtLiveTransmit, Program::Obs, Program::Moblin] {
            cells.extend(Way::ALL.map(|way| BondedCell {
                bonder: bonder.clone(),
                publisher,
                way,
            }));
        }
    }
    cells
}

/// What became of a stream and of its links.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Carried {
    /// What came out.
    pub completeness: Completeness,
    /// Of each link: packets towards the node.
    pub links: Vec<LinkUse>,
}

/// Packets that a sender gave to a link.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LinkUse {
    /// That came through.
    pub delivered: u64,
    /// That fell into the link's outage.
    pub blacked_out: u64,
    /// That came through after its outage; all of them without one.
    pub delivered_after: u64,
}

impl Carried {
    /// Whether all came out, and all links were used: one that was gone, too, before
    /// it went and after it was back.
    #[must_use]
    pub fn passes(&self) -> bool {
        self.completeness.is_complete() && self.links.iter().all(LinkUse::is_used)
    }
}

impl LinkUse {
    const fn is_used(&self) -> bool {
        self.delivered >= USED_MIN && self.delivered_after > 0
    }
}

/// Lets the link go and return, if this is the way; gives what every link had delivered
/// by then.
pub(crate) fn disturb(way: Way, bonded: &Bonded) -> Vec<Tallies> {
    let tallies = || {
        (0..DELAYS_MS.len())
            .map(|link| bonded.tallies(link))
            .collect()
    };
    if way != Way::Outage {
        return vec![Tallies::default(); DELAYS_MS.len()];
    }
    std::thread::sleep(BEFORE);
    bonded.black_out(LOST);
    std::thread::sleep(OUTAGE);
    let before = tallies();
    bonded.restore(LOST);
    before
}

/// What links were used for, given what they had delivered before.
pub(crate) fn link_uses(bonded: &Bonded, before: &[Tallies]) -> Vec<LinkUse> {
    let link_use = |(link, before): (usize, &Tallies)| {
        let up = bonded.tallies(link).up;
        LinkUse {
            delivered: up.delivered,
            blacked_out: up.blacked_out,
            delivered_after: up.delivered - before.up.delivered,
        }
    };
    before.iter().enumerate().map(link_use).collect()
}

/// What came of one cell.
#[derive(Debug, Clone)]
pub struct BondedLine {
    /// Which.
    pub cell: BondedCell,
    /// Or why nothing did.
    pub carried: Result<Carried, String>,
    /// How often it was run.
    pub runs: u32,
}

impl BondedLine {
    /// Whether everything came out over all links.
    #[must_use]
    pub fn passes(&self) -> bool {
        self.carried.as_ref().is_ok_and(Carried::passes)
    }

    /// For programs.
    #[must_use]
    pub fn to_json(&self) -> Value {
        let mut json = json!({
            "name": self.cell.to_string(),
            "sender": self.cell.bonder.to_string(),
            "publisher": self.cell.publisher.as_str(),
            "links": self.cell.way.as_str(),
            "runs": self.runs,
            "passes": self.passes(),
        });
        match &self.carried {
            Ok(carried) => {
                json["missing"] = json!(carried.completeness.missing);
                json["judged"] = json!(carried.completeness.judged);
                json["delivered"] = json!(
                    carried
                        .links
                        .iter()
                        .map(|it| it.delivered)
                        .collect::<Vec<_>>()
                );
                json["blacked_out"] = json!(
                    carried
                        .links
                        .iter()
                        .map(|it| it.blacked_out)
                        .collect::<Vec<_>>()
                );
            }
            Err(error) => json["error"] = json!(error),
        }
        json
    }
}

impl fmt::Display for BondedLine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let verdict = if self.passes() { "" } else { ": FAILED" };
        match &self.carried {
            Ok(Carried {
                completeness,
                links,
            }) => {
                let delivered: Vec<_> = links.iter().map(|it| it.delivered.to_string()).collect();
                let delivered = delivered.join(" + ");
                write!(
                    f,
                    "{}: {completeness}; {delivered} over the links{verdict}",
                    self.cell
                )
            }
            Err(error) => write!(f, "{}: {error}{verdict}", self.cell),
        }
    }
}
