//! One strategy against one trace, a minute at a time.

use model::UnixMillis;
use streamhaul_placement::Allowance;

use crate::fleet::{Site, distance_ms};
use crate::oracle::Fluid;
use crate::ours::Ours;
use crate::provider::Provider;
use crate::random::Random;
use crate::strategy::{Seen, Strategy};
use crate::trace::Stream;

/// A Sunday: 2026-03-01T00:00:00Z. Months end in the middle and at the end of a run.
pub(crate) const START: UnixMillis = UnixMillis(1_772_323_200_000);
/// After so long a crawl, the operator of a peer takes the node out until it is over.
const NOTICED_MINUTES: u32 = 10;
const REBOOT_DAYS: f64 = 10.0;

/// What came of it.
#[derive(Clone, Copy, Default)]
pub(crate) struct Outcome {
    pub(crate) streams: u64,
    /// Stream-minutes below the stream's rate because of a cap, while the fleet could have
    /// carried everything.
    pub(crate) capped_minutes: u64,
    /// Likewise while it could not.
    pub(crate) excused_minutes: u64,
    /// Streams that found no node while the fleet could have carried everything.
    pub(crate) rejected: u64,
    pub(crate) moves: u64,
    /// In the operators' currency: what the nodes cost and what bytes were sold.
    pub(crate) cost: f64,
    pub(crate) carried_bytes: f64,
    extra_rtt_ms: f64,
}

impl Outcome {
    /// Whether every stream got its rate whenever that was possible.
    pub(crate) const fn is_clean(&self) -> bool {
        self.capped_minutes == 0 && self.rejected == 0
    }

    pub(crate) fn moves_per_1000(&self) -> f64 {
        self.moves as f64 * 1000.0 / (self.streams.max(1)) as f64
    }

    pub(crate) fn mean_extra_rtt_ms(&self) -> f64 {
        self.extra_rtt_ms / (self.streams - self.rejected).max(1) as f64
    }
}

/// What a run is about.
pub(crate) struct Scene<'a> {
    pub(crate) sites: &'a [Site],
    pub(crate) providers: &'a [Provider],
    pub(crate) streams: &'a [Stream],
    pub(crate) feasible: &'a [bool],
    pub(crate) seed: u64,
}

/// Everything that streams want, minute by minute.
pub(crate) fn demand(streams: &[Stream], minutes: usize) -> Vec<Fluid> {
    let mut demand = vec![Fluid::default(); minutes];
    for stream in streams {
        let lasts = demand.iter_mut().skip(stream.starts as usize);
        for fluid in lasts.take(stream.minutes as usize) {
            fluid.ingress_bps += stream.bps;
            fluid.egress_bps += stream.bps * f64::from(stream.players);
        }
    }
    demand
}

/// Runs a strategy; `careful`: with the session limits of a careful operator.
pub(crate) fn run(scene: &Scene<'_>, strategy: Strategy, careful: bool) -> Outcome {
    let mut run = Run::new(scene, strategy, careful);
    let mut next = 0;
    for minute in 0..scene.feasible.len() as u32 {
        run.end_streams(minute);
        while let Some(stream) = scene.streams.get(next).filter(|it| it.starts == minute) {
            run.begin(next, stream, minute);
            next += 1;
        }
        run.carry(minute);
        run.after(minute);
    }
    run.finish()
}

struct Run<'a> {
    scene: &'a Scene<'a>,
    strategy: Strategy,
    careful: bool,
    providers: Vec<Provider>,
    ours: Ours,
    nodes: Vec<Relay>,
    live: Vec<Live>,
    chance: Random,
    outcome: Outcome,
}

#[derive(Clone, Default)]
struct Relay {
    sessions: u32,
    load_ratio: f64,
    crawled_minutes: u32,
    drained: bool,
    boot: u32,
    ingress_bytes: f64,
    egress_bytes: f64,
}

struct Live {
    stream: usize,
    node: usize,
    ends: u32,
}

impl<'a> Run<'a> {
    fn new(scene: &'a Scene<'a>, strategy: Strategy, careful: bool) -> Self {
        Self {
            scene,
            strategy,
            careful,
            providers: scene.providers.to_vec(),
            ours: Ours::new(scene.sites, START),
            nodes: vec![Relay::default(); scene.sites.len()],
            live: Vec::new(),
            chance: Random::new(scene.seed ^ 0x00c0_ffee),
            outcome: Outcome::default(),
        }
    }

    fn end_streams(&mut self, minute: u32) {
        let is_over = |live: &mut Live| live.ends <= minute;
        for live in self.live.extract_if(.., is_over) {
            self.nodes[live.node].sessions -= 1;
            if self.strategy == Strategy::ByteBudget {
                self.ours.stop(live.stream);
            }
        }
    }

