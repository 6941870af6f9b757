//! Makes recorded usage agree with what nodes carried while nobody counted: it may raise what
//! counts, and lower it.

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
pub struct ReconcileOutage {
    upkeep: Upkeep,
}

impl ReconcileOutage {
    /// Its kind.
    pub const KIND: &'static str = "reconcile_outage";

    pub(crate) fn new(upkeep: Upkeep) -> Self {
        Self { upkeep }
    }

    async fn attempt(&self) -> anyhow::Result<More> {
        let call = self.upkeep.reconcile_outage();
        let done = call.await.context("reconcile usage at the api")?;
        metrics::reconciled(&done);
        Ok(More(done.more))
    }
}

impl Job for ReconcileOutage {
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
