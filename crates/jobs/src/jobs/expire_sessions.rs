//! Stops sessions whose lease ran out; the control plane tells their nodes.

use std::sync::Arc;

use anyhow::Context;
use futures_util::FutureExt;
use futures_util::future::BoxFuture;

use super::SWEEP_POLICY;
use super::batches::{More, until_done};
use crate::control::Control;
use crate::job::{Done, Failure, Job, Policy, Run};
use crate::metrics;

/// Sessions per call, so that no call is long.
const BATCH_MAX: u32 = 100;

/// The job.
pub struct ExpireSessions {
    control: Control,
}

impl ExpireSessions {
    /// Its kind.
    pub const KIND: &'static str = "expire_sessions";

    pub(crate) fn new(control: Control) -> Self {
        Self { control }
    }

    async fn expire(&self) -> anyhow::Result<More> {
        let call = self.control.expire_sessions(BATCH_MAX);
        let expired = call.await.context("expire sessions at the api")?;
        metrics::sessions_expired(expired.len());
        Ok(More(expired.len() >= BATCH_MAX as usize))
    }
}

impl Job for ExpireSessions {
    fn kind(&self) -> &'static str {
        Self::KIND
    }

    fn policy(&self) -> Policy {
        SWEEP_POLICY
    }

    fn run(self: Arc<Self>, run: Run) -> BoxFuture<'static, Result<Done, Failure>> {
        async move { until_done(&run, || self.expire()).await }.boxed()
    }
}
