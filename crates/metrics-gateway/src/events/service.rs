//! All of it, put together: what requests come in by, and the work behind.

use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use model::clock::Clock;
use service_kit::Readiness;
use service_kit::seal::SealingKey;
use storage::Pool;
use tokio_util::sync::CancellationToken;

use super::admin::Admin;
use super::directory::Directory;
use super::writers::Writers;
use super::{Intake, days};
use crate::config::Config;
use crate::database;

const DAYS_INTERVAL: Duration = Duration::from_secs(1);

/// Events of apps.
pub(crate) struct Events {
    pub(crate) intake: Arc<Intake>,
    pub(crate) admin: Admin,
    pub(crate) work: Work,
}

/// What goes on while the service runs.
pub(crate) struct Work {
    /// The writers' connections.
    pub(crate) pool: Pool,
    directory: Arc<Directory>,
    writers: BoxFuture<'static, ()>,
    clock: Arc<dyn Clock>,
}

impl Events {
    /// All of it, if apps may send anything here.
    pub(crate) fn open(
        config: &Config,
        pool: Option<&Pool>,
        clock: &Arc<dyn Clock>,
    ) -> anyhow::Result<Option<Self>> {
        let its = &config.events;
        let (Some(pool), Some(file)) = (pool, &its.sealing_key_file) else {
            return Ok(None);
        };
        let key = Arc::new(SealingKey::read(file).context("events.sealing_key_file")?);
        let writers_pool = database::open_intake(config)?;
        let directory = Directory::new(pool.clone(), key.clone(), clock.clone());
        let directory = Arc::new(directory);
        let (sink, writers) = Writers::start(&writers_pool, its.settings(), clock);
        let intake = Intake {
            directory: directory.clone(),
            sink: Arc::new(sink),
            nonces: its.nonces(),
            bodies: its.bodies(),
            clock: clock.clone(),
            window: its.window(),
            times: its.times(),
        };
        let admin = Admin {
            pool: pool.clone(),
            key,
            directory: directory.clone(),
            clock: clock.clone(),
        };
        let work = Work {
            pool: writers_pool,
            directory,
            writers: writers.boxed(),
            clock: clock.clone(),
        };
        Ok(Some(Self {
            intake: Arc::new(intake),
            admin,
            work,
        }))
    }
}

impl Work {
    /// Works until the service stops and the last request is answered. Nobody is known before
    /// there are partitions, so nothing comes before.
    pub(crate) async fn run(self, readiness: &Readiness, stopping: &CancellationToken) {
        let follow = async {
            make_days(&self.pool, &*self.clock, stopping).await;
            self.directory.follow(readiness, stopping).await;
        };
        tokio::join!(follow, self.writers);
        self.pool.close().await;
    }
}

async fn make_days(pool: &Pool, clock: &dyn Clock, stopping: &CancellationToken) {
    while let Err(error) = days::make(pool, clock.now()).await {
        tracing::warn!(%error, "partitions for events cannot be made; trying on");
        tokio::select! {
            () = stopping.cancelled() => return,
            () = tokio::time::sleep(DAYS_INTERVAL) => {}
        }
    }
}
