//! Which sessions should go elsewhere before a cap bites.

use std::collections::BTreeSet;
use std::time::Duration;

use model::{NodeId, Region, SessionId, UnixMillis};

use crate::budget::{Budget, Demand, Held, Quota, bytes_in};
use crate::choice::{Candidate, choose};
use crate::gate::Restriction;
use crate::score::Request;

/// A session that may be moved.
#[derive(Debug, Clone, PartialEq)]
pub struct Movable {
    /// The session.
    pub session_id: SessionId,
    /// Where it is.
    pub node_id: NodeId,
    /// What is held for it there.
    pub held: Held,
    /// What it will take elsewhere.
    pub demand: Demand,
    /// The region that it should be in, if any.
    pub region: Option<Region>,
    /// When it began.
    pub started_at: UnixMillis,
    /// When it was moved last.
    pub moved_at: Option<UnixMillis>,
}

/// How eagerly to move.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MovePolicy {
    /// A cap that bites later than this may not bite at all: sessions end.
    pub lead: Duration,
    /// A session that was moved is left alone for so long, unless its node is cut off.
    pub cool_down: Duration,
    /// At most so many in one plan.
    pub moves_max: usize,
}

impl Default for MovePolicy {
    fn default() -> Self {
        Self {
            lead: Duration::from_secs(20 * 60),
            cool_down: Duration::from_secs(3600),
            moves_max: 20,
        }
    }
}

/// A session's move.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Move {
    /// Which.
    pub session_id: SessionId,
    /// From where.
    pub from: NodeId,
    /// To where.
    pub to: NodeId,
}

/// Plans moves: for each node whose cap bites within the lead, as many sessions as it takes
/// for the rest to fit, the largest first and of those the newest; each to the best node
/// that has room. `usual` is a request whose region and demand are replaced by the
/// session's. A session without a better place stays.
#[must_use]
pub fn plan_moves(
    candidates: &[Candidate],
    sessions: &[Movable],
    usual: &Request,
    policy: &MovePolicy,
    now: UnixMillis,
) -> Vec<Move> {
    let mut fleet = candidates.to_vec();
    let pressed: BTreeSet<NodeId> = fleet
        .iter()
        .filter(|it| is_pressed(it, policy, now))
        .map(|it| it.node.id.clone())
        .collect();
    let mut moves = Vec::new();
    for from in &pressed {
        for session in in_order(sessions, from) {
            let excess = budget_of(&fleet, from).map_or(0.0, |it| excess_bps(it, policy, now));
            if excess <= 0.0 || moves.len() >= policy.moves_max {
                break;
            }
            let is_cut_off = budget_of(&fleet, from)
                .is_some_and(|it| it.outlook.restriction != Restriction::Open);
            let rests = session
                .moved_at
                .is_some_and(|at| now.since(at) < policy.cool_down);
            if rests && !is_cut_off {
                continue;
            }
            let request = Request {
                region: session.region.clone(),
                demand: session.demand,
                ..usual.clone()
            };
            let Some(to) = destination(&fleet, &pressed, &request, now) else {
                continue;
            };
            shift(&mut fleet, session, &to);
            moves.push(Move {
                session_id: session.session_id.clone(),
                from: from.clone(),
                to,
            });
        }
    }
    moves
}

/// Whether more runs on a node than what is left, or let through, carries for the lead.
#[must_use]
pub fn is_pressed(candidate: &Candidate, policy: &MovePolicy, now: UnixMillis) -> bool {
    let budget = candidate.budget.as_ref();
    budget.is_some_and(|it| excess_bps(it, policy, now) > 0.0)
}

/// The rate that must leave a node, bits a second of its port.
fn excess_bps(budget: &Budget, policy: &MovePolicy, now: UnixMillis) -> f64 {
    let bites = match budget.outlook.restriction {
        Restriction::Open => bites_within(budget, policy.lead, now),
        Restriction::Throttled | Restriction::Exhausted => true,
    };
    let above_floor = budget.load().port_bps as f64 - budget.policy.floor_shed_bps();
    if bites { above_floor.max(0.0) } else { 0.0 }
}

/// Whether the allowance is used up within `lead` at the rate of the sessions that run.
fn bites_within(budget: &Budget, lead: Duration, now: UnixMillis) -> bool {
    let load = budget.load();
    match &budget.outlook.quota {
        Quota::Bytes {
            limit_bytes,
            horizons,
        } => {
            let Some(first) = horizons.iter().min_by_key(|horizon| horizon.until) else {
                return false;
            };
            // A window that ends before that forgives the rest.
            let until = first.until.min(now.plus(lead));
            let coming = bytes_in(load.counted_bps, until.since(now));
            first.used_bytes.saturating_add(coming) > *limit_bytes
        }
        Quota::Bucket {
            refill_bps,
            depth_bytes,
            deficit_bytes,
        } => {
            let above = load.counted_bps.saturating_sub(*refill_bps);
            above > 0 && deficit_bytes.saturating_add(bytes_in(above, lead)) > *depth_bytes
        }
        Quota::Unlimited | Quota::Bursts { .. } => false,
    }
}

fn in_order<'a>(sessions: &'a [Movable], from: &NodeId) -> Vec<&'a Movable> {
    let mut here: Vec<_> = sessions.iter().filter(|it| it.node_id == *from).collect();
    here.sort_by(|a, b| {
        let by_size = b.held.port_bps.cmp(&a.held.port_bps);
        let by_age = b.started_at.cmp(&a.started_at);
        by_size
            .then(by_age)
            .then_with(|| a.session_id.cmp(&b.session_id))
    });
    here
}

fn destination(
    fleet: &[Candidate],
    pressed: &BTreeSet<NodeId>,
    request: &Request,
    now: UnixMillis,
) -> Option<NodeId> {
    let ranking = choose(fleet, request, now);
    let best = ranking
        .usable()
        .find(|verdict| !pressed.contains(&verdict.node_id));
    best.map(|verdict| verdict.node_id.clone())
}

fn budget_of<'a>(fleet: &'a [Candidate], node: &NodeId) -> Option<&'a Budget> {
    let candidate = fleet.iter().find(|it| it.node.id == *node)?;
    candidate.budget.as_ref()
}

/// Moves what is held, so that the next move sees it.
fn shift(fleet: &mut [Candidate], session: &Movable, to: &NodeId) {
    for candidate in fleet {
        let is_source = candidate.node.id == session.node_id;
        let is_target = candidate.node.id == *to;
        if is_source {
            candidate.node.sessions = candidate.node.sessions.saturating_sub(1);
        } else if is_target {
            candidate.node.sessions += 1;
        }
        let Some(budget) = &mut candidate.budget else {
            continue;
        };
        if is_source {
            budget.release(session.held);
        } else if is_target {
            budget.held = budget.held.and(session.demand.on(&budget.policy));
        }
    }
}
