//! When each region's bytes run out, and what to add.

use std::collections::BTreeSet;

use model::{Region, UnixMillis};
use placement::advice::{self, Advice, Supplier};
use storage::control::demand;

use super::budget;
use crate::state::App;

/// What is to come of every region.
pub(crate) struct Report {
    /// Regions whose nodes' offers are all described, and those without a node.
    pub(crate) regions: Vec<Advice>,
    /// Nodes without an offer: their regions have bytes without end, as far as is known.
    pub(crate) undescribed: BTreeSet<(Region, model::NodeId)>,
    /// When this was found.
    pub(crate) at: UnixMillis,
}

/// Looks at every region that has nodes or had sessions.
pub(crate) async fn report(app: &App) -> Result<Report, storage::Error> {
    let at = app.now();
    let mut transaction = storage::begin(&app.pool).await?;
    let fleet = budget::candidates(&mut transaction).await?;
    storage::commit(transaction).await?;
    let days = u32::try_from(*advice::TREND_DAYS.end()).unwrap_or(u32::MAX);
    let moved = demand::by_day(&app.pool, days, at).await?;
    let undescribed = fleet.iter().filter(|it| it.budget.is_none());
    let undescribed: BTreeSet<_> = undescribed
        .map(|it| (it.node.region.clone(), it.node.id.clone()))
        .collect();
    let suppliers = fleet.iter().filter_map(|it| {
        let budget = it.budget.as_ref()?;
        Some(Supplier {
            node_id: &it.node.id,
            region: &it.node.region,
            policy: &budget.policy,
            outlook: &budget.outlook,
        })
    });
    let suppliers: Vec<_> = suppliers.collect();
    let nodes = suppliers.iter().map(|it| it.region);
    let regions: BTreeSet<&Region> = nodes.chain(moved.keys()).collect();
    let is_described = |region: &&&Region| undescribed.iter().all(|(it, _)| it != **region);
    let regions = regions.iter().filter(is_described).map(|region| {
        let days = moved.get(*region).map_or(&[][..], Vec::as_slice);
        advice::advise(region, &suppliers, days, at)
    });
    Ok(Report {
        regions: regions.collect(),
        undescribed,
        at,
    })
}