    fn begin(&mut self, number: usize, stream: &Stream, minute: u32) {
        self.outcome.streams += 1;
        let sites = self.scene.sites;
        let chosen = if self.strategy == Strategy::ByteBudget {
            self.ours.place(number, stream, sites, at(minute))
        } else {
            self.ask_peer()
        };
        let Some(node) = chosen else {
            self.outcome.rejected += u64::from(self.scene.feasible[minute as usize]);
            return;
        };
        let nearest = sites.iter().map(|site| distance_ms(stream.region, site));
        let nearest = nearest.fold(f64::INFINITY, f64::min);
        self.outcome.extra_rtt_ms += distance_ms(stream.region, &sites[node]) - nearest;
        self.nodes[node].sessions += 1;
        self.live.push(Live {
            stream: number,
            node,
            ends: minute + stream.minutes,
        });
    }

    fn ask_peer(&mut self) -> Option<usize> {
        let seen = self.scene.sites.iter().zip(&self.nodes);
        let seen: Vec<Seen> = seen
            .map(|(site, node)| Seen {
                sessions: node.sessions,
                sessions_max: if self.careful {
                    site.careful_max
                } else {
                    site.sessions_max
                },
                load_ratio: node.load_ratio,
                drained: node.drained,
            })
            .collect();
        self.strategy.choose(&seen, &mut self.chance)
    }

    /// Moves a minute's bytes through the ports.
    fn carry(&mut self, minute: u32) {
        let mut wanted = vec![Fluid::default(); self.nodes.len()];
        for live in &self.live {
            let stream = &self.scene.streams[live.stream];
            wanted[live.node].ingress_bps += stream.bps;
            wanted[live.node].egress_bps += stream.bps * f64::from(stream.players);
        }
        for (index, wanted) in wanted.into_iter().enumerate() {
            let (speed, is_capped) = self.providers[index].speed_bps(minute, at(minute));
            let busier = wanted.ingress_bps.max(wanted.egress_bps);
            let share = if busier > speed { speed / busier } else { 1.0 };
            let node = &mut self.nodes[index];
            let crawls = is_capped && share < 0.999;
            if crawls && self.scene.feasible[minute as usize] {
                self.outcome.capped_minutes += u64::from(node.sessions);
            } else if crawls {
                self.outcome.excused_minutes += u64::from(node.sessions);
            }
            node.crawled_minutes = if crawls { node.crawled_minutes + 1 } else { 0 };
            node.drained = is_capped && (node.drained || node.crawled_minutes >= NOTICED_MINUTES);
            node.load_ratio = busier * share / self.scene.sites[index].policy.port_bps as f64;
            let bytes = |bps: f64| bps * share / 8.0 * 60.0;
            node.ingress_bytes += bytes(wanted.ingress_bps);
            node.egress_bytes += bytes(wanted.egress_bps);
            let both = bytes(wanted.ingress_bps + wanted.egress_bps);
            self.outcome.carried_bytes += both;
            self.providers[index].count(minute, both);
        }
    }

    fn after(&mut self, minute: u32) {
        if self.strategy != Strategy::ByteBudget {
            return;
        }
        for (index, node) in self.nodes.iter_mut().enumerate() {
            let payload = (node.ingress_bytes, node.egress_bytes);
            self.ours
                .heartbeat(index, node.boot, payload, at(minute + 1));
            if self.chance.ratio() < 1.0 / (REBOOT_DAYS * 1440.0) {
                node.boot += 1;
                (node.ingress_bytes, node.egress_bytes) = (0.0, 0.0);
            }
        }
        for (stream, to) in self.ours.moves(at(minute + 1)) {
            self.outcome.moves += 1;
            if let Some(live) = self.live.iter_mut().find(|it| it.stream == stream) {
                self.nodes[live.node].sessions -= 1;
                self.nodes[to].sessions += 1;
                live.node = to;
            }
        }
    }

    fn finish(mut self) -> Outcome {
        let months = self.scene.feasible.len() as f64 / (30.0 * 1440.0);
        for (site, provider) in self.scene.sites.iter().zip(&self.providers) {
            self.outcome.cost += site.policy.price_per_month * months;
            if let Allowance::Metered { price_per_tb, .. } = site.policy.allowance {
                self.outcome.cost += provider.counted_bytes / 1e12 * price_per_tb;
            }
        }
        self.outcome
    }
}

fn at(minute: u32) -> UnixMillis {
    UnixMillis(START.0 + i64::from(minute) * 60_000)
}
