//! What is published is played.

use std::ops::Range;
use std::time::Duration;

use testkit::linksim::{Impairment, Reorder};

use crate::caller::Spec;
use crate::leases::{live, play};
use crate::world::World;

pub(crate) fn delayed(ms: u64) -> Impairment {
    Impairment::delayed(Duration::from_millis(ms))
}

/// A publisher on `up`, then a player on `down`, and `seconds` of streaming.
pub(crate) fn stream(
    latency_ms: u16,
    up: &Impairment,
    down: &Impairment,
    seconds: u64,
) -> (World, usize, usize) {
    let mut world = World::with_session();
    let publisher = world.publisher(
        Spec {
            latency_ms,
            ..Spec::new(1, live(1))
        },
        0,
        up,
    );
    world.run_ms(1500);
    let player = world.player(Spec::new(2, play(1)), down);
    world.run(Duration::from_secs(seconds));
    world.published(publisher).is_running = false;
    world.run_ms(3000);
    (world, publisher, player)
}

/// Everything from the first played packet to the last published one was played.
pub(crate) fn assert_complete(world: &mut World, publisher: usize, player: usize) {
    let sent = world.published(publisher).sent;
    let numbers = world.played(player).numbers();
    let first = *numbers.first().expect("something was played");
    assert!(first < sent / 2, "joined at packet {first} of {sent}");
    let in_order = numbers.is_sorted_by(|before, after| before < after);
    assert!(in_order, "played out of order or twice");
    assert_eq!(missing(&numbers, first..sent), [], "never played");
}

/// The runs of `wanted` that ascending `numbers` leave out.
pub(crate) fn missing(numbers: &[u64], wanted: Range<u64>) -> Vec<Range<u64>> {
    let ends = numbers.iter().copied().chain([wanted.end]);
    let starts = std::iter::once(wanted.start).chain(numbers.iter().map(|number| number + 1));
    let runs = starts.zip(ends).map(|(start, end)| start..end);
    runs.filter(|run| !run.is_empty()).collect()
}

/// From hand-over to play, in milliseconds, of the played packet `place`.
pub(crate) fn end_to_end_ms(
    world: &mut World,
    publisher: usize,
    player: usize,
    place: usize,
) -> u64 {
    let played = world.played(player).played[place];
    let published_at = world.published(publisher).published_at[played.number as usize];
    played.at.duration_since(published_at).as_millis() as u64
}

#[test]
fn the_path_and_one_latency_is_all_the_delay_there_is() {
    let (mut world, publisher, player) = stream(400, &delayed(20), &delayed(30), 3);
    for place in [0, 500, 1500] {
        let delay = end_to_end_ms(&mut world, publisher, player, place);
        assert!((508..=511).contains(&delay), "{delay} ms for 20 + 460 + 30");
    }
}

#[test]
fn a_clean_path_delivers_everything_once() {
    let (mut world, publisher, player) = stream(400, &delayed(5), &delayed(5), 5);
    assert_complete(&mut world, publisher, player);
    assert_eq!(world.played(player).latency(), Duration::from_millis(460));
    assert_eq!(world.played(player).retransmitted, 0);
    assert_eq!(world.played(player).duplicates, 0);
    assert_eq!(world.published(publisher).naks, 0);
    assert_eq!(world.relay.counters().drops_total(), 0);
}

#[test]
fn loss_on_both_legs_is_repaired() {
    let lossy = delayed(20).with_loss(0.02);
    let (mut world, publisher, player) = stream(400, &lossy, &lossy, 20);
    assert_complete(&mut world, publisher, player);
    assert!(world.published(publisher).naks > 50);
    assert!(world.played(player).retransmitted > 50);
}

#[test]
fn reordering_is_forwarded_in_arrival_order_and_played_in_order() {
    let reorder = Some(Reorder {
        probability: 0.05,
        delay: Duration::from_millis(10),
    });
    let up = Impairment {
        reorder,
        ..delayed(5)
    };
    let (mut world, publisher, player) = stream(200, &up, &delayed(5), 10);
    assert_complete(&mut world, publisher, player);
}
