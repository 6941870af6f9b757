//! Ctrl-C and SIGTERM: noticed, so that children can be stopped in order.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use nix::sys::signal::{SigSet, Signal};

/// Whether the user wants an end. Clones share it.
#[derive(Debug, Clone)]
pub(crate) struct Stop {
    wanted: Arc<AtomicBool>,
}

impl Stop {
    /// From here on the signals end nothing by themselves. Children started
    /// later are not affected: the standard library clears their signal mask.
    pub(crate) fn on_signals() -> anyhow::Result<Self> {
        let mut signals = SigSet::empty();
        signals.add(Signal::SIGINT);
        signals.add(Signal::SIGTERM);
        signals.thread_block()?;
        let stop = Self {
            wanted: Arc::default(),
        };
        let wanted = stop.wanted.clone();
        std::thread::Builder::new()
            .name("signals".into())
            .spawn(move || {
                if signals.wait().is_ok() {
                    wanted.store(true, Ordering::Relaxed);
                }
            })?;
        Ok(stop)
    }

    pub(crate) fn is_wanted(&self) -> bool {
        self.wanted.load(Ordering::Relaxed)
    }
}
