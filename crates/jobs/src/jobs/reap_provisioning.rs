//! Stops sessions that their nodes never confirmed.

use std::sync::Arc;

use anyhow::Context;
use futures_util::FutureExt;
use futures_util::future::BoxFuture;

use super::MINUTE_POLICY;
use super::batches::{More, until_done};
use crate::job::{Done, Failure, Job, Policy, Run};
use crate::metrics::upkeep as metrics;
use crate::upkeep::Upkeep;

/// Sessions per call, so that no call is long.
const BATCH_MAX: u32 = 100;

/// The job.
pub struct ReapProvisioning {
    upkeep: Upkeep,
}

impl ReapProvisioning {
    /// Its kind.
    pub const KIND: &'static str = "reap_provisioning";

    pub(crate) fn new(upkeep: Upkeep) -> Self {
        Self { upkeep }
    }

    async fn attempt(&self) -> anyhow::Result<More> {
        let call = self.upkeep.reap_provisioning(BATCH_MAX);
        let reaped = call.await.context("reap sessions at the api")?;
        metrics::dealt(metrics::SESSIONS_REAPED, reaped.len() as u64);
        Ok(More(reaped.len() >= BATCH_MAX as usize))
    }
}

impl Job for ReapProvisioning {
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
