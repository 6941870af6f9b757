//! The highest rate that a way carries: it rises until payloads are lost, then
//! the interval is halved.

use std::time::Duration;

use super::figures::Figures;
use super::profile::{Profile, Shape};
use super::report::Report;
use super::way::Way;
use super::{Bench, progress, tell};

/// What may be lost or sent again at most.
const DAMAGE_MAX: f64 = 0.001;
/// What the generator may fall behind: above it the search ends at the
/// generator's own limit.
const SKIPPED_MAX: f64 = 0.01;
/// How the rate rises.
const CLIMB: u64 = 2;
/// How often the interval is halved after that.
const HALVINGS: u32 = 2;
/// A rate is tried twice before it counts as too high.
const TRIES: u32 = 2;
const JUDGED: Duration = Duration::from_millis(600);
/// How long the delay is.
const DELAY_JUDGED: Duration = Duration::from_millis(900);
/// How often the delay is measured.
const DELAY_TURNS: u32 = 3;
/// Where a search gives up.
const RATE_MIN: u64 = 1_000_000;
const RATE_MAX: u64 = 20_000_000_000;

/// Where a search ended.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Maximum {
    /// Payload bits a second.
    pub(super) rate_bps: u64,
    /// Whether the generator, and not the way, was the limit.
    pub(super) generator_limited: bool,
    pub(super) figures: Figures,
}

/// Finds the maximum of every way, then the delay at half of the relay's.
pub(super) fn search(bench: &Bench, report: &mut Report) -> anyhow::Result<()> {
    for way in bench.ways(Profile::Max) {
        match find(bench, way)? {
            Some(maximum) => report.add_maximum(way, maximum),
            None => progress(&format!("{}: no rate was carried", way.name())),
        }
    }
    let Some(rate_bps) = report.maximum(Way::Relay).map(|found| found.rate_bps / 2) else {
        return Ok(());
    };
    let shape = Shape {
        rate_bps,
        ..Profile::Max.shape()
    };
    for way in [Way::Direct, Way::Floor, Way::Relay] {
        let turns: anyhow::Result<Vec<_>> = (0..DELAY_TURNS)
            .map(|round| {
                let figures = bench.turn(way, shape, DELAY_JUDGED)?;
                tell(Profile::Max, round, way, &figures);
                Ok(figures)
            })
            .collect();
        report.add(Profile::Max, way, Figures::median(&turns?));
    }
    Ok(())
}

/// `None` when not even a low rate was carried, or none could be offered: on a
/// machine that is busy with something else.
fn find(bench: &Bench, way: Way) -> anyhow::Result<Option<Maximum>> {
    let (mut good, mut bad) = (None, None);
    let mut rate_bps = Profile::Max.shape().rate_bps;
    let mut halvings = 0;
    while halvings <= HALVINGS && (RATE_MIN..RATE_MAX).contains(&rate_bps) {
        match attempt(bench, way, rate_bps)? {
            Attempt::Carried(figures) => good = Some((rate_bps, figures)),
            Attempt::Damaged => bad = Some(rate_bps),
            Attempt::NotOffered => return Ok(ended(good, true)),
        }
        rate_bps = match (good, bad) {
            (_, None) => rate_bps * CLIMB,
            (None, Some(bad)) => bad / 2,
            (Some((good, _)), Some(bad)) => {
                halvings += 1;
                u64::midpoint(good, bad)
            }
        };
    }
    Ok(ended(good, false))
}

enum Attempt {
    Carried(Figures),
    Damaged,
    NotOffered,
}

fn attempt(bench: &Bench, way: Way, rate_bps: u64) -> anyhow::Result<Attempt> {
    let shape = Shape {
        rate_bps,
        ..Profile::Max.shape()
    };
    for round in 0..TRIES {
        let figures = bench.turn(way, shape, JUDGED)?;
        tell(Profile::Max, round, way, &figures);
        if figures.skipped_ratio > SKIPPED_MAX {
            return Ok(Attempt::NotOffered);
        }
        if figures.damaged_ratio() <= DAMAGE_MAX {
            return Ok(Attempt::Carried(figures));
        }
    }
    Ok(Attempt::Damaged)
}

fn ended(good: Option<(u64, Figures)>, generator_limited: bool) -> Option<Maximum> {
    good.map(|(rate_bps, figures)| Maximum {
        rate_bps,
        generator_limited,
        figures,
    })
}
