//! One worker process of the drill: the engine with the drill's jobs, until it is killed.

use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use jobs::engine::{self, Settings};
use jobs::job::{Done, Failure, Job, Policy, Registry, Run};
use storage::queue::Queue;
use testkit::ledger;
use tokio_util::sync::CancellationToken;

use super::LEASE;

/// Jobs whose effect and completion are one transaction.
pub(super) const FENCED: &str = "fenced";
/// Jobs that complete after their effect.
pub(super) const PLAIN: &str = "plain";

/// Jobs at the same time.
const WORKERS: usize = 32;
const CONNECTIONS: u32 = 12;

struct Effect {
    queue: Queue,
    fenced: bool,
}

impl Effect {
    async fn make(&self, run: Run) -> Result<Done, Failure> {
        let number = run.arguments["number"]
            .as_i64()
            .context("a job without its number")
            .map_err(Failure::Discard)?;
        let mut transaction = self.queue.begin().await.context("begin")?;
        let recorded = ledger::record(&mut transaction, number, self.fenced).await;
        recorded.context("record the effect")?;
        if self.fenced {
            let held = Queue::complete_with(&mut transaction, run.fence, run.retention).await;
            if !held.context("complete")? {
                return Err(anyhow::anyhow!("another attempt has the job").into());
            }
        }
        storage::commit(transaction).await.context("commit")?;
        Ok(if self.fenced {
            Done::Settled
        } else {
            Done::Completed
        })
    }
}

impl Job for Effect {
    fn kind(&self) -> &'static str {
        if self.fenced { FENCED } else { PLAIN }
    }

    fn policy(&self) -> Policy {
        Policy {
            // A database that is away is soon back.
            backoff_max: Duration::from_secs(1),
            ..Policy::default()
        }
    }

    fn run(self: Arc<Self>, run: Run) -> BoxFuture<'static, Result<Done, Failure>> {
        async move { self.make(run).await }.boxed()
    }
}

/// Runs the drill's jobs in `database_url` until the process ends.
///
/// # Errors
/// When the URL is not one, or there is no runtime.
pub fn run(database_url: &str) -> anyhow::Result<()> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .context("start a runtime")?;
    runtime.block_on(async {
        let pool = storage::connect_queue("worker", database_url, CONNECTIONS)?;
        let queue = Queue::new(pool);
        let effect = |fenced| Effect {
            queue: queue.clone(),
            fenced,
        };
        let registry = Registry::default().with(effect(true)).with(effect(false));
        let settings = Settings {
            workers: WORKERS,
            lease: LEASE,
            ..Settings::default()
        };
        engine::run(queue.clone(), registry, settings, CancellationToken::new()).await;
        Ok(())
    })
}
