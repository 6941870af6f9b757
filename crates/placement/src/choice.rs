//! Ranks candidates: who can take a session, and who should.

use std::cmp::Ordering;

use model::node::{Node, NodeHealth, NodeState};
use model::{NodeId, Region, UnixMillis};

use crate::budget::{Budget, Denial};
use crate::score::{Cost, Request, Subject, cost};

/// A node that might take a session.
#[derive(Debug, Clone, PartialEq)]
pub struct Candidate {
    /// The node.
    pub node: Node,
    /// Its traffic offer and what is left of it; none: the operator described none.
    pub budget: Option<Budget>,
    /// The round trip between it and the caller, if it was measured, milliseconds. One
    /// that was not counts as the nearest: nobody is kept from a place because nobody
    /// was there.
    pub rtt_ms: Option<f64>,
}

impl From<Node> for Candidate {
    fn from(node: Node) -> Self {
        Self {
            node,
            budget: None,
            rtt_ms: None,
        }
    }
}

/// Why a node cannot take the session.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Refusal {
    /// Has never connected.
    NeverConnected,
    /// Shut out by the operator.
    Banned,
    /// The operator suspects it.
    Quarantined,
    /// Takes no new sessions.
    Draining,
    /// Not heard in time.
    Offline,
    /// Heard, but nobody knows where callers reach it.
    NoAddress,
    /// Holds as many sessions as a node on probation may.
    Probation,
    /// Holds as many sessions as it may.
    Full,
    /// Its provider lets no stream through.
    Exhausted,
    /// Its provider slowed its port, and what is left is taken.
    Throttled,
    /// The bytes that are left of its allowance are held for other sessions.
    BudgetSpent,
    /// Its port's speed is taken.
    PortFull,
}

impl Refusal {
    /// Every reason, in order of declaration.
    pub const ALL: &'static [Self] = &[
        Self::NeverConnected,
        Self::Banned,
        Self::Quarantined,
        Self::Draining,
        Self::Offline,
        Self::NoAddress,
        Self::Probation,
        Self::Full,
        Self::Exhausted,
        Self::Throttled,
        Self::BudgetSpent,
        Self::PortFull,
    ];

    /// Its word in explanations.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::NeverConnected => "never_connected",
            Self::Banned => "banned",
            Self::Quarantined => "quarantined",
            Self::Draining => "draining",
            Self::Offline => "offline",
            Self::NoAddress => "no_address",
            Self::Probation => "probation",
            Self::Full => "full",
            Self::Exhausted => "exhausted",
            Self::Throttled => "throttled",
            Self::BudgetSpent => "budget_spent",
            Self::PortFull => "port_full",
        }
    }

    /// Whether the node is well and only has no room.
    #[must_use]
    pub const fn is_lack_of_room(self) -> bool {
        !matches!(
            self,
            Self::NeverConnected
                | Self::Banned
                | Self::Quarantined
                | Self::Draining
                | Self::Offline
                | Self::NoAddress
        )
    }
}

impl From<Denial> for Refusal {
    fn from(denial: Denial) -> Self {
        match denial {
            Denial::Exhausted => Self::Exhausted,
            Denial::Throttled => Self::Throttled,
            Denial::Spent => Self::BudgetSpent,
            Denial::PortFull => Self::PortFull,
        }
    }
}

/// What became of one candidate.
#[derive(Debug, Clone, PartialEq)]
pub struct Verdict {
    /// The node.
    pub node_id: NodeId,
    /// Its region.
    pub region: Region,
    /// The round trip between it and the caller, if it was measured, milliseconds.
    pub rtt_ms: Option<f64>,
    /// Its cost, or why it is out.
    pub outcome: Result<Cost, Refusal>,
}

/// Every candidate: the usable ones first, the best at the top.
#[derive(Debug, Clone, PartialEq)]
pub struct Ranking {
    /// What became of each candidate.
    pub verdicts: Vec<Verdict>,
    /// Whether the best one is not in the region that was asked for.
    pub region_fallback: bool,
}

impl Ranking {
    /// The best node, if any can take the session.
    #[must_use]
    pub fn best(&self) -> Option<&Verdict> {
        self.usable().next()
    }

