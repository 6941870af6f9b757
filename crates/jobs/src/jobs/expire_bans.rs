//! Ends bans whose time is over. Nobody is held to one any longer than that in any case.

use std::sync::Arc;

use anyhow::Context;
use futures_util::FutureExt;
use futures_util::future::BoxFuture;

use super::SWEEP_POLICY;
use crate::job::{Done, Failure, Job, Policy, Run};
use crate::metrics::upkeep as metrics;
use crate::upkeep::Upkeep;

/// The job.
pub struct ExpireBans {
    upkeep: Upkeep,
}

impl ExpireBans {
    /// Its kind.
    pub const KIND: &'static str = "expire_bans";

    pub(crate) fn new(upkeep: Upkeep) -> Self {
        Self { upkeep }
    }

    async fn attempt(&self) -> Result<Done, Failure> {
        let call = self.upkeep.expire_bans();
        let expired = call.await.context("expire bans at the api")?;
        metrics::dealt(metrics::BANS_EXPIRED, expired.len() as u64);
        Ok(Done::Completed)
    }
}

impl Job for ExpireBans {
    fn kind(&self) -> &'static str {
        Self::KIND
    }

    fn policy(&self) -> Policy {
        SWEEP_POLICY
    }

    fn run(self: Arc<Self>, _run: Run) -> BoxFuture<'static, Result<Done, Failure>> {
        async move { self.attempt().await }.boxed()
    }
}
