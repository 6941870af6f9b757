//! The strategy under test, driven as the control plane drives it: accounts settle with
//! counters each minute, holds are reserved with each placement, moves are planned every
//! minute.

use std::time::Duration;

use model::node::{Node, NodeAddress, NodeHealth, NodeState};
use model::{NodeId, Region, SessionId, UnixMillis};
use streamhaul_placement::counter::Reading;
use streamhaul_placement::{
    Account, Budget, Candidate, Demand, Held, Hold, Movable, MovePolicy, Request, Weights, choose,
    plan_moves,
};

use crate::fleet::{Site, distance_ms};
use crate::trace::{REGIONS, Stream};

pub(crate) struct Ours {
    accounts: Vec<Account>,
    candidates: Vec<Candidate>,
    regions: Vec<Region>,
    live: Vec<Placed>,
}

struct Placed {
    stream: usize,
    node: usize,
    region: usize,
    hold: Hold,
    started_at: UnixMillis,
    moved_at: Option<UnixMillis>,
}

impl Ours {
    pub(crate) fn new(sites: &[Site], now: UnixMillis) -> Self {
        let regions: Vec<Region> = REGIONS
            .iter()
            .filter_map(|name| Region::parse(name).ok())
            .collect();
        let mut accounts: Vec<Account> = sites.iter().map(|_| Account::open(now)).collect();
        let candidates = sites.iter().enumerate().map(|(index, site)| {
            accounts[index].settle(&site.policy, &reading(0, (0.0, 0.0)), now);
            Candidate {
                node: node(index, site, &regions[site.region], now),
                rtt_ms: None,
                budget: Some(Budget {
                    outlook: accounts[index].outlook(&site.policy, now),
                    policy: site.policy.clone(),
                    held: Held::default(),
                }),
            }
        });
        let candidates = candidates.collect();
        Self {
            accounts,
            candidates,
            regions,
            live: Vec::new(),
        }
    }

    /// Reads a node's counters and settles what is held for its sessions.
    pub(crate) fn heartbeat(
        &mut self,
        index: usize,
        boot: u32,
        payload: (f64, f64),
        now: UnixMillis,
    ) {
        let candidate = &mut self.candidates[index];
        candidate.node.heartbeat_at = Some(now);
        let Some(budget) = &mut candidate.budget else {
            return;
        };
        let account = &mut self.accounts[index];
        let bytes = account.settle(&budget.policy, &reading(boot, payload), now);
        let all = budget.held.counted_bps.max(1) as f64;
        let mut held = Held::default();
        for placed in self.live.iter_mut().filter(|it| it.node == index) {
            let share = placed.hold.reserved.counted_bps as f64 / all;
            placed.hold.settle((bytes as f64 * share) as u64);
            held = held.and(placed.hold.outstanding());
        }
        budget.held = held;
        budget.outlook = account.outlook(&budget.policy, now);
    }

    pub(crate) fn place(
        &mut self,
        number: usize,
        stream: &Stream,
        sites: &[Site],
        now: UnixMillis,
    ) -> Option<usize> {
        for (candidate, site) in self.candidates.iter_mut().zip(sites) {
            candidate.rtt_ms = Some(distance_ms(stream.region, site) + stream.last_mile_ms);
        }
        let ranking = choose(&self.candidates, &request(None), now);
        let best = ranking.best()?.node_id.clone();
        let node = self.index_of(&best)?;
        let candidate = &mut self.candidates[node];
        let budget = candidate.budget.as_mut()?;
        let reserved = Demand::default().on(&budget.policy);
        budget.reserve(reserved, now).ok()?;
        candidate.node.sessions += 1;
        self.live.push(Placed {
            stream: number,
            node,
            region: stream.region,
            hold: Hold::new(reserved),
            started_at: now,
            moved_at: None,
        });
        Some(node)
    }

    pub(crate) fn stop(&mut self, number: usize) {
        let Some(position) = self.live.iter().position(|it| it.stream == number) else {
            return;
        };
        let placed = self.live.swap_remove(position);
        let candidate = &mut self.candidates[placed.node];
        candidate.node.sessions -= 1;
        if let Some(budget) = &mut candidate.budget {
            budget.held = budget.held.without(placed.hold.outstanding());
        }
    }

    /// Streams and the nodes that they move to.
    pub(crate) fn moves(&mut self, now: UnixMillis) -> Vec<(usize, usize)> {
        for candidate in &mut self.candidates {
            candidate.rtt_ms = None;
        }
        let sessions: Vec<Movable> = self.live.iter().map(|it| self.movable(it)).collect();
        let policy = MovePolicy::default();
        let plan = plan_moves(&self.candidates, &sessions, &request(None), &policy, now);
        plan.iter()
            .filter_map(|planned| {
                let position = sessions
                    .iter()
                    .position(|it| it.session_id == planned.session_id)?;
                let to = self.index_of(&planned.to)?;
                Some(self.shift(position, to, now))
            })
            .collect()
    }

    fn shift(&mut self, position: usize, to: usize, now: UnixMillis) -> (usize, usize) {
        let placed = &mut self.live[position];
        let from = &mut self.candidates[placed.node];
        from.node.sessions -= 1;
        if let Some(budget) = &mut from.budget {
            budget.held = budget.held.without(placed.hold.outstanding());
        }
        let target = &mut self.candidates[to];
        target.node.sessions += 1;
        if let Some(budget) = &mut target.budget {
            placed.hold = Hold::new(Demand::default().on(&budget.policy));
            budget.held = budget.held.and(placed.hold.outstanding());
        }
        placed.node = to;
        placed.moved_at = Some(now);
        (placed.stream, to)
    }

    fn movable(&self, placed: &Placed) -> Movable {
        Movable {
            session_id: SessionId::from_u128(placed.stream as u128),
            node_id: self.candidates[placed.node].node.id.clone(),
            held: placed.hold.outstanding(),
            demand: Demand::default(),
            region: self.regions.get(placed.region).cloned(),
            started_at: placed.started_at,
            moved_at: placed.moved_at,
        }
    }

    fn index_of(&self, id: &NodeId) -> Option<usize> {
        self.candidates.iter().position(|it| it.node.id == *id)
    }
}

fn request(region: Option<Region>) -> Request {
    Request {
        region,
        silent_max: Duration::from_secs(120),
        demand: Demand::default(),
        weights: Weights::default(),
        probation_sessions_max: 2,
    }
}

fn reading(boot: u32, (ingress, egress): (f64, f64)) -> Reading {
    Reading {
        boot_id: boot.to_string(),
        ingress_bytes: ingress as u64,
        egress_bytes: egress as u64,
    }
}

fn node(index: usize, site: &Site, region: &Region, now: UnixMillis) -> Node {
    Node {
        id: NodeId::from_u128(index as u128),
        name: site.name.to_owned(),
        region: region.clone(),
        state: NodeState::Active,
        health: NodeHealth::Active,
        address: Some(NodeAddress {
            public_host: site.name.to_owned(),
            udp_port: 5000,
            publish_port: 4001,
            play_port: 4000,
        }),
        version: None,
        sessions_max: site.sessions_max,
        sessions: 0,
        heartbeat_at: Some(now),
    }
}
