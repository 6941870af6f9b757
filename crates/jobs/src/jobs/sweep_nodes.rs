//! Marks nodes offline that have not sent a heartbeat for too long.

use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use futures_util::FutureExt;
use futures_util::future::BoxFuture;

use super::SWEEP_POLICY;
use crate::control::Control;
use crate::job::{Done, Failure, Job, Policy, Run};
use crate::metrics;

/// The job.
pub struct SweepNodes {
    control: Control,
    silent_after: Duration,
}

impl SweepNodes {
    /// Its kind.
    pub const KIND: &'static str = "sweep_nodes";

    pub(crate) fn new(control: Control, silent_after: Duration) -> Self {
        Self {
            control,
            silent_after,
        }
    }

    async fn sweep(&self) -> Result<Done, Failure> {
        let call = self.control.sweep_nodes(self.silent_after);
        let swept = call.await.context("sweep nodes at the api")?;
        metrics::nodes_swept(swept.len());
        Ok(Done::Completed)
    }
}

impl Job for SweepNodes {
    fn kind(&self) -> &'static str {
        Self::KIND
    }

    fn policy(&self) -> Policy {
        SWEEP_POLICY
    }

    fn run(self: Arc<Self>, _run: Run) -> BoxFuture<'static, Result<Done, Failure>> {
        async move { self.sweep().await }.boxed()
    }
}
