//! Drops tokens that open nothing any more, in batches.

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
pub struct ExpireTokens {
    upkeep: Upkeep,
}

impl ExpireTokens {
    /// Its kind.
    pub const KIND: &'static str = "expire_tokens";

    pub(crate) fn new(upkeep: Upkeep) -> Self {
        Self { upkeep }
    }

    async fn attempt(&self) -> anyhow::Result<More> {
        let call = self.upkeep.expire_tokens();
        let dropped = call.await.context("expire tokens at the api")?;
        metrics::dealt(metrics::TOKENS_EXPIRED, dropped.expired.into());
        Ok(More(dropped.more))
    }
}

impl Job for ExpireTokens {
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
