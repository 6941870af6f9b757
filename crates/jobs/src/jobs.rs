//! The work itself: one file a job.

mod deliver_webhook;
mod expire_sessions;
mod sweep_nodes;
mod sync_dns;

use std::time::Duration;

pub use deliver_webhook::DeliverWebhook;
pub use expire_sessions::ExpireSessions;
pub use sweep_nodes::SweepNodes;
pub use sync_dns::SyncDns;

use crate::control::Control;
use crate::job::{Policy, Registry};

/// Everything this service can do.
#[must_use]
pub fn registry(control: &Control, offline_after: Duration) -> Registry {
    Registry::default()
        .with(ExpireSessions::new(control.clone()))
        .with(SweepNodes::new(control.clone(), offline_after))
}

/// For work that comes round every few seconds: a failure is soon tried again,
/// and an outage of minutes is one waiting job.
const SWEEP_POLICY: Policy = Policy {
    timeout: Duration::from_secs(30),
    attempts_max: 200,
    backoff_max: Duration::from_secs(5),
};
