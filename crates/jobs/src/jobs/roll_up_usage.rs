//! Takes what sessions carried into the users' history of usage, by the hour and by the day.

use std::sync::Arc;

use anyhow::Context;
use futures_util::FutureExt;
use futures_util::future::BoxFuture;

use super::MINUTE_POLICY;
use super::batches::{More, until_done};
use crate::job::{Done, Failure, Job, Policy, Run};
use crate::metrics::upkeep as metrics;
use crate::upkeep::Upkeep;

/// The job.
pub struct RollUpUsage {
    upkeep: Upkeep,
}

impl RollUpUsage {
    /// Its kind.
    pub const KIND: &'static str = "roll_up_usage";

    pub(crate) fn new(upkeep: Upkeep) -> Self {
        Self { upkeep }
    }

    async fn attempt(&self) -> anyhow::Result<More> {
        let call = self.upkeep.roll_up_usage();
        let rolled = call.await.context("roll usage up at the api")?;
        metrics::dealt(metrics::SESSIONS_ROLLED_UP, rolled.rolled_up.into());
        Ok(More(rolled.more))
    }
}

impl Job for RollUpUsage {
    fn kind(&self) -> &'static str {
        Self::KIND
    }

    fn policy(&self) -> Policy {
        MINUTE_POLICY
    }

    fn run(self: Arc<Self>, run: Run) -> BoxFuture<'static, Result<Done, Failure>> {
        async move { until_done(&run, || self.attempt()).await }.boxed()
    }
}
