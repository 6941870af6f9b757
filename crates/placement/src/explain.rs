//! A decision as operators and audits read it.

use model::{NodeId, Region};
use serde::Serialize;

use crate::choice::{Ranking, Verdict};
use crate::score::Cost;

/// What became of one candidate, and why.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Explained {
    /// The node.
    pub node_id: NodeId,
    /// Its region.
    pub region: Region,
    /// The measured round trip between it and the caller, milliseconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rtt_ms: Option<f64>,
    /// The sum of the terms; absent when it is out.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cost: Option<f64>,
    /// Each term, in the operator's currency; absent when it is out.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub terms: Option<Cost>,
    /// Why it is out.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub refusal: Option<&'static str>,
}

/// Explains a ranking: at most `limit` candidates, the best first.
#[must_use]
pub fn explain(ranking: &Ranking, limit: usize) -> Vec<Explained> {
    ranking.verdicts.iter().take(limit).map(explained).collect()
}

fn explained(verdict: &Verdict) -> Explained {
    let cost = verdict.outcome.as_ref().ok();
    let refusal = verdict.outcome.as_ref().err();
    Explained {
        node_id: verdict.node_id.clone(),
        region: verdict.region.clone(),
        rtt_ms: verdict.rtt_ms,
        cost: cost.map(Cost::total),
        terms: cost.copied(),
        refusal: refusal.map(|refusal| refusal.as_str()),
    }
}
