//! A log on disk in front of the store, for when that is away.
//!
//! ```text
//!              spool empty: at once            COMMIT ▸ 200
//! batch ▸ keep ───────────────────────▸ store
//!            │ away, full or slow, or          ▲ replay: oldest first, a segment
//!            │ something lies in the spool     │ goes when all of it is committed
//!            └───────▸ frame ▸ write ▸ fsync ▸ 200
//! ```
//!
//! While the store is well the spool is empty and costs nothing. What goes into it is told to be
//! kept after it is on the disk, and is on the disk until the store has committed it: twice, if
//! the process ends in between, which the store does not mind.

mod disk;
mod frame;
mod keeper;
mod log;
mod replay;

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use model::clock::Clock;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use super::batch::Batch;
use super::record;
use super::sink::{Failure, Sink};
use disk::Directory;
use keeper::Keeper;
pub(crate) use log::Held;
use log::Log;
use replay::Replay;

/// A store that has not kept a batch by then is not waited for.
const STORE_PATIENCE: Duration = Duration::from_secs(1);
/// A spool with less room than this is as good as full.
const ROOM_MIN: u64 = 1 << 20;

/// Says whether batches are taken while what is behind a spool is away.
pub(crate) type Bridge = Box<dyn Fn() -> bool + Send + Sync>;

/// The store, and the log in front of it.
pub(crate) struct Spool {
    store: Arc<dyn Sink>,
    keeper: Keeper,
    clock: Arc<dyn Clock>,
}

/// What goes on behind it.
pub(crate) struct Work {
    replay: Replay,
    thread: JoinHandle<()>,
}

impl Spool {
    /// Opens the spool in a directory, which nobody else has meanwhile.
    ///
    /// # Errors
    /// When the directory cannot be had, or holds what this gateway does not understand.
    pub(crate) fn open(
        directory: &Path,
        bytes_max: u64,
        store: Arc<dyn Sink>,
        clock: Arc<dyn Clock>,
    ) -> anyhow::Result<(Self, Work)> {
        let log = Directory::open(directory).and_then(Log::open);
        let log = log.with_context(|| format!("events.spool.dir: {}", directory.display()))?;
        let held = log.held();
        if held.records > 0 {
            let (batches, bytes) = (held.records, held.bytes);
            tracing::info!(batches, bytes, "the spool holds what was not yet stored");
        }
        let (keeper, thread) = Keeper::start(log, bytes_max);
        let replay = Replay {
            keeper: keeper.clone(),
            store: store.clone(),
        };
        let spool = Self {
            store,
            keeper,
            clock,
        };
        Ok((spool, Work { replay, thread }))
    }
}

impl Sink for Spool {
    fn keep(&self, batch: Arc<Batch>) -> BoxFuture<'static, Result<(), Failure>> {
        let (store, keeper) = (self.store.clone(), self.keeper.clone());
        let came_at = self.clock.now();
        async move {
            // What came before goes first.
            if !keeper.shared().holds_any() {
                let kept = store.keep(batch.clone());
                if let Ok(Ok(())) = tokio::time::timeout(STORE_PATIENCE, kept).await {
                    return Ok(());
                }
            }
            let payload = record::encode(&batch).map_err(|error| {
                tracing::error!(%error, "a batch cannot be packed");
                Failure::Unavailable
            })?;
            keeper.append(came_at, &payload).await
        }
        .boxed()
    }
}

impl Work {
    /// Replays until the service stops and nobody puts anything into the spool any more.
    pub(crate) async fn run(self, stopping: &CancellationToken) {
        self.replay.run(stopping).await;
        if let Err(error) = self.thread.await {
            tracing::error!(%error, "the spool's thread ended as it should not");
        }
    }

    /// Whether batches are taken while the store is away.
    pub(crate) fn bridge(&self) -> Bridge {
        let shared = self.replay.keeper.shared().clone();
        Box::new(move || shared.has_room(ROOM_MIN))
    }
}

#[cfg(test)]
mod tests;
