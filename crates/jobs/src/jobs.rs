//! The work itself: one file a job.

mod archive_log;
mod archive_telemetry;
mod backup_database;
mod batches;
mod buy_advice;
mod deliver_webhook;
mod expire_bans;
mod expire_sessions;
mod expire_tokens;
mod plan_moves;
mod probe_nodes;
mod reap_provisioning;
mod reconcile_outage;
mod roll_up_usage;
mod rotate_keys;
mod settle_budgets;
mod sweep_nodes;
mod sync_dns;
mod telemetry_partitions;
mod telemetry_retention;
mod verify_backup;

use std::sync::Arc;
use std::time::Duration;

pub use archive_log::ArchiveLog;
pub use archive_telemetry::ArchiveTelemetry;
pub use backup_database::BackupDatabase;
pub use buy_advice::BuyAdvice;
pub use deliver_webhook::DeliverWebhook;
pub use expire_bans::ExpireBans;
pub use expire_sessions::ExpireSessions;
pub use expire_tokens::ExpireTokens;
pub use plan_moves::PlanMoves;
pub use probe_nodes::ProbeNodes;
pub use reap_provisioning::ReapProvisioning;
pub use reconcile_outage::ReconcileOutage;
pub use roll_up_usage::RollUpUsage;
pub use rotate_keys::RotateKeys;
pub use settle_budgets::SettleBudgets;
pub use sweep_nodes::SweepNodes;
pub use sync_dns::SyncDns;
pub use telemetry_partitions::TelemetryPartitions;
pub use telemetry_retention::{KeptRows, TelemetryRetention};
pub use verify_backup::VerifyBackup;

use backup::Archive;
use model::clock::Clock;
use storage::Pool;

use crate::backups::Vault;
use crate::config::Config;
use crate::control::Control;
use crate::job::{Policy, Registry};
use crate::shelf::Shelf;
use crate::upkeep::Upkeep;

/// What the control plane is asked to do when it is time: a node is offline when it has been
/// silent for `offline_after`, a key signs leases for `signs_for`.
#[must_use]
pub fn registry(
    control: &Control,
    upkeep: &Upkeep,
    offline_after: Duration,
    signs_for: Duration,
) -> Registry {
    Registry::default()
        .with(BuyAdvice::new(upkeep.clone()))
        .with(ExpireBans::new(upkeep.clone()))
        .with(ExpireSessions::new(control.clone()))
        .with(ExpireTokens::new(upkeep.clone()))
        .with(PlanMoves::new(upkeep.clone()))
        .with(ProbeNodes::new(upkeep.clone()))
        .with(ReapProvisioning::new(upkeep.clone()))
        .with(ReconcileOutage::new(upkeep.clone()))
        .with(RollUpUsage::new(upkeep.clone()))
        .with(RotateKeys::new(upkeep.clone(), signs_for))
        .with(SettleBudgets::new(upkeep.clone()))
        .with(SweepNodes::new(control.clone(), offline_after))
}

/// And what it can do where backups have a place to go.
#[must_use]
pub fn with_backups(registry: Registry, vault: &Arc<Vault>) -> Registry {
    let registry = registry
        .with(BackupDatabase::new(vault.clone()))
        .with(ArchiveLog::new(vault.clone()));
    match &vault.identities {
        Some(identities) => registry.with(VerifyBackup::new(vault.clone(), identities.clone())),
        None => registry,
    }
}

/// And what becomes of telemetry whose time is over, where somebody has said it.
pub(crate) fn with_retention(
    registry: Registry,
    (pool, clock): (&Pool, &Arc<dyn Clock>),
    config: &Config,
    archive: Option<Archive>,
) -> Registry {
    let kept = config.telemetry.kept_rows();
    let shelf = Shelf::new(pool.clone(), clock.clone(), archive);
    registry
        .with(TelemetryRetention::new(pool.clone(), clock.clone(), kept))
        .with(ArchiveTelemetry::new(pool.clone(), shelf))
}

/// For work that comes round every few seconds: a failure is soon tried again,
/// and an outage of minutes is one waiting job.
const SWEEP_POLICY: Policy = Policy {
    timeout: Duration::from_secs(30),
    attempts_max: 200,
    backoff_max: Duration::from_secs(5),
};

/// For work that comes round every minute or less often.
const MINUTE_POLICY: Policy = Policy {
    timeout: Duration::from_secs(120),
    attempts_max: 50,
    backoff_max: Duration::from_secs(60),
};
