//! Stores what the database's server has written to its log, so that any instant can be restored.

use std::sync::Arc;
use std::time::Duration;

use backup::Error;
use futures_util::FutureExt;
use futures_util::future::BoxFuture;

use crate::backups::{Vault, attempt};
use crate::job::{Done, Failure, Job, Policy, Run};

/// The job.
pub struct ArchiveLog {
    vault: Arc<Vault>,
}

impl ArchiveLog {
    /// Its kind.
    pub const KIND: &'static str = "archive_log";
    /// Its queue.
    pub const QUEUE: &'static str = "log";

    pub(crate) const fn new(vault: Arc<Vault>) -> Self {
        Self { vault }
    }

    async fn archive(&self) -> Result<(), Error> {
        match self.vault.backups.archive_log(self.vault.url()).await {
            // The first backup will begin it.
            Err(Error::Nothing(_)) => Ok(()),
            archived => archived,
        }
    }
}

impl Job for ArchiveLog {
    fn kind(&self) -> &'static str {
        Self::KIND
    }

    /// It must not wait for a backup, which may take hours.
    fn queue(&self) -> &'static str {
        Self::QUEUE
    }

    fn policy(&self) -> Policy {
        Policy {
            timeout: Duration::from_secs(3600),
            attempts_max: 100,
            backoff_max: Duration::from_secs(300),
        }
    }

    fn run(self: Arc<Self>, run: Run) -> BoxFuture<'static, Result<Done, Failure>> {
        async move { attempt(Self::KIND, &run, self.archive()).await }.boxed()
    }
}
