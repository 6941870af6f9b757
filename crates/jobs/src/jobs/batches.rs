//! Work in calls that are short: one after the other until nothing is left.

use crate::job::{Done, Failure, Run};

/// Calls per attempt; what is left then is the next slot's.
const CALLS_MAX: u32 = 100;

/// Makes calls until one says that there is no more, or the service stops.
pub(super) async fn until_done<Call>(
    run: &Run,
    mut call: impl FnMut() -> Call,
) -> Result<Done, Failure>
where
    Call: Future<Output = anyhow::Result<More>>,
{
    for _ in 0..CALLS_MAX {
        let More(more) = call().await?;
        if !more || run.stopping.is_cancelled() {
            break;
        }
    }
    Ok(Done::Completed)
}

/// Whether there is more to do.
pub(super) struct More(pub(super) bool);
