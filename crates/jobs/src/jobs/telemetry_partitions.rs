//! Has the metrics-gateway make the partitions that events of the next days need.

use std::sync::Arc;

use anyhow::Context;
use futures_util::FutureExt;
use futures_util::future::BoxFuture;

use super::SWEEP_POLICY;
use crate::gateway::Gateway;
use crate::job::{Done, Failure, Job, Policy, Run};
use crate::metrics::upkeep as metrics;

/// The job.
pub struct TelemetryPartitions {
    gateway: Gateway,
}

impl TelemetryPartitions {
    /// Its kind.
    pub const KIND: &'static str = "telemetry_partitions";

    /// The job, at that gateway.
    #[must_use]
    pub fn new(gateway: Gateway) -> Self {
        Self { gateway }
    }

    async fn attempt(&self) -> Result<Done, Failure> {
        let call = self.gateway.make_partitions();
        let made = call.await.context("make partitions at the gateway")?;
        metrics::dealt(metrics::PARTITIONS_MADE, made.made.into());
        Ok(Done::Completed)
    }
}

impl Job for TelemetryPartitions {
    fn kind(&self) -> &'static str {
        Self::KIND
    }

    /// Writers, or a gateway that starts, may be in the way for a moment.
    fn policy(&self) -> Policy {
        SWEEP_POLICY
    }

    fn run(self: Arc<Self>, _run: Run) -> BoxFuture<'static, Result<Done, Failure>> {
        async move { self.attempt().await }.boxed()
    }
}
