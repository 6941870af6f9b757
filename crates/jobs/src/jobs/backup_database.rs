//! Backs the database up, into every destination.

use std::sync::Arc;
use std::time::Duration;

use backup::Error;
use futures_util::FutureExt;
use futures_util::future::BoxFuture;

use crate::backups::{Vault, attempt};
use crate::job::{Done, Failure, Job, Policy, Run};

/// The job.
pub struct BackupDatabase {
    vault: Arc<Vault>,
}

impl BackupDatabase {
    /// Its kind.
    pub const KIND: &'static str = "backup_database";
    /// Its queue.
    pub const QUEUE: &'static str = "backups";

    pub(crate) const fn new(vault: Arc<Vault>) -> Self {
        Self { vault }
    }

    async fn back_up(&self) -> Result<(), Error> {
        let taken = self.vault.backups.take(self.vault.url()).await?;
        tracing::info!(
            backup.id = taken.manifest.id,
            bytes = taken.manifest.base.bytes,
            destinations = taken.stored.join(", "),
            "backed the database up"
        );
        taken.failures.into_iter().next().map_or(Ok(()), Err)
    }
}

/// For what takes as long as the database is large.
pub(super) const LONG_POLICY: Policy = Policy {
    timeout: Duration::from_secs(12 * 3600),
    attempts_max: 5,
    backoff_max: Duration::from_secs(3600),
};

impl Job for BackupDatabase {
    fn kind(&self) -> &'static str {
        Self::KIND
    }

    /// It is long, and nothing else waits for it.
    fn queue(&self) -> &'static str {
        Self::QUEUE
    }

    fn policy(&self) -> Policy {
        LONG_POLICY
    }

    fn run(self: Arc<Self>, run: Run) -> BoxFuture<'static, Result<Done, Failure>> {
        async move { attempt(Self::KIND, &run, self.back_up()).await }.boxed()
    }
}
