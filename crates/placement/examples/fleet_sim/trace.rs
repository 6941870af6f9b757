//! Streams as they come: by the hour, by the day of the week, and in waves.

use crate::random::Random;

pub(crate) const REGIONS: [&str; 3] = ["us", "eu", "asia"];
/// Where the streamers are.
const REGION_SHARES: [f64; 3] = [0.55, 0.33, 0.12];
/// Local time less UTC, hours.
const REGION_HOURS: [f64; 3] = [-6.0, 1.0, 8.0];
/// Mbit/s, and how often.
const RATES: [(f64, f64); 5] = [
    (3.0, 0.15),
    (5.0, 0.25),
    (6.0, 0.35),
    (8.0, 0.17),
    (10.0, 0.08),
];
/// Players of a stream, and how often.
const PLAYERS: [(u32, f64); 3] = [(1, 0.85), (2, 0.12), (3, 0.03)];
const MEDIAN_MINUTES: f64 = 130.0;
const DURATION_SIGMA: f64 = 0.9;
/// A marathon: a day and a half.
const MINUTES_MAX: f64 = 36.0 * 60.0;
const DAY: u32 = 1440;

/// One stream.
#[derive(Clone)]
pub(crate) struct Stream {
    pub(crate) starts: u32,
    pub(crate) minutes: u32,
    pub(crate) region: usize,
    /// What it really sends with retransmissions, bits a second.
    pub(crate) bps: f64,
    pub(crate) players: u32,
    /// Its last mile, on top of the distance between regions, ms.
    pub(crate) last_mile_ms: f64,
}

/// How busy, and whether it grows.
#[derive(Clone, Copy)]
pub(crate) struct Level {
    /// Streams live on average, at the first day and at the last.
    pub(crate) live: (f64, f64),
    /// Waves in the whole time.
    pub(crate) events: u32,
}

/// A wave: a raid, a festival, a marathon for charity.
struct Event {
    starts: u32,
    ends: u32,
    factor: f64,
    /// None: everywhere.
    region: Option<usize>,
}

/// The first minute is a Sunday's midnight, UTC.
pub(crate) fn streams(level: Level, days: u32, random: &mut Random) -> Vec<Stream> {
    let events = events(level.events, days, random);
    let mean_minutes = MEDIAN_MINUTES * (DURATION_SIGMA * DURATION_SIGMA / 2.0).exp();
    let mut streams = Vec::new();
    let mut day_noise = [1.0; 3];
    for minute in 0..days * DAY {
        if minute % DAY == 0 {
            day_noise = [(); 3].map(|()| random.log_normal(1.0, 0.2));
        }
        let grown = f64::from(minute) / f64::from(days * DAY);
        let live = level.live.0 + (level.live.1 - level.live.0) * grown;
        for region in 0..REGIONS.len() {
            let wave = |event: &&Event| {
                (event.starts..event.ends).contains(&minute)
                    && event.region.is_none_or(|it| it == region)
            };
            // The largest counts: people cannot be at two festivals.
            let waves = events.iter().filter(wave).map(|it| it.factor);
            let waves = waves.fold(1.0, f64::max);
            let mean = live / mean_minutes * REGION_SHARES[region] * season(minute, region);
            for _ in 0..random.poisson(mean * day_noise[region] * waves) {
                streams.push(stream(minute, region, random));
            }
        }
    }
    streams
}

fn stream(starts: u32, region: usize, random: &mut Random) -> Stream {
    let rate = RATES[random.pick(&RATES.map(|it| it.1))].0 * 1e6;
    let minutes = random.log_normal(MEDIAN_MINUTES, DURATION_SIGMA);
    Stream {
        starts,
        minutes: minutes.clamp(1.0, MINUTES_MAX) as u32,
        region,
        bps: rate * random.between(1.01, 1.12),
        players: PLAYERS[random.pick(&PLAYERS.map(|it| it.1))].0,
        last_mile_ms: random.between(5.0, 40.0),
    }
}

/// The hour of the day and the day of the week; 1 on average.
fn season(minute: u32, region: usize) -> f64 {
    let local = f64::from(minute) / 60.0 + REGION_HOURS[region];
    // The most at nine in the evening, the least at nine in the morning.
    let diurnal = 1.0 + 0.75 * ((local - 21.0) / 24.0 * std::f64::consts::TAU).cos();
    let day = (local / 24.0).floor().rem_euclid(7.0);
    let is_weekend = !(1.0..6.0).contains(&day);
    diurnal * if is_weekend { 1.5 } else { 0.8 }
}

fn events(count: u32, days: u32, random: &mut Random) -> Vec<Event> {
    let event = |_| {
        let starts = (random.ratio() * f64::from(days * DAY)) as u32;
        Event {
            starts,
            ends: starts + (random.between(3.0, 10.0) * 60.0) as u32,
            factor: random.between(2.0, 4.0),
            region: [None, Some(0), Some(1), Some(2)][random.pick(&[0.4, 0.3, 0.2, 0.1])],
        }
    };
    (0..count).map(event).collect()
}
