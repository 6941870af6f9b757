//! One stream and many players.

use std::time::Duration;

use streamhaul_relay_core::{Event, GoneReason};

use crate::caller::Spec;
use crate::forwarding::{assert_complete, delayed};
use crate::leases::{live, play};
use crate::world::World;

const PLAYERS: u8 = 50;

#[test]
fn fifty_players_of_which_one_is_lossy_and_one_is_dead() {
    let mut world = World::with_session();
    let spec = Spec {
        latency_ms: 400,
        ..Spec::new(1, live(1))
    };
    let publisher = world.publisher(spec, 0, &delayed(10).with_loss(0.01));
    world.published(publisher).interval = Duration::from_millis(5);
    world.run_ms(500);
    let players: Vec<_> = (0..PLAYERS)
        .map(|number| {
            let path = if number == 7 {
                delayed(20).with_loss(0.10)
            } else {
                delayed(5)
            };
            world.player(Spec::new(10 + number, play(1)), &path)
        })
        .collect();
    let (lossy, dead) = (players[7], players[13]);
    world.run_ms(2000);
    world.played(dead).is_dead = true;
    world.run_ms(15_000);
    world.published(publisher).is_running = false;
    world.run_ms(2000);
    for player in players.into_iter().filter(|player| *player != dead) {
        assert_complete(&mut world, publisher, player);
        let again = world.relay.samples(world.now)[0].players.len();
        assert_eq!(again, usize::from(PLAYERS) - 1);
        if player != lossy {
            assert_eq!(world.played(player).duplicates, 0);
        }
    }
    assert!(world.played(lossy).retransmitted > 200);
    let timed_out = |event: &&Event| {
        matches!(
            event,
            Event::PlayerGone {
                reason: GoneReason::TimedOut,
                ..
            }
        )
    };
    assert_eq!(world.events.iter().filter(timed_out).count(), 1);
}
