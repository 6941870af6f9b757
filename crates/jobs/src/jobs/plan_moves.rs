//! Has sessions leave nodes whose byte budgets run out: the control plane plans from placement's
//! projection.

use std::sync::Arc;

use anyhow::Context;
use futures_util::FutureExt;
use futures_util::future::BoxFuture;

use super::MINUTE_POLICY;
use crate::job::{Done, Failure, Job, Policy, Run};
use crate::metrics::upkeep as metrics;
use crate::upkeep::Upkeep;

/// The job.
pub struct PlanMoves {
    upkeep: Upkeep,
}

impl PlanMoves {
    /// Its kind.
    pub const KIND: &'static str = "plan_moves";

    pub(crate) fn new(upkeep: Upkeep) -> Self {
        Self { upkeep }
    }

    async fn attempt(&self) -> Result<Done, Failure> {
        let call = self.upkeep.plan_moves();
        let moved = call.await.context("plan moves at the api")?;
        metrics::dealt(metrics::MOVES_PLANNED, moved.len() as u64);
        Ok(Done::Completed)
    }
}

impl Job for PlanMoves {
    fn kind(&self) -> &'static str {
        Self::KIND
    }

    fn policy(&self) -> Policy {
        MINUTE_POLICY
    }

    fn run(self: Arc<Self>, _run: Run) -> BoxFuture<'static, Result<Done, Failure>> {
        async move { self.attempt().await }.boxed()
    }
}
