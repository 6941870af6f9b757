//! A program that is started again whenever it ends.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use crate::pictures::Player;
use crate::program::Program;

/// How often it is looked at.
const STEP: Duration = Duration::from_millis(20);

/// Something that may end by itself.
pub(super) trait Ends: Send + 'static {
    fn has_ended(&mut self) -> bool;
}

impl Ends for Program {
    fn has_ended(&mut self) -> bool {
        !self.is_running().unwrap_or(false)
    }
}

impl Ends for Player {
    fn has_ended(&mut self) -> bool {
        self.program.has_ended()
    }
}

/// Every start of a program; dropping it ends the last one.
pub(super) struct Again<T> {
    shared: Arc<Shared<T>>,
    thread: Option<JoinHandle<()>>,
}

struct Shared<T> {
    stop: AtomicBool,
    started: Mutex<Vec<T>>,
}

impl<T: Ends> Again<T> {
    /// Starts what `make` makes, by the number of starts before it, and again this
    /// long after it ended. What cannot be started is tried again, too.
    pub(super) fn start(
        after: Duration,
        mut make: impl FnMut(usize) -> anyhow::Result<T> + Send + 'static,
    ) -> Self {
        let shared = Arc::new(Shared {
            stop: AtomicBool::new(false),
            started: Mutex::new(Vec::new()),
        });
        let own = Arc::clone(&shared);
        // A program ends with the thread that started it, so this one stays.
        let thread = std::thread::spawn(move || {
            while !own.stop.load(Ordering::Relaxed) {
                let mut started = own.started();
                if started.last_mut().is_none_or(Ends::has_ended) {
                    let number = started.len();
                    drop(started);
                    std::thread::sleep(if number > 0 { after } else { Duration::ZERO });
                    own.started().extend(make(number));
                } else {
                    drop(started);
                }
                std::thread::sleep(STEP);
            }
        });
        Self {
            shared,
            thread: Some(thread),
        }
    }

    /// How often it was started.
    pub(super) fn starts(&self) -> usize {
        self.shared.started().len()
    }

    /// Asks each that was started, in order.
    pub(super) fn each<A>(&self, ask: impl FnMut(&T) -> A) -> Vec<A> {
        self.shared.started().iter().map(ask).collect()
    }
}

impl<T> Shared<T> {
    fn started(&self) -> MutexGuard<'_, Vec<T>> {
        self.started.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<T> Drop for Again<T> {
    fn drop(&mut self) {
        self.shared.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            let _panicked = thread.join();
        }
    }
}
