//! Has leases signed by the next key once the current one has signed for long enough.

use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use futures_util::FutureExt;
use futures_util::future::BoxFuture;

use super::MINUTE_POLICY;
use crate::job::{Done, Failure, Job, Policy, Run};
use crate::metrics::upkeep as metrics;
use crate::upkeep::Upkeep;

/// The job.
pub struct RotateKeys {
    upkeep: Upkeep,
    signs_for: Duration,
}

impl RotateKeys {
    /// Its kind.
    pub const KIND: &'static str = "rotate_keys";

    pub(crate) fn new(upkeep: Upkeep, signs_for: Duration) -> Self {
        Self { upkeep, signs_for }
    }

    async fn attempt(&self) -> Result<Done, Failure> {
        let call = self.upkeep.rotate_keys(self.signs_for);
        let kid = call.await.context("rotate lease keys at the api")?;
        metrics::dealt(metrics::KEYS_ROTATED, u64::from(!kid.is_empty()));
        Ok(Done::Completed)
    }
}

impl Job for RotateKeys {
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
