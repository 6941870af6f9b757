//! What a node is to the control plane: the operator's word first, then whether it is
//! heard, then what its provider lets through, then how well it is.

use model::node::{NodeHealth, NodeIntent, NodeState};

use crate::gate::Restriction;

/// What decides over a node.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Facts {
    /// What is observed of it.
    pub health: NodeHealth,
    /// What the operator wants.
    pub intent: NodeIntent,
    /// What its provider lets through.
    pub restriction: Restriction,
    /// Live sessions on it.
    pub sessions: u32,
}

impl Facts {
    /// What follows.
    #[must_use]
    pub const fn state(&self) -> NodeState {
        match (self.intent, self.health) {
            (NodeIntent::Banned, _) => NodeState::Banned,
            (NodeIntent::Quarantined, _) => NodeState::Quarantined,
            (_, NodeHealth::New) => NodeState::New,
            (_, NodeHealth::Offline) => NodeState::Offline,
            (NodeIntent::Draining, _) if self.sessions == 0 => NodeState::Drained,
            (NodeIntent::Draining, _) => NodeState::Draining,
            (NodeIntent::None, health) => match (self.restriction, health) {
                (Restriction::Exhausted, _) => NodeState::Exhausted,
                (Restriction::Throttled, _) => NodeState::Throttled,
                (Restriction::Open, NodeHealth::Probation) => NodeState::Probation,
                (Restriction::Open, NodeHealth::Degraded) => NodeState::Degraded,
                (Restriction::Open, _) => NodeState::Active,
            },
        }
    }

    /// Why, in one word; `observed` is why its health is what it is.
    #[must_use]
    pub const fn reason(&self, observed: &'static str) -> &'static str {
        match self.state() {
            NodeState::Banned | NodeState::Quarantined | NodeState::Draining => "operator",
            NodeState::Drained => "no_sessions",
            NodeState::Throttled | NodeState::Exhausted => "byte_budget",
            NodeState::New
            | NodeState::Offline
            | NodeState::Probation
            | NodeState::Active
            | NodeState::Degraded => observed,
        }
    }
}

/// Whether a node may be removed: nobody relies on it.
#[must_use]
pub const fn is_removable(facts: &Facts) -> bool {
    let is_away = matches!(
        facts.state(),
        NodeState::New | NodeState::Drained | NodeState::Offline | NodeState::Banned
    );
    is_away && facts.sessions == 0
}
