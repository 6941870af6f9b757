//! All of it, put together: what requests come in by, and the work behind.

use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use model::clock::Clock;
use service_kit::seal::SealingKey;
use service_kit::{Context, Readiness};
use storage::Pool;
use tokio_util::sync::CancellationToken;

use super::admin::Admin;
use super::directory::Directory;
use super::outlet::{Behind, Outlet};
use super::slis::Slis;
use super::spool::{self, Bridge};
use super::{Intake, days};
use crate::config::Config;
use crate::database;
use crate::queries::Queries;

const DAYS_INTERVAL: Duration = Duration::from_secs(1);

/// Events of apps.
pub(crate) struct Events {
    pub(crate) intake: Arc<Intake>,
    pub(crate) queries: Arc<Queries>,
    pub(crate) admin: Admin,
    pub(crate) work: Work,
}

/// What goes on while the service runs.
pub(crate) struct Work {
    pool: Pool,
    /// The writers' connections, if there are writers.
    pub(crate) writers_pool: Option<Pool>,
    /// The connections of those who ask.
    pub(crate) readers: Pool,
    directory: Arc<Directory>,
    outlet: Behind,
    spool: Option<spool::Work>,
    clock: Arc<dyn Clock>,
}

impl Events {
    /// All of it, if apps may send anything here.
    pub(crate) async fn open(
        config: &Config,
        pool: Option<&Pool>,
        context: &Context,
    ) -> anyhow::Result<Option<Self>> {
        let (its, clock) = (&config.events, &context.clock);
        let (Some(pool), Some(file)) = (pool, &its.sealing_key_file) else {
            return Ok(None);
        };
        let key = Arc::new(SealingKey::read(file).context("events.sealing_key_file")?);
        let directory = Directory::new(pool.clone(), key.clone(), clock.clone());
        let directory = Arc::new(directory);
        let slis = Arc::new(Slis {
            directory: directory.clone(),
            clock: clock.clone(),
        });
        let outlet = Outlet::open(config, context, &slis).await?;
        let (sink, spool) = its.spool.before(outlet.sink, clock)?;
        let intake = Intake {
            directory: directory.clone(),
            sink,
            nonces: its.nonces(),
            bodies: its.bodies(),
            clock: clock.clone(),
            window: its.window(),
            times: its.times(),
        };
        let readers = database::open_readers(config)?;
        let queries = Queries::new(
            (readers.clone(), config.queries.bounds()),
            directory.clone(),
            clock.clone(),
            context.shutdown.clone(),
        );
        let queries = Arc::new(queries);
        let admin = Admin {
            pool: pool.clone(),
            key,
            directory: directory.clone(),
            clock: clock.clone(),
            queries: queries.clone(),
        };
        let work = Work {
            pool: pool.clone(),
            writers_pool: outlet.pool,
            readers,
            directory,
            outlet: outlet.work,
            spool,
            clock: clock.clone(),
        };
        Ok(Some(Self {
            intake: Arc::new(intake),
            queries,
            admin,
            work,
        }))
    }
}

impl Work {
    /// Whether events are taken while the database is away, or a log on the way there.
    pub(crate) fn bridge(&self) -> Option<Bridge> {
        self.spool.as_ref().map(spool::Work::bridge)
    }

    /// Works until the service stops and the last request is answered. Nobody is known before
    /// there are partitions, so nothing comes before.
    pub(crate) async fn run(self, readiness: &Readiness, stopping: &CancellationToken) {
        let bridge = self.bridge();
        let outlet = (self.outlet)(bridge);
        let follow = async {
            make_days(&self.pool, &*self.clock, stopping).await;
            self.directory.follow(readiness, stopping).await;
        };
        let replay = async {
            if let Some(spool) = self.spool {
                spool.run(stopping).await;
            }
        };
        tokio::join!(follow, outlet, replay);
        if let Some(pool) = self.writers_pool {
            pool.close().await;
        }
        self.readers.close().await;
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
