//! Looks when each region's bytes run out, before they do: a metric an alert can watch, and a
//! line in the log. What to add, `streamhaul fleet advice` says.

use std::sync::Arc;

use anyhow::Context;
use futures_util::FutureExt;
use futures_util::future::BoxFuture;

use super::MINUTE_POLICY;
use crate::job::{Done, Failure, Job, Policy, Run};
use crate::metrics::upkeep as metrics;
use crate::upkeep::Upkeep;

/// The job.
pub struct BuyAdvice {
    upkeep: Upkeep,
}

impl BuyAdvice {
    /// Its kind.
    pub const KIND: &'static str = "buy_advice";

    pub(crate) fn new(upkeep: Upkeep) -> Self {
        Self { upkeep }
    }

    async fn attempt(&self) -> Result<Done, Failure> {
        let advice = self.upkeep.advise_fleet().await;
        let regions = advice.context("ask the api for advice")?;
        for it in regions.iter().filter(|it| it.runs_out_unix_ms > 0) {
            tracing::warn!(
                region = it.region,
                runs_out_unix_ms = it.runs_out_unix_ms,
                missing_bytes_per_day = it.missing_bytes_per_day,
                "A region's bytes run out; `streamhaul fleet advice` says what to add"
            );
        }
        metrics::fleet_advice(&regions);
        Ok(Done::Completed)
    }
}

impl Job for BuyAdvice {
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
