//! What lies in the spool goes to the store, oldest first.

use std::sync::Arc;
use std::time::Duration;

use futures_util::future;
use tokio_util::sync::CancellationToken;

use super::keeper::Keeper;
use super::log::Sealed;
use crate::events::batch::Batch;
use crate::events::record;
use crate::events::sink::{Failure, Sink};
use crate::metrics::spool as metrics;

/// Between two tries while the store is away.
const RETRY_AFTER: Duration = Duration::from_secs(1);
/// Events that are on their way to the store at the same time, but for the last batch's.
const WINDOW_EVENTS: usize = 8_000;
/// And bytes of them, packed.
const WINDOW_BYTES: usize = 4 << 20;

pub(super) struct Replay {
    pub(super) keeper: Keeper,
    pub(super) store: Arc<dyn Sink>,
}

/// Batches that go together.
#[derive(Default)]
struct Window {
    batches: Vec<Arc<Batch>>,
    unreadable: usize,
}

impl Replay {
    /// Replays whatever comes, until the service stops. What is half done then is done again at
    /// the next start: the store knows what it has.
    pub(super) async fn run(self, stopping: &CancellationToken) {
        loop {
            let turn = async {
                match self.turn().await {
                    Ok(true) => {}
                    Ok(false) => self.keeper.shared().appended.notified().await,
                    Err(error) => {
                        tracing::error!(%error, "the spool cannot be read or cleared");
                        tokio::time::sleep(RETRY_AFTER).await;
                    }
                }
            };
            tokio::select! {
                () = stopping.cancelled() => return,
                () = turn => {}
            }
        }
    }

    /// Replays the oldest segment and removes it; false when there is none.
    async fn turn(&self) -> std::io::Result<bool> {
        let Some(mut sealed) = self.keeper.oldest().await? else {
            return Ok(false);
        };
        let mut unreadable = 0;
        loop {
            let place = sealed.place();
            let window = Window::next(&mut sealed);
            if window.is_empty() {
                break;
            }
            if let Err(failure) = self.store(&window.batches).await {
                tracing::debug!(?failure, "the spool waits for the store");
                sealed.back(place);
                tokio::time::sleep(RETRY_AFTER).await;
                continue;
            }
            metrics::replayed(window.batches.len());
            (0..window.unreadable).for_each(|_| metrics::unreadable());
            unreadable += window.unreadable;
        }
        if unreadable > 0 {
            tracing::error!(
                unreadable,
                "batches of the spool cannot be understood; their segment is set aside"
            );
        }
        let is_whole = sealed.is_whole();
        if !is_whole {
            metrics::unreadable();
            tracing::error!("the disk has spoiled a segment of the spool; it is set aside");
        }
        let is_unread = unreadable > 0 || !is_whole;
        self.keeper.remove(sealed, is_unread).await?;
        Ok(true)
    }

    async fn store(&self, batches: &[Arc<Batch>]) -> Result<(), Failure> {
        let kept = batches.iter().map(|batch| self.store.keep(batch.clone()));
        future::try_join_all(kept).await.map(drop)
    }
}

impl Window {
    fn next(sealed: &mut Sealed) -> Self {
        let mut window = Self::default();
        let (mut events, mut bytes) = (0, 0);
        while events < WINDOW_EVENTS && bytes < WINDOW_BYTES {
            let Some(payload) = sealed.next() else { break };
            bytes += payload.len();
            match record::decode(payload) {
                Ok(batch) => {
                    events += batch.len();
                    window.batches.push(Arc::new(batch));
                }
                Err(error) => {
                    tracing::debug!(%error, "a batch of the spool cannot be understood");
                    window.unreadable += 1;
                }
            }
        }
        window
    }

    const fn is_empty(&self) -> bool {
        self.batches.is_empty() && self.unreadable == 0
    }
}
