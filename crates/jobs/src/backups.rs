//! The database's backups, as jobs make them, and what is shown of them.

use std::sync::Arc;
use std::time::Duration;

use backup::{Backups, Config, Error, Identities};
use secrecy::{ExposeSecret as _, SecretString};
use storage::Pool;
use storage::backup::Database;
use tokio_util::sync::CancellationToken;

use crate::engine::Outage;
use crate::job::{Done, Failure, Run};
use crate::metrics;

/// Between two looks at what the database remembers.
const LOOK_INTERVAL: Duration = Duration::from_secs(15);
/// How long one waits while another process is at it, or after a stop.
const SNOOZE: Duration = Duration::from_secs(60);

/// Everything that the jobs need for backups.
pub struct Vault {
    pub(crate) backups: Backups,
    pub(crate) identities: Option<Identities>,
    pub(crate) url: SecretString,
    slot: String,
}

impl Vault {
    /// Backups of the database at `url`. None: nowhere to put them.
    ///
    /// # Errors
    /// When a destination or the key cannot be used.
    pub fn open(config: &Config, url: &SecretString) -> Result<Option<Arc<Self>>, Error> {
        if !config.is_on() {
            return Ok(None);
        }
        let identities = match &config.identity_file {
            Some(file) => Some(Identities::read(file)?),
            None => config.unencrypted.then(Identities::default),
        };
        Ok(Some(Arc::new(Self {
            backups: Backups::open(config, Arc::new(|_| {}))?,
            identities,
            url: Backups::database_url(config)?.unwrap_or_else(|| url.clone()),
            slot: config.slot.clone(),
        })))
    }

    pub(crate) fn url(&self) -> &str {
        self.url.expose_secret()
    }

    /// Shows what the database remembers, until the service stops.
    pub(crate) async fn watch(&self, pool: Pool, stopping: CancellationToken) {
        let mut outage = Outage::new("looking at backups");
        loop {
            if let Some((records, slot)) = outage.note(self.look(&pool).await) {
                for destination in self.backups.destinations() {
                    let name = destination.name();
                    let record = records.iter().find(|it| it.made.destination == name);
                    metrics::backup(name, record);
                }
                metrics::backup_log(slot);
            }
            tokio::select! {
                () = stopping.cancelled() => return,
                () = tokio::time::sleep(LOOK_INTERVAL) => {}
            }
        }
    }

    async fn look(
        &self,
        pool: &Pool,
    ) -> Result<(Vec<storage::backup::Record>, Option<storage::backup::Slot>), storage::Error> {
        let records = storage::backup::records(pool).await?;
        let database = Database::new(self.url());
        let slot = match database {
            Ok(database) => database.slot(&self.slot).await?,
            Err(_) => None,
        };
        Ok((records, slot))
    }
}

/// Works until the service stops; then, and while somebody else is at it, later.
pub(crate) async fn attempt(
    job: &'static str,
    run: &Run,
    work: impl Future<Output = Result<(), Error>>,
) -> Result<Done, Failure> {
    let done = tokio::select! {
        () = run.stopping.cancelled() => Err(Error::Stopped),
        done = work => done,
    };
    match done {
        Ok(()) => Ok(Done::Completed),
        Err(Error::Busy | Error::Stopped) => Ok(Done::Snooze(SNOOZE)),
        Err(error) => {
            metrics::backup_failed(job, &error);
            Err(Failure::Retry(error.into()))
        }
    }
}
