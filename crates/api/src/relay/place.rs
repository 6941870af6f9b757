//! Finds a session its node, and holds the bytes there.

use model::{NodeId, Region, SessionId, StreamSettings, UserId};
use placement::{Candidate, Demand, Held, Ranking, Request, Verdict};
use serde_json::json;
use storage::Transaction;
use storage::control::placements;

use crate::config::seconds;
use crate::error::{ApiError, Code};
use crate::fleet::budget;
use crate::metrics::{self, Placement};
use crate::state::App;

/// Candidates that a decision's record names, the best first.
const EXPLAINED_MAX: usize = 100;

/// Why a session got no place in this round.
pub(super) enum Failure {
    /// Another transaction was in the way: again.
    Again,
    /// No node can take the session.
    NoRoom(Ranking),
    Refused(ApiError),
}

impl From<ApiError> for Failure {
    fn from(error: ApiError) -> Self {
        Self::Refused(error)
    }
}

impl From<storage::Error> for Failure {
    fn from(error: storage::Error) -> Self {
        match error {
            storage::Error::Contention(_) => Self::Again,
            storage::Error::Conflict { .. } => Self::Refused(ApiError::new(
                Code::Conflict,
                "this stream is live on another connection",
            )),
            error => Self::Refused(error.into()),
        }
    }
}

/// Where a session goes.
pub(super) struct Place {
    pub(super) node: Verdict,
    /// What to hold of the node's budget, if it has one.
    pub(super) held: Option<Held>,
    pub(super) ranking: Ranking,
}

/// Which nodes come into question.
#[derive(Debug, Clone, Copy)]
pub(super) enum Among<'a> {
    All,
    /// All but one.
    Others(&'a NodeId),
    /// Those of a region, but one.
    OthersIn(&'a NodeId, &'a Region),
    /// This one.
    Only(&'a NodeId),
}

impl Among<'_> {
    fn contains(self, candidate: &Candidate) -> bool {
        let node = &candidate.node;
        match self {
            Self::All => true,
            Self::Others(other) => node.id != *other,
            Self::OthersIn(other, region) => node.id != *other && node.region == *region,
            Self::Only(one) => node.id == *one,
        }
    }
}

/// What a session of a stream will take: what its owner lets it take, or else the usual.
pub(super) fn demand(app: &App, settings: &StreamSettings) -> Demand {
    let usual = app.config.placement.demand();
    Demand {
        stream_bps: settings.rate_bps_max.unwrap_or(usual.stream_bps),
        players: settings.players_max.unwrap_or(usual.players),
        ..usual
    }
}

/// What a session asks of a node.
pub(super) fn wanted(app: &App, region: Option<Region>, settings: &StreamSettings) -> Request {
    let placement = &app.config.placement;
    Request {
        region,
        silent_max: seconds(app.config.fleet.offline_after_seconds),
        demand: demand(app, settings),
        weights: placement.weights(),
        probation_sessions_max: app.config.fleet.probation_sessions_max,
    }
}

/// A node that can take the session, locked until the end of the transaction. What
/// other starts hold is waited for, so nobody is told of no capacity that is there.
pub(super) async fn place(
    app: &App,
    transaction: &mut Transaction,
    user: &UserId,
    wanted: &Request,
    among: Among<'_>,
) -> Result<Place, Failure> {
    let now = app.now();
    let mut candidates = budget::candidates(transaction).await?;
    candidates.retain(|candidate| among.contains(candidate));
    budget::measure(transaction, user, &mut candidates, now).await?;
    let ranking = placement::choose(&candidates, wanted, now);
    let Some(best) = ranking.best().cloned() else {
        return Err(Failure::NoRoom(ranking));
    };
    let locked = budget::lock(transaction, &best.node_id).await?;
    let locked = locked.ok_or(Failure::Again)?;
    let still = placement::choose(std::slice::from_ref(&locked), wanted, now);
    if still.best().is_none() {
        return Err(Failure::Again);
    }
    metrics::placement(if ranking.region_fallback {
        Placement::RegionFallback
    } else {
        Placement::Placed
    });
    Ok(Place {
        node: best,
        held: locked.budget.map(|it| wanted.demand.on(&it.policy)),
        ranking,
    })
}

/// The record of a decision.
pub(super) fn decision(
    app: &App,
    user: &UserId,
    region_requested: Option<Region>,
    ranking: &Ranking,
    session: Option<SessionId>,
) -> placements::Placement {
    let candidates = placement::explain(ranking, EXPLAINED_MAX);
    placements::Placement {
        at: app.now(),
        user_id: user.clone(),
        session_id: session,
        region_requested,
        region_fallback: ranking.region_fallback,
        candidates: json!(candidates),
    }
}

/// Other transactions were in the way each time.
pub(super) fn too_many_at_once() -> ApiError {
    ApiError::new(
        Code::Unavailable,
        "too many sessions start at once; try again",
    )
}

pub(super) fn no_capacity(ranking: &Ranking) -> ApiError {
    let refusals = || {
        let outcomes = ranking.verdicts.iter().map(|verdict| &verdict.outcome);
        outcomes.filter_map(|outcome| outcome.as_ref().err())
    };
    for (verdict, refusal) in ranking.verdicts.iter().zip(refusals()) {
        tracing::info!(node.id = %verdict.node_id, refusal = refusal.as_str(), "A node was refused");
    }
    let reason = if refusals().any(|refusal| refusal.is_lack_of_room()) {
        "nodes_full"
    } else {
        "no_node_online"
    };
    ApiError::new(Code::NoCapacity, "no relay node can take the session now").because(reason)
}
