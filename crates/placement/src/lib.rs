//! Chooses a node for a session.
//!
//! [`choose`] is a pure function: candidates, a request and `now` in, a [`Ranking`]
//! out that names every candidate, the refused ones with their reason. It refuses to
//! know where candidates come from and to change anything: whoever acts on a
//! ranking checks capacity again under a lock.
//!
//! To add a reason to refuse, add a [`Refusal`] and its test in `refuse`; to add a
//! cost, add a field to [`Cost`] and its weight to `Cost::order`.

use std::cmp::Ordering;
use std::time::Duration;

use model::node::{Node, NodeState};
use model::{NodeId, Region, UnixMillis};

/// What a session needs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Request {
    /// The region the caller wants; none: any.
    pub region: Option<Region>,
    /// A node not heard for longer than this is out, whatever its state says.
    pub silent_max: Duration,
}

/// Why a node cannot take the session.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Refusal {
    /// Has never connected.
    NeverConnected,
    /// Takes no new sessions.
    Draining,
    /// Not heard in time.
    Offline,
    /// Heard, but nobody knows where callers reach it.
    NoAddress,
    /// Holds as many sessions as it may.
    Full,
}

impl Refusal {
    /// Every reason, in order of declaration.
    pub const ALL: &'static [Self] = &[
        Self::NeverConnected,
        Self::Draining,
        Self::Offline,
        Self::NoAddress,
        Self::Full,
    ];

    /// Its word in explanations.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::NeverConnected => "never_connected",
            Self::Draining => "draining",
            Self::Offline => "offline",
            Self::NoAddress => "no_address",
            Self::Full => "full",
        }
    }
}

/// What a node costs, the most important term first.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Cost {
    /// Whether it stands in another region than asked for.
    pub other_region: bool,
    /// Sessions held over sessions possible, 0 to 1.
    pub load_ratio: f64,
}

impl Cost {
    fn order(&self, other: &Self) -> Ordering {
        self.other_region
            .cmp(&other.other_region)
            .then(self.load_ratio.total_cmp(&other.load_ratio))
    }
}

/// What became of one candidate.
#[derive(Debug, Clone, PartialEq)]
pub struct Verdict {
    /// The node.
    pub node_id: NodeId,
    /// Its region.
    pub region: Region,
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
        self.verdicts
            .first()
            .filter(|verdict| verdict.outcome.is_ok())
    }
}

/// Ranks the candidates for a request. The same input gives the same ranking: ties
/// fall to the smaller node id.
#[must_use]
pub fn choose(candidates: &[Node], request: &Request, now: UnixMillis) -> Ranking {
    let mut verdicts: Vec<_> = candidates
        .iter()
        .map(|node| judge(node, request, now))
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

fn judge(node: &Node, request: &Request, now: UnixMillis) -> Verdict {
    let outcome = match refuse(node, request, now) {
        Some(refusal) => Err(refusal),
        None => Ok(cost(node, request)),
    };
    Verdict {
        node_id: node.id.clone(),
        region: node.region.clone(),
        outcome,
    }
}

fn refuse(node: &Node, request: &Request, now: UnixMillis) -> Option<Refusal> {
    match node.state {
        NodeState::New => return Some(Refusal::NeverConnected),
        NodeState::Draining => return Some(Refusal::Draining),
        NodeState::Offline => return Some(Refusal::Offline),
        NodeState::Active => {}
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
    } else {
        None
    }
}

fn cost(node: &Node, request: &Request) -> Cost {
    Cost {
        other_region: request
            .region
            .as_ref()
            .is_some_and(|wanted| *wanted != node.region),
        load_ratio: f64::from(node.sessions) / f64::from(node.sessions_max.max(1)),
    }
}

fn order(a: &Verdict, b: &Verdict) -> Ordering {
    match (&a.outcome, &b.outcome) {
        (Ok(a), Ok(b)) => a.order(b),
        (Ok(_), Err(_)) => Ordering::Less,
        (Err(_), Ok(_)) => Ordering::Greater,
        (Err(a), Err(b)) => a.cmp(b),
    }
}
