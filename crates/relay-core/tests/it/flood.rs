//! A hundred thousand callers a second, none of whom is there.

use std::net::SocketAddr;
use std::time::Duration;

use streamhaul_relay_core::{Ingress, Limits};
use testkit::linksim::Impairment;
use testkit::random::Random;

use crate::caller::{Caller, Spec, State};
use crate::forwarding::{assert_complete, delayed};
use crate::leases::{live, play};
use crate::world::World;

/// Between two spoofed callers.
const INTERVAL: Duration = Duration::from_micros(10);
/// How long libsrt tries.
const PATIENCE: Duration = Duration::from_secs(3);

struct Flood {
    random: Random,
    induction: Vec<u8>,
    conclusion: Vec<u8>,
    cookies: u64,
}

impl Flood {
    fn new(world: &World) -> Self {
        let nobody = Caller::new(Spec::new(9, live(1)), 9, world.now);
        Self {
            random: Random::new(11),
            induction: nobody.induction(world.now),
            conclusion: nobody.conclusion(world.now, 0x5eed),
            cookies: 0,
        }
    }

    /// Sends one datagram from anywhere, with a cookie made up or none.
    fn send(&mut self, world: &mut World) {
        let bits = self.random.bits();
        let address = (bits as u32 | 0x0100_0000).to_be_bytes();
        let peer = SocketAddr::from((address, (bits >> 32) as u16 | 1));
        let is_conclusion = self.random.below(10) == 0;
        let datagram = if is_conclusion {
            &self.conclusion
        } else {
            &self.induction
        };
        let ingress = Ingress {
            peer,
            local_ip: None,
            socket: 0,
        };
        world.inject(ingress, datagram);
        let answered: usize = world.strays.drain(..).map(|stray| stray.len()).sum();
        assert!(
            answered <= datagram.len(),
            "an unproven address got more than it sent"
        );
        self.cookies += u64::from(answered > 0);
    }

    fn run(&mut self, world: &mut World, span: Duration) {
        let end = world.now + span;
        while world.now < end {
            self.send(world);
            world.run(INTERVAL);
        }
    }
}

#[test]
fn a_stream_goes_on_and_an_honest_caller_gets_in() {
    let mut world = World::with_session();
    let path: Impairment = delayed(5).with_loss(0.01);
    let spec = Spec {
        latency_ms: 400,
        ..Spec::new(1, live(1))
    };
    let publisher = world.publisher(spec, 0, &path);
    world.run_ms(1000);
    let player = world.player(Spec::new(2, play(1)), &path);
    world.run_ms(3000);

    let began = world.now;
    let mut flood = Flood::new(&world);
    flood.run(&mut world, Duration::from_millis(200));
    world.allocations = 0;
    flood.run(&mut world, Duration::from_millis(500));
    assert_eq!(
        world.allocations, 0,
        "a caller that is not there costs memory"
    );

    let called_at = world.now;
    let late = world.player(Spec::new(3, play(1)), &delayed(5));
    while !matches!(world.state(late), State::Connected { .. }) {
        flood.run(&mut world, Duration::from_millis(10));
        assert!(
            world.now < called_at + PATIENCE,
            "an honest caller is shut out"
        );
    }
    println!("let in after {:?}", world.now - called_at);
    let seconds = (world.now - began).as_secs_f64();
    let cookies_max = f64::from(Limits::default().inductions_per_second_max) * (1.0 + seconds);
    assert!(flood.cookies as f64 <= cookies_max, "cookies have a limit");

    world.published(publisher).is_running = false;
    world.run_ms(2000);
    assert_complete(&mut world, publisher, player);
}
