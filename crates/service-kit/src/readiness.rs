//! Whether a service is useful now, part by part.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::watch;

/// A service's readiness: ready when at least one part was declared and every
/// declared part is well. Clones share it.
#[derive(Debug, Clone)]
pub struct Readiness {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    parts: Mutex<BTreeMap<&'static str, Result<(), String>>>,
    ready: watch::Sender<bool>,
}

/// A service was not ready in time, or ended.
#[derive(Debug, Clone, thiserror::Error)]
#[error("{service} is not ready: {reasons}")]
pub struct NotReady {
    /// The service.
    pub service: &'static str,
    /// Each part that is not well, and why.
    pub reasons: String,
}

impl Default for Readiness {
    fn default() -> Self {
        let (ready, _) = watch::channel(false);
        Self {
            inner: Arc::new(Inner {
                parts: Mutex::default(),
                ready,
            }),
        }
    }
}

impl Readiness {
    /// Declares a part that must become well before the service is ready.
    pub fn expect(&self, part: &'static str) {
        self.set(part, Err("starting".to_owned()));
    }

    /// Says how a part is.
    pub fn set(&self, part: &'static str, state: Result<(), String>) {
        let mut parts = self.lock();
        parts.insert(part, state);
        let ready = parts.values().all(Result::is_ok);
        self.inner
            .ready
            .send_if_modified(|known| std::mem::replace(known, ready) != ready);
    }

    /// Whether the service is useful now.
    #[must_use]
    pub fn is_ready(&self) -> bool {
        *self.inner.ready.borrow()
    }

    /// Every part, and why it is not well.
    #[must_use]
    pub fn parts(&self) -> BTreeMap<&'static str, Result<(), String>> {
        self.lock().clone()
    }

    /// The parts that are not well, in one line.
    #[must_use]
    pub fn reasons(&self) -> String {
        let parts = self.lock();
        if parts.is_empty() {
            return "starting".to_owned();
        }
        let unwell = parts.iter().filter_map(|(part, state)| {
            state
                .as_ref()
                .err()
                .map(|reason| format!("{part}: {reason}"))
        });
        unwell.collect::<Vec<_>>().join("; ")
    }

    /// Follows changes of [`Readiness::is_ready`].
    #[must_use]
    pub fn watch(&self) -> watch::Receiver<bool> {
        self.inner.ready.subscribe()
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<&'static str, Result<(), String>>> {
        self.inner
            .parts
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}
