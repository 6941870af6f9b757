//! Ctrl-C and SIGTERM: noticed, so that children can be stopped in order.

use std::ffi::c_int;
use std::sync::atomic::{AtomicBool, Ordering};

use nix::sys::signal::{SaFlags, SigAction, SigHandler, SigSet, Signal, sigaction};

static WANTED: AtomicBool = AtomicBool::new(false);

/// Whether the user wants an end.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Stop(());

impl Stop {
    /// From here on the signals end nothing by themselves. A handler, not a
    /// mask: children would inherit a mask.
    pub(crate) fn on_signals() -> anyhow::Result<Self> {
        let action = SigAction::new(
            SigHandler::Handler(note),
            SaFlags::SA_RESTART,
            SigSet::empty(),
        );
        for signal in [Signal::SIGINT, Signal::SIGTERM, Signal::SIGHUP] {
            // SAFETY: the handler only stores to an atomic.
            unsafe { sigaction(signal, &action) }?;
        }
        Ok(Self(()))
    }

    #[expect(
        clippy::unused_self,
        reason = "the value says that the handlers are there"
    )]
    pub(crate) fn is_wanted(self) -> bool {
        WANTED.load(Ordering::Relaxed)
    }
}

extern "C" fn note(_signal: c_int) {
    WANTED.store(true, Ordering::Relaxed);
}
