//! Published time in outages: nobody counted it while a node, this process or the database was
//! away, so it is judged afterwards by what the node received meanwhile.
//!
//! Bytes need no judging: nodes' counters go on, and the next word has all of them.

use std::time::Duration;

use serde_json::json;
use storage::control::audit::{self, Action, Actor};
use storage::control::usage_gaps::{self, Gap};

use crate::state::App;

/// Whose name stands in the audit for what nobody did by hand.
const SERVICE: &str = "api";
/// A rate that was taken over less says nothing.
const RATE_TIME_MIN: Duration = Duration::from_secs(10);
/// So much of what was to be expected is all of it: rates vary.
const WHOLE_RATIO: f64 = 0.9;
/// How long it can be asked what was made good.
const KEPT: Duration = Duration::from_secs(90 * 86_400);

/// What making good came to.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Corrections {
    pub(crate) gaps: u32,
    pub(crate) raised: Duration,
    pub(crate) lowered: Duration,
}

/// Makes at most `limit` gaps good.
pub(crate) async fn reconcile(app: &App, limit: u32) -> Result<Corrections, storage::Error> {
    let now = app.now();
    let mut done = Corrections::default();
    let mut transaction = storage::begin(&app.pool).await?;
    for gap in usage_gaps::lock_open(&mut transaction, limit).await? {
        let published = published(&gap);
        usage_gaps::reconcile(&mut transaction, &gap, published, now).await?;
        done.gaps += 1;
        done.raised += published.saturating_sub(gap.counted);
        done.lowered += gap.counted.saturating_sub(published);
        if published != gap.counted {
            let corrected = Action {
                actor: Actor::Service(SERVICE),
                name: "usage.reconcile",
                subject: gap.session_id.as_str(),
                reason: Some("nobody heard of the session for a while"),
            };
            let detail = json!({"from": gap.began_at, "until": gap.ended_at,
                "counted_ms": gap.counted.as_millis(), "published_ms": published.as_millis(),
                "ingress_bytes": gap.ingress_bytes});
            audit::record(&mut transaction, corrected, &detail, now).await?;
        }
    }
    storage::commit(transaction).await?;
    usage_gaps::trim(&app.pool, now.minus(KEPT), limit).await?;
    Ok(done)
}

/// How long a session was published in a gap: as long as what came takes at the rate of before.
/// Who sent less than before is believed to have sent for less long: it is not to their cost.
fn published(gap: &Gap) -> Duration {
    let length = gap.ended_at.since(gap.began_at);
    if gap.published_before < RATE_TIME_MIN || gap.ingress_bytes_before == 0 {
        return gap.counted;
    }
    let seconds_a_byte = gap.published_before.as_secs_f64() / gap.ingress_bytes_before as f64;
    let ratio = gap.ingress_bytes as f64 * seconds_a_byte / length.as_secs_f64();
    if ratio >= WHOLE_RATIO {
        return length;
    }
    // Rows have whole milliseconds.
    Duration::from_millis(length.mul_f64(ratio).as_millis() as u64)
}

#[cfg(test)]
mod tests {
    use model::{SessionId, UnixMillis};

    use super::*;

    /// Ten minutes, of which one counts so far, after a minute at 1 MB a second.
    fn gap(ingress_bytes: u64) -> Gap {
        Gap {
            id: 1,
            session_id: SessionId::from_u128(1),
            began_at: UnixMillis(0),
            ended_at: UnixMillis(600_000),
            counted: Duration::from_secs(60),
            ingress_bytes,
            ingress_bytes_before: 60_000_000,
            published_before: Duration::from_secs(60),
        }
    }

    #[test]
    fn who_sent_all_the_time_was_published_all_the_time() {
        for bytes in [600_000_000, 545_000_000, 6_000_000_000] {
            assert_eq!(published(&gap(bytes)), Duration::from_secs(600), "{bytes}");
        }
    }

    #[test]
    fn who_sent_for_some_of_it_was_published_for_as_long() {
        assert_eq!(published(&gap(300_000_000)), Duration::from_secs(300));
        // Less than counts so far.
        assert_eq!(published(&gap(30_000_000)), Duration::from_secs(30));
        assert_eq!(published(&gap(0)), Duration::ZERO);
    }

    #[test]
    fn without_a_rate_it_stays_as_it_is() {
        let short = Gap {
            published_before: Duration::from_secs(9),
            ..gap(600_000_000)
        };
        assert_eq!(published(&short), Duration::from_secs(60));
        let silent = Gap {
            ingress_bytes_before: 0,
            ..gap(600_000_000)
        };
        assert_eq!(published(&silent), Duration::from_secs(60));
    }
}
