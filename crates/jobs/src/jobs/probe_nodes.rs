//! Calls every node at its public address, as a phone would, and tells the control plane
//! which answered: a node that is heard may still be out of reach.
//!
//! It is worth as much as the place it runs at is outside of the nodes.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, anyhow};
use futures_util::future::BoxFuture;
use futures_util::{FutureExt, StreamExt as _, stream};
use proto::fleet::{Probe, ProbeTarget};

use super::MINUTE_POLICY;
use crate::job::{Done, Failure, Job, Policy, Run};
use crate::metrics::upkeep as metrics;
use crate::probe::{Error, call};
use crate::upkeep::Upkeep;

/// Nodes called at the same time.
const CALLS_MAX: usize = 32;
/// What the api is told at once.
const TOLD_MAX: usize = 100;
/// From so many on, nobody's answer is our own trouble.
const CROWD: usize = 3;

/// The job.
pub struct ProbeNodes {
    upkeep: Upkeep,
}

impl ProbeNodes {
    /// Its kind.
    pub const KIND: &'static str = "probe_nodes";

    pub(crate) fn new(upkeep: Upkeep) -> Self {
        Self { upkeep }
    }

    async fn attempt(&self, run: &Run) -> Result<Done, Failure> {
        let mut probes = Vec::new();
        let mut after = String::new();
        loop {
            let targets = self.upkeep.probe_targets(after).await;
            let targets = targets.context("ask the api for nodes")?;
            let calls = stream::iter(targets.targets).map(probed);
            probes.extend(calls.buffer_unordered(CALLS_MAX).collect::<Vec<_>>().await);
            after = targets.next_after_node_id;
            if after.is_empty() || run.stopping.is_cancelled() {
                break;
            }
        }
        let is_anybody_there = probes.iter().any(|probe| probe.failure.is_empty());
        if probes.len() >= CROWD && !is_anybody_there {
            let message = "none of the nodes answers: may this machine send UDP to them?";
            return Err(Failure::Retry(anyhow!(message)));
        }
        let mut unreachable = 0;
        for batch in probes.chunks(TOLD_MAX) {
            let told = self.upkeep.record_probes(batch.to_vec()).await;
            unreachable += told.context("tell the api who answered")?.len();
        }
        metrics::unreachable_nodes(unreachable);
        Ok(Done::Completed)
    }
}

async fn probed(target: ProbeTarget) -> Probe {
    let port = u16::try_from(target.port).unwrap_or_default();
    let called = call(&target.host, port).await;
    metrics::probed(called.as_ref().map_err(Error::as_str));
    match called {
        Ok(rtt) => Probe {
            node_id: target.node_id,
            rtt_us: u64::try_from(rtt.as_micros()).unwrap_or(u64::MAX),
            failure: String::new(),
        },
        Err(error) => Probe {
            node_id: target.node_id,
            rtt_us: 0,
            failure: error.to_string(),
        },
    }
}

impl Job for ProbeNodes {
    fn kind(&self) -> &'static str {
        Self::KIND
    }

    fn policy(&self) -> Policy {
        Policy {
            timeout: Duration::from_secs(300),
            ..MINUTE_POLICY
        }
    }

    fn run(self: Arc<Self>, run: Run) -> BoxFuture<'static, Result<Done, Failure>> {
        async move { self.attempt(&run).await }.boxed()
    }
}
