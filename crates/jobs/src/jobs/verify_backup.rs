//! Restores the newest backup of each destination for a while, and compares every table.

use std::sync::Arc;

use backup::{Destination, Error, Identities};
use futures_util::FutureExt;
use futures_util::future::BoxFuture;

use super::backup_database::{BackupDatabase, LONG_POLICY};
use crate::backups::{Vault, attempt};
use crate::job::{Done, Failure, Job, Policy, Run};

/// The job.
pub struct VerifyBackup {
    vault: Arc<Vault>,
    identities: Identities,
}

impl VerifyBackup {
    /// Its kind.
    pub const KIND: &'static str = "verify_backup";

    pub(crate) const fn new(vault: Arc<Vault>, identities: Identities) -> Self {
        Self { vault, identities }
    }

    /// Every destination has its turn, whatever another one said.
    async fn verify(&self) -> Result<(), Error> {
        let mut outcome = Ok(());
        for destination in self.vault.backups.destinations() {
            outcome = outcome.and(self.verify_one(destination).await);
        }
        outcome
    }

    async fn verify_one(&self, destination: &Destination) -> Result<(), Error> {
        let listed = destination.list().await?;
        let newest = listed.iter().find(|it| it.manifest.is_some());
        if newest.is_some_and(|it| it.proof.is_some()) {
            return Ok(());
        }
        let backups = &self.vault.backups;
        let verified = backups.verify(destination, None, &self.identities).await?;
        tracing::info!(
            backup.id = verified.manifest.id,
            destination = destination.name(),
            rows = verified.proof.rows,
            deleted = verified.deleted.len(),
            "a backup came back as it was"
        );
        backups
            .record(self.vault.url(), destination, &verified)
            .await
    }
}

impl Job for VerifyBackup {
    fn kind(&self) -> &'static str {
        Self::KIND
    }

    /// That of backups: never beside one.
    fn queue(&self) -> &'static str {
        BackupDatabase::QUEUE
    }

    fn policy(&self) -> Policy {
        LONG_POLICY
    }

    fn run(self: Arc<Self>, run: Run) -> BoxFuture<'static, Result<Done, Failure>> {
        async move { attempt(Self::KIND, &run, self.verify()).await }.boxed()
    }
}
