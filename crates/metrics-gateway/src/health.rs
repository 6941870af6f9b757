//! Whether this service is of use: it needs the api to let anybody in. Those it
//! let in before stay for ten minutes without it, and so does its readiness.

use std::time::{Duration, Instant};

use service_kit::Readiness;
use tokio_util::sync::CancellationToken;

use crate::access::AWAY_MAX;
use crate::control::Control;

/// The part of readiness that is the api.
pub(crate) const API: &str = "api";

const INTERVAL: Duration = Duration::from_secs(2);

/// Watches the api until the service stops.
pub(crate) async fn watch(control: Control, readiness: Readiness, stopping: CancellationToken) {
    let mut answered_at: Option<Instant> = None;
    while !stopping.is_cancelled() {
        let answer = tokio::select! {
            () = stopping.cancelled() => return,
            answer = control.ping() => answer,
        };
        if answer.is_ok() {
            answered_at = Some(Instant::now());
        }
        if let Some(state) = judge(answer, answered_at.map(|at| at.elapsed())) {
            readiness.set(API, state);
        }
        tokio::select! {
            () = stopping.cancelled() => {}
            () = tokio::time::sleep(INTERVAL) => {}
        }
    }
}

/// The state to show; `None` leaves it as it is.
fn judge(
    answer: Result<(), tonic::Status>,
    silent_for: Option<Duration>,
) -> Option<Result<(), String>> {
    let Err(status) = answer else {
        return Some(Ok(()));
    };
    if silent_for.is_some_and(|silent_for| silent_for < AWAY_MAX) {
        return None;
    }
    let reason = match status.code() {
        tonic::Code::Unauthenticated | tonic::Code::PermissionDenied => {
            "the api refuses the service token".to_owned()
        }
        _ => format!(
            "the api does not answer: {}",
            service_kit::grpc::why_not(&status)
        ),
    };
    Some(Err(reason))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_outage_of_minutes_is_not_shown() {
        let away = || Err(tonic::Status::unavailable("away"));
        assert_eq!(judge(Ok(()), Some(Duration::ZERO)), Some(Ok(())));
        assert_eq!(judge(away(), Some(AWAY_MAX / 2)), None);
        assert!(judge(away(), Some(AWAY_MAX)).unwrap().is_err());
        assert!(judge(away(), None).unwrap().is_err(), "never seen yet");
    }
}
