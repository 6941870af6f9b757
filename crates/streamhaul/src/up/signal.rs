//! The signals that stop an instance.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use anyhow::Context as _;

/// Whether a signal asked to stop.
#[derive(Debug, Clone, Default)]
pub(super) struct Stop {
    requested: Arc<AtomicBool>,
}

impl Stop {
    /// Listens for SIGINT and SIGTERM from now on.
    pub(super) fn listen() -> anyhow::Result<Self> {
        let stop = Self::default();
        let requested = stop.requested.clone();
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()?;
        let (listening, heard) = std::sync::mpsc::channel();
        std::thread::Builder::new()
            .name("signals".to_owned())
            .spawn(move || {
                runtime.block_on(async {
                    let mut signalled = std::pin::pin!(service_kit::shutdown::signalled());
                    // The first poll installs the handlers.
                    let first = std::future::poll_fn(|context| {
                        std::task::Poll::Ready(signalled.as_mut().poll(context))
                    });
                    let first = first.await;
                    let _ = listening.send(());
                    let signal = match first {
                        std::task::Poll::Ready(signal) => signal,
                        std::task::Poll::Pending => signalled.await,
                    };
                    tracing::info!(?signal, "stopping");
                    requested.store(true, Ordering::Relaxed);
                });
            })?;
        heard.recv().context("listen for signals")?;
        Ok(stop)
    }

    pub(super) fn is_requested(&self) -> bool {
        self.requested.load(Ordering::Relaxed)
    }
}
