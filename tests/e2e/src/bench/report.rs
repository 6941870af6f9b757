//! What was measured, as a table and as JSON, and the bars that it is held
//! against.

use std::collections::BTreeMap;
use std::fmt::{self, Display, Formatter};

use serde_json::{Map, Value, json};

use super::figures::{Figures, rounded};
use super::maximum::Maximum;
use super::profile::Profile;
use super::way::Way;

/// Medians of every profile and way.
#[derive(Debug, Clone)]
pub struct Report {
    profiles: BTreeMap<Profile, BTreeMap<Way, Figures>>,
    maxima: BTreeMap<Way, Maximum>,
    allocations_per_packet: Option<f64>,
    machine: Value,
}

/// A figure that the relay is judged by.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Bar {
    /// Its name in JSON.
    pub name: &'static str,
    /// What was measured.
    pub value: f64,
    /// What it may be at most, if that is promised.
    pub limit: Option<f64>,
}

/// What the relay may cost, in parts of the floor.
const CPU_VS_FLOOR_MAX: f64 = 1.6;
/// The same, in parts of SRT Live Server.
const CPU_VS_PEER_MAX: f64 = 0.25;
/// What a stream over three links may cost, in parts of the same over one.
const BONDED_CPU_VS_PLAIN_MAX: f64 = 1.25;
/// The same, in parts of srtla_rec and SRT Live Server.
const BONDED_CPU_VS_PEER_MAX: f64 = 0.25;
const ADDED_DELAY_P99_MS_MAX: f64 = 1.0;
/// Half a megabyte a stream.
const IDLE_500_RSS_MB_MAX: f64 = 250.0;
/// What one stream may take of a core.
const SINGLE_CORE_RATIO_MAX: f64 = 0.02;

/// A figure of a turn.
type Read = fn(&Figures) -> f64;

/// What a way adds to the direct way's delay, and of which figure.
const DELAYS: [(&str, Read); 3] = [
    ("added_p50_us", |figures| figures.delay_p50_us),
    ("added_p99_us", |figures| figures.delay_p99_us),
    ("added_p999_us", |figures| figures.delay_p999_us),
];

impl Report {
    /// An empty report of a run on `machine`.
    #[must_use]
    pub const fn new(machine: Value) -> Self {
        Self {
            profiles: BTreeMap::new(),
            maxima: BTreeMap::new(),
            allocations_per_packet: None,
            machine,
        }
    }

    pub(super) fn add(&mut self, profile: Profile, way: Way, figures: Figures) {
        self.profiles
            .entry(profile)
            .or_default()
            .insert(way, figures);
    }

    pub(super) fn add_maximum(&mut self, way: Way, maximum: Maximum) {
        self.maxima.insert(way, maximum);
    }

    pub(super) const fn set_allocations(&mut self, per_packet: f64) {
        self.allocations_per_packet = Some(per_packet);
    }

    pub(super) fn maximum(&self, way: Way) -> Option<Maximum> {
        self.maxima.get(&way).copied()
    }

    fn figures(&self, profile: Profile, way: Way) -> Option<Figures> {
        self.profiles.get(&profile)?.get(&way).copied()
    }

    /// One way's CPU time for a packet, in parts of another's.
    fn cpu_against(&self, profile: Profile, way: Way, other: Way) -> Option<f64> {
        let way = self.figures(profile, way)?.us_per_packet;
        let other = self.figures(profile, other)?.us_per_packet;
        (other > 0.0 && way > 0.0).then_some(way / other)
    }

    /// The relay's delay over that without a relay, as `read` takes it.
    fn added_us(&self, profile: Profile, way: Way, read: Read) -> Option<f64> {
        let direct = read(&self.figures(profile, Way::Direct)?);
        Some((read(&self.figures(profile, way)?) - direct).max(0.0))
    }

    /// Everything that was measured and has a bar.
    #[must_use]
    pub fn bars(&self) -> Vec<Bar> {
        let of = |profile, read: fn(Figures) -> f64| self.figures(profile, Way::Relay).map(read);
        let bars = [
            (
                "cpu_vs_floor",
                self.cpu_against(Profile::Fifty, Way::Relay, Way::Floor),
                Some(CPU_VS_FLOOR_MAX),
            ),
            (
                "cpu_vs_floor_fast",
                self.cpu_against(Profile::Fast, Way::Relay, Way::Floor),
                Some(CPU_VS_FLOOR_MAX),
            ),
            (
                "cpu_vs_peer",
                self.cpu_against(Profile::Fifty, Way::Relay, Way::Peer),
                Some(CPU_VS_PEER_MAX),
            ),
            (
                "bonded_cpu_vs_plain",
                self.cpu_against(Profile::Bonded, Way::Bonded, Way::Relay),
                Some(BONDED_CPU_VS_PLAIN_MAX),
            ),
            (
                "bonded_cpu_vs_peer",
                self.cpu_against(Profile::Bonded, Way::Bonded, Way::BondedPeer),
                Some(BONDED_CPU_VS_PEER_MAX),
            ),
            (
                "added_delay_p99_ms",
                self.added_us(Profile::Max, Way::Relay, |figures| figures.delay_p99_us)
                    .map(|us| us / 1000.0),
                Some(ADDED_DELAY_P99_MS_MAX),
            ),
            ("allocs_per_packet", self.allocations_per_packet, Some(0.0)),
            (
                "idle500_rss_mb",
                of(Profile::Idle, |figures| figures.rss_mb),
                Some(IDLE_500_RSS_MB_MAX),
            ),
            (
                "single_core_ratio",
                of(Profile::Single, |figures| figures.core_ratio),
                Some(SINGLE_CORE_RATIO_MAX),
            ),
            (
                "sessions500_loss_ratio",
                of(Profile::Fivehundred, |figures| figures.loss_ratio),
                None,
            ),
        ];
        let bar = |(name, value, limit): (_, Option<f64>, _)| {
            let value = rounded(value?);
            Some(Bar { name, value, limit })
        };
        bars.into_iter().filter_map(bar).collect()
    }

