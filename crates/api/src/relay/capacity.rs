//! What the fleet can take now, by the same judgement that places sessions.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use model::node::Node;
use model::{Region, UnixMillis};
use placement::{Ranking, Refusal, Request};
use tokio::sync::Mutex;

use crate::config::seconds;
use crate::fleet::budget;
use crate::state::App;

/// Between two looks at the fleet, however many ask.
const INTERVAL: Duration = Duration::from_secs(5);

/// A node and why it takes no session; none: it does.
pub(crate) struct Surveyed {
    pub(crate) node: Node,
    pub(crate) refusal: Option<Refusal>,
}

/// A look at the fleet: every region that is known, each with its nodes by name.
pub(crate) struct Survey {
    pub(crate) observed_at: UnixMillis,
    pub(crate) regions: BTreeMap<Region, Vec<Surveyed>>,
}

/// Whether a region, or all of them, can take a session.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Capacity {
    Available,
    /// Nodes are there, and none has room.
    Full,
    /// No node is there.
    Offline,
}

impl Capacity {
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Available => "available",
            Self::Full => "full",
            Self::Offline => "offline",
        }
    }

    pub(crate) fn of<'a>(nodes: impl IntoIterator<Item = &'a Surveyed>) -> Self {
        nodes
            .into_iter()
            .map(|node| match node.refusal {
                None => Self::Available,
                Some(refusal) if refusal.is_lack_of_room() => Self::Full,
                Some(_) => Self::Offline,
            })
            .min_by_key(|capacity| *capacity as u8)
            .unwrap_or(Self::Offline)
    }
}

/// The last look at the fleet.
#[derive(Default)]
pub(crate) struct Surveys(Mutex<Option<Arc<Survey>>>);

impl Surveys {
    /// The last look if it is recent, else a new one. Those who ask at the same time wait
    /// for one look together.
    ///
    /// # Errors
    /// When the database fails.
    pub(crate) async fn newest(&self, app: &App) -> Result<Arc<Survey>, storage::Error> {
        let mut last = self.0.lock().await;
        let now = app.now();
        if let Some(survey) = last.as_ref()
            && survey.observed_at <= now
            && now.since(survey.observed_at) < INTERVAL
        {
            return Ok(survey.clone());
        }
        let survey = Arc::new(look(app, now).await?);
        *last = Some(survey.clone());
        Ok(survey)
    }
}

async fn look(app: &App, now: UnixMillis) -> Result<Survey, storage::Error> {
    let placement = &app.config.placement;
    let anywhere = Request {
        region: None,
        silent_max: seconds(app.config.fleet.offline_after_seconds),
        demand: placement.demand(),
        weights: placement.weights(),
        probation_sessions_max: app.config.fleet.probation_sessions_max,
    };
    let mut transaction = storage::begin(&app.pool).await?;
    let candidates = budget::candidates(&mut transaction).await?;
    let ranking = placement::choose(&candidates, &anywhere, now);
    let nodes = candidates.into_iter().map(|candidate| candidate.node);
    Ok(Survey {
        observed_at: now,
        regions: by_region(&app.config.regions, nodes, &ranking),
    })
}

fn by_region(
    known: &[Region],
    nodes: impl Iterator<Item = Node>,
    ranking: &Ranking,
) -> BTreeMap<Region, Vec<Surveyed>> {
    let verdicts = ranking.verdicts.iter();
    let refusals: BTreeMap<_, _> = verdicts
        .map(|verdict| (&verdict.node_id, verdict.outcome.as_ref().err().copied()))
        .collect();
    let mut regions: BTreeMap<Region, Vec<Surveyed>> = known
        .iter()
        .map(|region| (region.clone(), Vec::new()))
        .collect();
    for node in nodes {
        let Some(refusal) = refusals.get(&node.id).copied() else {
            continue;
        };
        let region = regions.entry(node.region.clone()).or_default();
        region.push(Surveyed { node, refusal });
    }
    regions
}
