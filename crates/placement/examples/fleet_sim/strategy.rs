//! Who decides where a stream goes.

use crate::random::Random;

/// A way to choose. All but the first are what other systems do.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Strategy {
    /// Ours.
    ByteBudget,
    /// The node with the fewest sessions.
    LeastSessions,
    /// The node whose port is the least filled (LiveKit's selectors).
    LeastLoad,
    /// The fullest node that has room (Agones' Packed).
    Packed,
    /// By chance, weighted by free capacity (Wavry's selection).
    WeightedRandom,
}

/// What a peer's strategy sees of a node.
pub(crate) struct Seen {
    pub(crate) sessions: u32,
    pub(crate) sessions_max: u32,
    /// The busier direction's rate over the port's speed.
    pub(crate) load_ratio: f64,
    /// Whether its operator saw it crawl and took it out.
    pub(crate) drained: bool,
}

impl Strategy {
    pub(crate) const PEERS: [Self; 4] = [
        Self::LeastSessions,
        Self::LeastLoad,
        Self::Packed,
        Self::WeightedRandom,
    ];

    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::ByteBudget => "byte-budget",
            Self::LeastSessions => "least-sessions",
            Self::LeastLoad => "least-load",
            Self::Packed => "packed",
            Self::WeightedRandom => "weighted-random",
        }
    }

    /// A peer's choice: an index among the nodes.
    pub(crate) fn choose(self, nodes: &[Seen], random: &mut Random) -> Option<usize> {
        let has_room = |node: &Seen| {
            let port_is_full = node.load_ratio >= 0.7;
            !node.drained && !port_is_full && node.sessions < node.sessions_max
        };
        let open = || (0..nodes.len()).filter(|index| has_room(&nodes[*index]));
        let fill = |index: &usize| {
            f64::from(nodes[*index].sessions) / f64::from(nodes[*index].sessions_max.max(1))
        };
        let load = |index: &usize| nodes[*index].load_ratio;
        match self {
            Self::LeastSessions => open().min_by_key(|index| nodes[*index].sessions),
            Self::LeastLoad => open().min_by(|a, b| load(a).total_cmp(&load(b))),
            Self::Packed => open().max_by(|a, b| fill(a).total_cmp(&fill(b)).then(b.cmp(a))),
            Self::WeightedRandom => {
                let indices: Vec<usize> = open().collect();
                let weights: Vec<f64> = indices.iter().map(|it| 1.1 - fill(it)).collect();
                (!indices.is_empty()).then(|| indices[random.pick(&weights)])
            }
            Self::ByteBudget => None,
        }
    }
}