    /// Those that can take the session, the best first.
    pub fn usable(&self) -> impl Iterator<Item = &Verdict> {
        self.verdicts.iter().take_while(|it| it.outcome.is_ok())
    }
}

/// Ranks the candidates for a request. The same input gives the same ranking: ties
/// fall to the smaller node id.
#[must_use]
pub fn choose(candidates: &[Candidate], request: &Request, now: UnixMillis) -> Ranking {
    let outcomes: Vec<_> = candidates
        .iter()
        .map(|candidate| refuse(candidate, request, now))
        .collect();
    let nearest_ms = candidates
        .iter()
        .zip(&outcomes)
        .filter(|(_, refusal)| refusal.is_none())
        .filter_map(|(candidate, _)| candidate.rtt_ms)
        .fold(f64::INFINITY, f64::min);
    let mut verdicts: Vec<_> = candidates
        .iter()
        .zip(outcomes)
        .map(|(candidate, refusal)| judge(candidate, refusal, nearest_ms, request, now))
        .collect();
    verdicts.sort_by(|a, b| order(a, b).then_with(|| a.node_id.cmp(&b.node_id)));
    let mut ranking = Ranking {
        verdicts,
        region_fallback: false,
    };
    ranking.region_fallback = ranking.best().is_some_and(|best| {
        request
            .region
            .as_ref()
            .is_some_and(|wanted| *wanted != best.region)
    });
    ranking
}

fn judge(
    candidate: &Candidate,
    refusal: Option<Refusal>,
    nearest_ms: f64,
    request: &Request,
    now: UnixMillis,
) -> Verdict {
    let subject = Subject {
        node: &candidate.node,
        budget: candidate.budget.as_ref(),
        extra_rtt_ms: candidate.rtt_ms.map_or(0.0, |rtt| rtt - nearest_ms),
    };
    Verdict {
        node_id: candidate.node.id.clone(),
        region: candidate.node.region.clone(),
        rtt_ms: candidate.rtt_ms,
        outcome: refusal.map_or_else(|| Ok(cost(&subject, request, now)), Err),
    }
}

fn refuse(candidate: &Candidate, request: &Request, now: UnixMillis) -> Option<Refusal> {
    let node = &candidate.node;
    if let Some(refusal) = out_of_service(node.state) {
        return Some(refusal);
    }
    let heard = node
        .heartbeat_at
        .is_some_and(|at| now.since(at) <= request.silent_max);
    if !heard {
        Some(Refusal::Offline)
    } else if node.address.is_none() {
        Some(Refusal::NoAddress)
    } else if node.sessions >= node.sessions_max {
        Some(Refusal::Full)
    } else if node.health == NodeHealth::Probation
        && node.sessions >= request.probation_sessions_max
    {
        Some(Refusal::Probation)
    } else {
        let budget = candidate.budget.as_ref()?;
        let new = request.demand.on(&budget.policy);
        budget.admit(new, now).err().map(Into::into)
    }
}

/// A slowed port still carries what its floor does: the budget says how much.
const fn out_of_service(state: NodeState) -> Option<Refusal> {
    match state {
        NodeState::New => Some(Refusal::NeverConnected),
        NodeState::Banned => Some(Refusal::Banned),
        NodeState::Quarantined => Some(Refusal::Quarantined),
        NodeState::Draining | NodeState::Drained => Some(Refusal::Draining),
        NodeState::Offline => Some(Refusal::Offline),
        NodeState::Exhausted => Some(Refusal::Exhausted),
        NodeState::Probation | NodeState::Active | NodeState::Degraded | NodeState::Throttled => {
            None
        }
    }
}

fn order(a: &Verdict, b: &Verdict) -> Ordering {
    match (&a.outcome, &b.outcome) {
        (Ok(a), Ok(b)) => a.total().total_cmp(&b.total()),
        (Ok(_), Err(_)) => Ordering::Less,
        (Err(_), Ok(_)) => Ordering::Greater,
        (Err(a), Err(b)) => a.cmp(b),
    }
}