    /// Whether every bar that has a limit is within it.
    #[must_use]
    pub fn meets_bars(&self) -> bool {
        self.bars()
            .iter()
            .all(|bar| bar.limit.is_none_or(|limit| bar.value <= limit))
    }

    /// The report for programs.
    #[must_use]
    pub fn to_json(&self) -> Value {
        let bars = self.bars();
        let values = bars
            .iter()
            .map(|bar| (bar.name.to_owned(), json!(bar.value)));
        let limits = bars
            .iter()
            .filter_map(|bar| Some((bar.name.to_owned(), json!(bar.limit?))));
        let profiles = self
            .profiles
            .keys()
            .map(|profile| (profile.name().to_owned(), self.profile_json(*profile)));
        json!({
            "bars": values.collect::<Map<_, _>>(),
            "limits": limits.collect::<Map<_, _>>(),
            "profiles": profiles.collect::<Map<_, _>>(),
            "machine": self.machine,
        })
    }

    fn profile_json(&self, profile: Profile) -> Value {
        let mut ways = Map::new();
        for (way, figures) in self.profiles.get(&profile).into_iter().flatten() {
            let mut json = figures.to_json();
            for (name, read) in DELAYS {
                if let Some(us) = self.added_us(profile, *way, read) {
                    json[name] = json!(rounded(us));
                }
            }
            if let Some(maximum) = self.maximum(*way).filter(|_| profile == Profile::Max) {
                json["maximum"] = maximum.to_json();
            }
            ways.insert(way.name().to_owned(), json);
        }
        Value::Object(ways)
    }
}

impl Maximum {
    fn to_json(self) -> Value {
        json!({
            "mbps": rounded(self.rate_bps as f64 / 1e6),
            "generator_limited": self.generator_limited,
            "figures": self.figures.to_json(),
        })
    }
}

impl Display for Report {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "{:<12} {:<11} {:>8} {:>10} {:>8} {:>9} {:>7} {:>9} {:>8} {:>8} {:>9} {:>7} {:>8}",
            "profile",
            "way",
            "Mbit/s",
            "CPU s/GB",
            "µs/pkt",
            "pkt/s·core",
            "core %",
            "loss %",
            "p50 µs",
            "p99 µs",
            "p99.9 µs",
            "RSS MB",
            "switches",
        )?;
        for (profile, ways) in &self.profiles {
            for (way, figures) in ways {
                write_line(f, *profile, *way, figures)?;
            }
        }
        for (way, maximum) in &self.maxima {
            let mark = if maximum.generator_limited { ">= " } else { "" };
            writeln!(
                f,
                "maximum of {:<11} {mark}{:.0} Mbit/s, {:.0} packets/s",
                way.name(),
                maximum.rate_bps as f64 / 1e6,
                maximum.figures.packets_per_second
            )?;
        }
        for bar in self.bars() {
            let limit = bar.limit.map(|limit| format!("at most {limit}"));
            writeln!(
                f,
                "{:<24} {:>10.4}  {}",
                bar.name,
                bar.value,
                limit.unwrap_or_default()
            )?;
        }
        Ok(())
    }
}

fn write_line(f: &mut Formatter<'_>, profile: Profile, way: Way, figures: &Figures) -> fmt::Result {
    writeln!(
        f,
        "{:<12} {:<11} {:>8.1} {:>10.2} {:>8.2} {:>10.0} {:>7.2} {:>9.4} {:>8.0} {:>8.0} {:>9.0} {:>7.1} {:>8.3}",
        profile.name(),
        way.name(),
        figures.mbps,
        figures.cpu_seconds_per_gb,
        figures.us_per_packet,
        figures.packets_per_core_second,
        figures.core_ratio * 100.0,
        figures.loss_ratio * 100.0,
        figures.delay_p50_us,
        figures.delay_p99_us,
        figures.delay_p999_us,
        figures.rss_mb,
        figures.switches_per_packet,
    )
}
