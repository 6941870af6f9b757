//! Where batches go from here: to the database, or to a log that others write from.

use std::sync::Arc;

use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use service_kit::Context;
use storage::Pool;

use super::sink::Sink;
use super::slis::Slis;
use super::spool::Bridge;
use super::writers::Writers;
use crate::config::Config;
use crate::database;

/// What goes on behind a way out until the service stops, and nobody has the way any more. It is
/// told what a spool before it bridges.
pub(crate) type Behind = Box<dyn FnOnce(Option<Bridge>) -> BoxFuture<'static, ()> + Send>;

/// The way out.
pub(crate) struct Outlet {
    pub(crate) sink: Arc<dyn Sink>,
    /// The connections of those who write, if this gateway does.
    pub(crate) pool: Option<Pool>,
    pub(crate) work: Behind,
}

impl Outlet {
    /// As it is configured.
    ///
    /// # Errors
    /// When the database's or the log's setting is not what it should be.
    #[cfg_attr(
        not(feature = "nats"),
        allow(unused_variables, reason = "only a log needs to know of the service")
    )]
    pub(crate) async fn open(
        config: &Config,
        context: &Context,
        slis: &Arc<Slis>,
    ) -> anyhow::Result<Self> {
        #[cfg(feature = "nats")]
        if config.events.nats.is_set() {
            return super::nats::open(config, context, slis).await;
        }
        Self::to_database(config, slis)
    }

    /// Straight to the database.
    pub(crate) fn to_database(config: &Config, slis: &Arc<Slis>) -> anyhow::Result<Self> {
        let pool = database::open_intake(config)?;
        let (writers, work) = Writers::start(&pool, config.events.settings(), slis);
        Ok(Self {
            sink: Arc::new(writers),
            pool: Some(pool),
            // How the database is, others watch.
            work: Box::new(|_bridge| work.boxed()),
        })
    }
}
