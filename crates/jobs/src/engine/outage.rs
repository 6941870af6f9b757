//! An outage is logged when it begins and when it ends, not each time it is noticed.

use std::fmt::Display;
use std::time::Instant;

/// Whether something works, for one loop.
pub(crate) struct Outage {
    what: &'static str,
    since: Option<Instant>,
}

impl Outage {
    pub(crate) const fn new(what: &'static str) -> Self {
        Self { what, since: None }
    }

    /// Takes a result apart: its value when it worked, else a log line the first time.
    pub(crate) fn note<T, E: Display>(&mut self, result: Result<T, E>) -> Option<T> {
        match result {
            Ok(value) => {
                if let Some(since) = self.since.take() {
                    let seconds = since.elapsed().as_secs();
                    tracing::info!(what = self.what, seconds, "it works again");
                }
                Some(value)
            }
            Err(error) => {
                if self.since.is_none() {
                    tracing::warn!(what = self.what, %error, "it does not work; trying on");
                    self.since = Some(Instant::now());
                }
                None
            }
        }
    }
}
