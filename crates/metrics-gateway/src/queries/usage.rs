//! What an app sent, by the day, and what it may.

use std::sync::Arc;

use jiff::Timestamp;
use serde_json::{Value, json};
use storage::telemetry::{apps, stats};

use super::parameters::{Fault, Given};
use super::{Queries, Refusal, Subject, place, to_its_end};
use crate::events::month;

const DAYS_DEFAULT: i32 = 31;
const DAYS_MAX: i32 = 400;
const DAY_SECONDS: i64 = 86_400;

impl Queries {
    /// This month's sums, the bounds they count against, and the last days.
    pub(crate) async fn usage(
        self: &Arc<Self>,
        subject: &Subject,
        query: &str,
    ) -> Result<Value, Refusal> {
        let days = days(query)?;
        let (queries, subject) = (Arc::clone(self), subject.clone());
        to_its_end(async move { queries.sum_up(&subject, days).await }).await
    }

    async fn sum_up(&self, subject: &Subject, days: i32) -> Result<Value, Refusal> {
        let _place = place(&self.waiting, subject.id)?;
        let _turn = self.turn(subject.id).await?;
        let now = self.now();
        let (first, month) = (now.day() - days + 1, month::first_day(now));
        let found = apps::find(&self.pool, &subject.org, &subject.name);
        let found = self.in_time(found).await?;
        let terms = found.ok_or(Refusal::NoApp)?.terms;
        let sent = stats::usage(&self.pool, subject.id, first.min(month));
        let sent = self.in_time(sent).await?;
        let sum = |of: fn(&stats::Day) -> u64| -> u64 {
            let of_month = sent.iter().filter(|day| day.day >= month);
            of_month.map(of).sum()
        };
        let events = sum(|day| day.events);
        let left = terms.quota_events.map(|quota| quota.saturating_sub(events));
        let shown = sent.iter().filter(|day| day.day >= first).map(show);
        Ok(json!({
            "org": subject.org, "app": subject.name, "tier": terms.tier,
            "month": {
                "from": date(month), "events": events, "duplicates": sum(|day| day.duplicates),
                "quarantined": sum(|day| day.quarantined), "quota_events": terms.quota_events,
                "events_left": left,
            },
            "rate_events": terms.rate_events, "retention_days": terms.retention_days,
            "days": shown.collect::<Vec<_>>(),
        }))
    }
}

fn days(query: &str) -> Result<i32, Fault> {
    let mut given = Given::read(query)?;
    let asked = given.take("days");
    given.end()?;
    let Some(asked) = asked else {
        return Ok(DAYS_DEFAULT);
    };
    let days = asked.parse().ok();
    let days = days.filter(|days| (1..=DAYS_MAX).contains(days));
    days.ok_or_else(|| Fault::new("days", "1 to 400"))
}

fn show(day: &stats::Day) -> Value {
    json!({
        "day": date(day.day), "events": day.events, "duplicates": day.duplicates,
        "quarantined": day.quarantined,
    })
}

/// Such as `2026-01-31`.
fn date(day: i32) -> String {
    let at = Timestamp::from_second(i64::from(day) * DAY_SECONDS).unwrap_or_default();
    at.strftime("%Y-%m-%d").to_string()
}

#[cfg(test)]
mod tests {
    use model::UnixMillis;

    use super::*;

    #[test]
    fn days_are_bounded_and_dates_are_dates() {
        assert_eq!(days("").unwrap(), 31);
        assert_eq!(days("days=400").unwrap(), 400);
        for bad in ["days=0", "days=401", "days=x", "day=1"] {
            assert!(days(bad).is_err(), "{bad}");
        }
        assert_eq!(date(19_783), "2024-03-01");
        assert_eq!(UnixMillis(19_783 * 86_400_000 + 1).day(), 19_783);
    }
}
