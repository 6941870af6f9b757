//! Books what nodes carried on their byte budgets, and turns windows that are over, those of
//! silent nodes as well.

use std::sync::Arc;

use anyhow::Context;
use futures_util::FutureExt;
use futures_util::future::BoxFuture;

use super::MINUTE_POLICY;
use crate::job::{Done, Failure, Job, Policy, Run};
use crate::metrics::upkeep as metrics;
use crate::upkeep::Upkeep;

/// The job.
pub struct SettleBudgets {
    upkeep: Upkeep,
}

impl SettleBudgets {
    /// Its kind.
    pub const KIND: &'static str = "settle_budgets";

    pub(crate) fn new(upkeep: Upkeep) -> Self {
        Self { upkeep }
    }

    async fn attempt(&self, run: &Run) -> Result<Done, Failure> {
        let mut after = String::new();
        loop {
            let call = self.upkeep.settle_budgets(after);
            let settled = call.await.context("settle budgets at the api")?;
            metrics::dealt(metrics::BUDGETS_SETTLED, settled.settled.into());
            after = settled.next_after_node_id;
            if after.is_empty() || run.stopping.is_cancelled() {
                break;
            }
        }
        Ok(Done::Completed)
    }
}

impl Job for SettleBudgets {
    fn kind(&self) -> &'static str {
        Self::KIND
    }

    fn policy(&self) -> Policy {
        MINUTE_POLICY
    }

    fn run(self: Arc<Self>, run: Run) -> BoxFuture<'static, Result<Done, Failure>> {
        async move { self.attempt(&run).await }.boxed()
    }
}
