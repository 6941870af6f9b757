//! Whether this service is of use: it needs its database, and the api that its jobs act on.

use std::time::{Duration, Instant};

use service_kit::Readiness;
use storage::Pool;
use tokio_util::sync::CancellationToken;

use crate::control::Control;

/// The part of readiness that is the database.
pub(crate) const DATABASE: &str = "database";
/// The part of readiness that is the api.
pub(crate) const API: &str = "api";

const INTERVAL: Duration = Duration::from_secs(2);
/// A restart of the api is shorter than this, and no reason to be not ready.
const API_GRACE: Duration = Duration::from_secs(15);

/// Watches both until the service stops.
pub(crate) async fn watch(
    pool: Pool,
    control: Control,
    readiness: Readiness,
    stopping: CancellationToken,
) {
    let mut api = Patience::default();
    while !stopping.is_cancelled() {
        let (database, answer) = tokio::join!(storage::ping(&pool), control.ping());
        readiness.set(DATABASE, database.map_err(|error| error.to_string()));
        let answer = answer.map_err(|status| reason(&status));
        if let Some(state) = api.judge(answer, Instant::now()) {
            readiness.set(API, state);
        }
        tokio::select! {
            () = stopping.cancelled() => {}
            () = tokio::time::sleep(INTERVAL) => {}
        }
    }
}

fn reason(status: &tonic::Status) -> String {
    match status.code() {
        tonic::Code::Unauthenticated | tonic::Code::PermissionDenied => {
            "the api refuses the service token".to_owned()
        }
        _ => format!(
            "the api does not answer: {}",
            service_kit::grpc::why_not(status)
        ),
    }
}

/// Believes good news at once and bad news after a while.
#[derive(Debug, Default)]
struct Patience {
    bad_since: Option<Instant>,
    was_good: bool,
}

impl Patience {
    /// The state to show; `None` leaves it as it is.
    fn judge(&mut self, news: Result<(), String>, now: Instant) -> Option<Result<(), String>> {
        let Err(reason) = news else {
            *self = Self {
                bad_since: None,
                was_good: true,
            };
            return Some(Ok(()));
        };
        let bad_for = now.duration_since(*self.bad_since.get_or_insert(now));
        if self.was_good && bad_for < API_GRACE {
            return None;
        }
        let seconds = bad_for.as_secs();
        Some(Err(format!("{reason}, for {seconds} s; its jobs wait")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_short_loss_is_not_shown_and_a_long_one_is() {
        let mut api = Patience::default();
        let start = Instant::now();
        let bad = || Err("away".to_owned());
        assert!(api.judge(bad(), start).unwrap().is_err(), "never seen yet");
        assert_eq!(api.judge(Ok(()), start), Some(Ok(())));
        assert_eq!(api.judge(bad(), start), None);
        assert_eq!(api.judge(bad(), start + API_GRACE / 2), None);
        let late = api.judge(bad(), start + API_GRACE).unwrap();
        assert!(late.unwrap_err().contains("away, for 15 s"));
        assert_eq!(api.judge(Ok(()), start + API_GRACE), Some(Ok(())));
        assert_eq!(api.judge(bad(), start + API_GRACE * 2), None);
    }
}
