//! Waiting for something to become true.

use std::time::{Duration, Instant};

use anyhow::bail;

const STEP: Duration = Duration::from_millis(50);

/// Asks until there is an answer.
///
/// # Errors
/// When there is none within `limit`; names `what` was waited for.
pub fn until<T>(
    what: &str,
    limit: Duration,
    mut ask: impl FnMut() -> Option<T>,
) -> anyhow::Result<T> {
    let deadline = Instant::now() + limit;
    loop {
        if let Some(answer) = ask() {
            return Ok(answer);
        }
        if Instant::now() >= deadline {
            bail!("{what}: not within {limit:?}");
        }
        std::thread::sleep(STEP);
    }
}
