//! Addresses that are answered no longer.

use std::net::SocketAddr;

use streamhaul_relay_core::{BannedAddresses, Command, DropReason, Event, GoneReason};

use crate::bond::link_addr;
use crate::bonding::{bonded, three_modems};
use crate::caller::{Spec, State};
use crate::forwarding::delayed;
use crate::leases::{live, play};
use crate::world::World;

fn ban(world: &mut World, addresses: &[SocketAddr]) {
    let prefixes = addresses.iter().map(|address| address.ip().into());
    world.command(Command::Ban(BannedAddresses::new(prefixes)));
}

fn gone(world: &World) -> Vec<GoneReason> {
    let reason = |event: &Event| match event {
        Event::PublisherGone { reason, .. } | Event::PlayerGone { reason, .. } => Some(*reason),
        _ => None,
    };
    world.events.iter().filter_map(reason).collect()
}

fn banned_datagrams(world: &World) -> u64 {
    world.relay.counters().drops(DropReason::Banned)
}

#[test]
fn a_banned_caller_is_not_answered_until_the_ban_ends() {
    let mut world = World::with_session();
    let stranger = Spec::new(1, live(1));
    let addressed = world.publisher(stranger, 0, &delayed(5));
    let address = world.ingress(addressed).peer;
    ban(&mut world, &[address]);
    let sent = world.relay.counters().egress_datagrams;
    world.run_ms(1000);
    let unanswered = State::Calling { cookie: None };
    assert_eq!(world.state(addressed), unanswered);
    assert!(banned_datagrams(&world) > 0);
    assert_eq!(world.relay.counters().egress_datagrams, sent);
    // Others come and go as ever.
    let other = world.player(Spec::new(2, play(1)), &delayed(5));
    ban(&mut world, &[]);
    world.run_ms(3000);
    assert!(matches!(world.state(addressed), State::Connected { .. }));
    assert_ne!(world.state(other), unanswered);
}

#[test]
fn what_is_connected_from_a_banned_address_is_cut_and_the_rest_goes_on() {
    let mut world = World::with_session();
    let publisher = world.publisher(Spec::new(1, live(1)), 0, &delayed(5));
    world.run_ms(500);
    let players = [2, 3].map(|host| world.player(Spec::new(host, play(1)), &delayed(5)));
    world.run_ms(1000);
    let address = world.ingress(players[0]).peer;
    ban(&mut world, &[address]);
    world.run_ms(500);
    assert_eq!(world.state(players[0]), State::Closed);
    assert!(matches!(world.state(players[1]), State::Connected { .. }));
    assert!(matches!(world.state(publisher), State::Connected { .. }));
    assert_eq!(gone(&world), [GoneReason::Banned]);

    let address = world.ingress(publisher).peer;
    ban(&mut world, &[address]);
    world.run_ms(500);
    assert_eq!(world.state(publisher), State::Closed);
    assert_eq!(gone(&world), [GoneReason::Banned; 2]);
}

#[test]
fn a_group_with_a_banned_link_is_cut_and_registers_no_more() {
    let (mut world, _, _) = bonded(&three_modems());
    assert_eq!(world.relay.links(), 3);
    ban(&mut world, &[link_addr(0, 2)]);
    world.run_ms(100);
    assert_eq!(gone(&world), [GoneReason::Banned]);
    let before = banned_datagrams(&world);
    world.run_ms(10_000);
    // The banned link asks for registration in vain.
    assert!(banned_datagrams(&world) > before);
    assert!(world.relay.links() < 3);
}
