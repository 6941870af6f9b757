//! The database of an instance: a private cluster, or one that was given.

use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use secrecy::{ExposeSecret as _, SecretString};
use storage::cluster::{Cluster, ClusterConfig};

/// Between two looks at the private server.
const LOOK_INTERVAL: Duration = Duration::from_millis(500);
const BACKOFF_MAX: Duration = Duration::from_secs(10);

/// The database of an instance.
pub(super) struct Database {
    url: SecretString,
    cluster: Option<Cluster>,
    next_look: Instant,
    backoff: Duration,
}

impl Database {
    /// The given one, else a private cluster under `state_dir`, started now.
    pub(super) fn open(given: Option<&str>, state_dir: &Path) -> anyhow::Result<Self> {
        let (url, cluster) = match given {
            Some(url) => (url.to_owned(), None),
            None => {
                let cluster = start(state_dir)?;
                (cluster.url(), Some(cluster))
            }
        };
        storage::check_url(&url).context("--database-url")?;
        Ok(Self {
            url: url.into(),
            cluster,
            next_look: Instant::now(),
            backoff: LOOK_INTERVAL,
        })
    }

    pub(super) fn url(&self) -> SecretString {
        self.url.clone()
    }

    /// Brings the schema up to date.
    pub(super) fn migrate(&self) -> anyhow::Result<()> {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()?;
        runtime.block_on(async {
            let pool = storage::connect("up", self.url.expose_secret(), 1)?;
            let migrated = storage::migrate(&pool).await;
            pool.close().await;
            migrated.context("cannot bring the database's schema up to date")
        })
    }

    /// Starts the private server again if it died; call it often.
    pub(super) fn keep_up(&mut self) {
        let Some(cluster) = &mut self.cluster else {
            return;
        };
        if Instant::now() < self.next_look {
            return;
        }
        if !cluster.has_died() {
            self.next_look = Instant::now() + LOOK_INTERVAL;
            self.backoff = LOOK_INTERVAL;
            return;
        }
        tracing::error!("PostgreSQL ended; starting it again");
        if let Err(error) = cluster.restart() {
            tracing::error!("PostgreSQL does not start: {error}");
            self.backoff = (self.backoff * 2).min(BACKOFF_MAX);
        }
        self.next_look = Instant::now() + self.backoff;
    }

    /// Stops the private server.
    pub(super) fn close(self) -> anyhow::Result<()> {
        self.cluster
            .map_or(Ok(()), Cluster::stop)
            .context("stop PostgreSQL")
    }
}

fn start(state_dir: &Path) -> anyhow::Result<Cluster> {
    let binaries = Cluster::find_binaries()
        .context("give a database of your own with --database-url, or install one")?;
    Ok(Cluster::start(
        &ClusterConfig::in_state_dir(state_dir),
        &binaries,
    )?)
}
