//! What callers from outside find of nodes, as evidence of what they are.

use std::time::Duration;

use model::NodeId;
use placement::reach::Reach;
use serde::Deserialize as _;
use storage::control::probes::{self, Probed};
use storage::control::standings;

use crate::fleet::standing::{self, Judge};
use crate::state::App;

/// A call sooner after another says nothing new: a probe that is told twice counts once.
const SAME: Duration = Duration::from_secs(5);

/// What one call came to.
pub(crate) struct Call {
    pub(crate) node: NodeId,
    /// How long the answer took, microseconds.
    pub(crate) rtt_us: Option<u64>,
    /// Why there was none.
    pub(crate) failure: Option<String>,
}

/// Takes what a call came to, and judges the node by it. Says whether it is reachable; `None`:
/// there is no such node.
///
/// # Errors
/// When the database fails.
pub(crate) async fn record(app: &App, call: &Call) -> Result<Option<bool>, storage::Error> {
    let now = app.now();
    let mut transaction = storage::begin(&app.pool).await?;
    let node = &call.node;
    if standings::lock(&mut transaction, node).await?.is_none() {
        return Ok(None);
    }
    let known = probes::find(&mut *transaction, node).await?;
    if let Some(known) = &known
        && now.since(known.at) < SAME
    {
        return Ok(Some(known.is_reachable));
    }
    let mut reach = known.as_ref().map(reach).unwrap_or_default();
    let is_answered = call.failure.is_none();
    reach.take(is_answered);
    let before = known.filter(|_| !is_answered);
    let probed = Probed {
        // Two numbers and a yes or no.
        reach: serde_json::to_value(reach).unwrap_or_default(),
        is_reachable: reach.is_reachable(),
        at: now,
        answered_at: before
            .as_ref()
            .map_or(is_answered.then_some(now), |it| it.answered_at),
        rtt_us: before.map_or(call.rtt_us, |it| it.rtt_us),
        failure: call.failure.clone(),
    };
    probes::write(&mut transaction, node, &probed).await?;
    let judge = Judge::observer(&app.config.fleet, now);
    standing::judge(&mut transaction, node, &judge, |_| {}).await?;
    storage::commit(transaction).await?;
    Ok(Some(probed.is_reachable))
}

/// A newer version's document is not understood: what it was found to be still is.
fn reach(known: &Probed) -> Reach {
    Reach::deserialize(&known.reach).unwrap_or_default()
}
