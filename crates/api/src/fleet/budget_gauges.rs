//! Byte budgets, as Prometheus reads them.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use model::{NodeId, UnixMillis};
use placement::{Budget, Held, budget};
use storage::control::budgets;

use super::budget::read;
use crate::metrics::{self, BudgetGauges};
use crate::state::App;

/// Between two looks: accounts are settled once a minute.
const INTERVAL: Duration = Duration::from_secs(10);

/// Shows every node's budget until the process ends.
pub(crate) async fn run(app: Arc<App>) {
    let mut shown = BTreeSet::new();
    loop {
        if let Err(error) = show(&app, &mut shown).await {
            let error = &error as &dyn std::error::Error;
            tracing::debug!(error, "Byte budgets could not be read");
        }
        tokio::time::sleep(INTERVAL).await;
    }
}

async fn show(app: &App, shown: &mut BTreeSet<NodeId>) -> Result<(), storage::Error> {
    let rows = budgets::list(&app.pool, None, budget::TAIL).await?;
    let errors = budgets::reconcile_errors(&app.pool).await?;
    let now = app.now();
    let mut gone = std::mem::take(shown);
    for row in rows {
        // One that cannot be read is told where it is placed by.
        let Some(budget) = read(&row) else { continue };
        let error_ratio = errors.get(&row.node_id).copied();
        metrics::budget(&row.node_id, &gauges(&budget, error_ratio, now));
        gone.remove(&row.node_id);
        shown.insert(row.node_id);
    }
    for node in gone {
        metrics::budget(&node, &BudgetGauges::NONE);
    }
    Ok(())
}

fn gauges(budget: &Budget, reconcile_error_ratio: Option<f64>, now: UnixMillis) -> BudgetGauges {
    let (limit, used) = budget.allowance().unzip();
    let bytes = |bytes: Option<u64>| bytes.map_or(f64::NAN, |bytes| bytes as f64);
    let exhausted_at = budget.exhausted_at(now);
    BudgetGauges {
        limit_bytes: bytes(limit),
        used_bytes: bytes(used),
        projected_ratio: budget.projected_ratio(Held::default(), now),
        exhaustion_timestamp_seconds: exhausted_at.map_or(f64::INFINITY, |at| at.0 as f64 / 1000.0),
        reconcile_error_ratio: reconcile_error_ratio.unwrap_or(f64::NAN),
    }
}
