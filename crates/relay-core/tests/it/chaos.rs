//! Whole paths with everything wrong that a path can have, drawn by a seed:
//! what can arrive in time arrives, once, in the player's order.

use std::ops::Range;
use std::time::Duration;

use testkit::linksim::{Burst, Impairment, Reorder};
use testkit::random::Random;

use crate::caller::Spec;
use crate::leases::{live, play};
use crate::world::World;

const SEEDS: Range<u64> = 0..24;
/// A lost packet, and each report of it, has so many round trips to come again:
/// with 2 % lost each way, all of them fail once in 10^10 packets.
const ROUND_TRIPS: u32 = 10;
/// Until a round trip is measured, reports are repeated by a guess.
const GUESS: Duration = Duration::from_millis(300);
/// Losses behind the last packet that arrives are seen by nobody.
const UNSEEN_TAIL: Duration = Duration::from_millis(200);
const STREAM: Duration = Duration::from_secs(12);

/// One leg, its least sufficient latency, and the outage on it.
#[derive(Debug)]
struct Leg {
    path: Impairment,
    repair: Duration,
    /// From the leg's first packet.
    outage: Range<Duration>,
}

fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

fn leg(random: &mut Random) -> Leg {
    let delay = ms(1 + random.below(60));
    let jitter = ms(random.below(15));
    let reorder = random.chance(0.5).then(|| Reorder {
        probability: 0.05,
        delay: ms(1 + random.below(20)),
    });
    let burst = random.chance(0.5).then_some(Burst {
        enter: 0.002,
        leave: 0.2,
        loss: 0.8,
    });
    let held_back = reorder.map_or(Duration::ZERO, |reorder| reorder.delay);
    let repair = GUESS + (delay + jitter + held_back) * 2 * ROUND_TRIPS;
    let outage = outage(random);
    let path = Impairment {
        delay,
        jitter,
        reorder,
        loss: random.ratio() * 0.02,
        burst,
        blackouts: vec![outage.clone()],
        ..Impairment::default()
    };
    Leg {
        path,
        repair,
        outage,
    }
}

/// None, a short one, or one that is longer than most latencies.
fn outage(random: &mut Random) -> Range<Duration> {
    let start = ms(5000 + random.below(2000));
    let length = match random.below(3) {
        0 => 0,
        1 => random.below(300),
        _ => 1000 + random.below(2500),
    };
    start..start + ms(length)
}

/// A clock and a sequence number near where they wrap, or anywhere.
fn spec(random: &mut Random, host: u8, stream_id: String, latency: Duration) -> Spec {
    let near_wrap = random.chance(0.5);
    let isn = random.bits() as u32;
    let clock_us = random.bits() >> 32;
    Spec {
        latency_ms: u16::try_from(latency.as_millis()).unwrap(),
        isn: if near_wrap {
            0x7fff_ffff - isn % 4000
        } else {
            isn >> 1
        },
        clock_us: if near_wrap {
            (1 << 32) - 1 - clock_us % 8_000_000
        } else {
            clock_us
        },
        clock_ppm: random.below(200) as i64 - 100,
        ..Spec::new(host, stream_id)
    }
}

#[test]
fn what_can_arrive_in_time_arrives_once_and_in_order() {
    for seed in SEEDS {
        // Shown only when something fails.
        println!("seed {seed}");
        check(seed);
    }
}

fn check(seed: u64) {
    let mut random = Random::new(seed);
    let (up, down) = (leg(&mut random), leg(&mut random));
    let latencies = [up.repair, up.repair + down.repair];
    let mut world = World::with_session();
    world.seed = random.bits() >> 1;
    let started = world.now;
    let publisher = world.publisher(spec(&mut random, 1, live(1), latencies[0]), 0, &up.path);
    world.run_ms(2000);
    let joined = world.now;
    let player = world.player(spec(&mut random, 2, play(1), latencies[1]), &down.path);
    world.run(STREAM);
    world.published(publisher).is_running = false;
    let ended = world.now;
    world.run(latencies[1] + ms(1000));

    let numbers = world.played(player).numbers();
    let is_ascending = numbers.is_sorted_by(|a, b| a < b);
    assert!(is_ascending, "a packet is played twice, or out of order");
    let first = *numbers.first().expect("something is played");
    let published = world.published(publisher).published_at.clone();
    assert!(
        published[first as usize] < joined + ms(2000),
        "the player joined late"
    );
    let arrives = |number: u64| {
        let at = published[number as usize];
        at + UNSEEN_TAIL < ended
            && survives(at - started, &up, latencies[0])
            && survives(
                at.saturating_duration_since(joined),
                &down,
                latencies[1] - latencies[0],
            )
    };
    let of = published.len() as u64;
    let due: Vec<u64> = (first..of).filter(|number| arrives(*number)).collect();
    assert!(
        due.len() as u64 > of / 4,
        "the outages leave little to judge"
    );
    let mut missing = due;
    missing.retain(|number| numbers.binary_search(number).is_err());
    assert!(
        missing.is_empty(),
        "{missing:?} of {of} over {up:#?}, {down:#?}"
    );
    assert!(
        world.played(player).retransmitted > 0,
        "nothing was repaired"
    );
    check_books(&mut world, player, &numbers, first);
}

/// Whether a packet has the time to be repaired before or after the outage.
fn survives(at: Duration, leg: &Leg, latency: Duration) -> bool {
    let is_early = at + leg.repair <= leg.outage.start;
    let is_late = at + latency >= leg.outage.end + leg.repair;
    leg.outage.is_empty() || is_early || is_late || at >= leg.outage.end
}

/// Everything between the first packet and the last was played or skipped.
fn check_books(world: &mut World, player: usize, numbers: &[u64], first: u64) {
    let last = *numbers.last().expect("something is played");
    let skipped = world.played(player).skipped;
    let sample = world.relay.samples(world.now).remove(0).publisher.unwrap();
    assert_eq!(
        sample.packets_lost_total,
        sample.packets_recovered_total + sample.packets_dropped_total
    );
    assert_eq!(numbers.len() as u64 + skipped, last - first + 1);
}
