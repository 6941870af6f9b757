//! Directives say what should be, so it does no harm when one comes twice, late, or from an
//! older stream of the control plane.

use std::collections::BTreeSet;

use proptest::collection::vec;
use proptest::prelude::*;
use streamhaul_relay_core::Command;

use crate::caller::{Spec, State};
use crate::forwarding::delayed;
use crate::leases::{assignment, grant, live, session_id};
use crate::world::World;

/// The session with a publisher; the others come and go.
const ON_AIR: u8 = 1;
const SESSIONS_MAX: u8 = 6;

#[derive(Debug, Clone, Copy)]
enum Directive {
    Assign(u8),
    Revoke(u8),
    Limit(u32),
}

impl Directive {
    fn command(self) -> Command {
        match self {
            Self::Assign(session) => Command::Assign(Box::new(grant(&assignment(session)))),
            Self::Revoke(session) => Command::Revoke {
                session: session_id(session),
                reason: "stopped".into(),
            },
            Self::Limit(sessions_max) => Command::Limits { sessions_max },
        }
    }
}

fn directive() -> impl Strategy<Value = Directive> {
    prop_oneof![
        (ON_AIR..=SESSIONS_MAX).prop_map(Directive::Assign),
        (ON_AIR + 1..=SESSIONS_MAX).prop_map(Directive::Revoke),
        (u32::from(SESSIONS_MAX)..100).prop_map(Directive::Limit),
    ]
}

fn on_air() -> (World, usize) {
    let mut world = World::new();
    world.assign(assignment(ON_AIR));
    let publisher = world.publisher(Spec::new(1, live(ON_AIR)), 0, &delayed(1));
    world.run_ms(200);
    (world, publisher)
}

fn held(world: &World) -> BTreeSet<String> {
    let held = world.relay.held().into_iter();
    held.map(|held| held.session_id.to_string()).collect()
}

fn names(sessions: &BTreeSet<u8>) -> BTreeSet<String> {
    let names = sessions.iter().map(|session| session_id(*session));
    names.map(|name| name.to_string()).collect()
}

fn is_on_air(world: &mut World, publisher: usize) -> bool {
    world.run_ms(50);
    matches!(world.state(publisher), State::Connected { .. })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn a_directive_that_comes_again_changes_nothing(
        script in vec((directive(), 1..4_usize), 0..24),
    ) {
        let (mut world, publisher) = on_air();
        let mut wanted = BTreeSet::from([ON_AIR]);
        for (directive, times) in script {
            for _ in 0..times {
                world.command(directive.command());
            }
            match directive {
                Directive::Assign(session) => wanted.insert(session),
                Directive::Revoke(session) => wanted.remove(&session),
                Directive::Limit(_) => false,
            };
            prop_assert_eq!(held(&world), names(&wanted));
        }
        prop_assert!(is_on_air(&mut world, publisher));
    }

    #[test]
    fn the_complete_set_counts_whatever_came_before_it_in_whatever_order(
        stale in vec(directive(), 0..24),
        others in vec(ON_AIR + 1..=SESSIONS_MAX, 0..6),
        times in 1..3_usize,
    ) {
        let (mut world, publisher) = on_air();
        for directive in stale {
            world.command(directive.command());
        }
        let mut wanted: BTreeSet<u8> = others.into_iter().collect();
        wanted.insert(ON_AIR);
        for _ in 0..times {
            let grants = wanted.iter().map(|session| grant(&assignment(*session)));
            world.command(Command::Resync { grants: grants.collect(), keep: Vec::new() });
            prop_assert_eq!(held(&world), names(&wanted));
        }
        prop_assert!(is_on_air(&mut world, publisher));
    }
}
