//! Which backups are kept, and which of the log.

use std::collections::HashSet;

use jiff::civil::Date;
use jiff::tz::TimeZone;
use jiff::{Timestamp, ToSpan as _};

use crate::base::id;
use crate::config::Keep;
use crate::destination::Listed;
use crate::error::Error;
use crate::manifest::Manifest;
use crate::{Backups, Destination, Step, log};

/// How many of a period are kept, and which one a day is in.
type Period = (usize, fn(Date) -> (i16, i16));

/// A backup that might be deleted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Candidate {
    pub(crate) id: String,
    pub(crate) at: Timestamp,
    pub(crate) is_proven: bool,
}

impl Backups {
    /// Deletes what a destination need not keep of the server that `proven` is of, and says
    /// which backups that were. Only what is older than a proven one goes.
    ///
    /// # Errors
    /// When the destination does not answer.
    pub(crate) async fn prune(
        &self,
        destination: &Destination,
        proven: &Manifest,
    ) -> Result<Vec<String>, Error> {
        self.report(Step::Pruning);
        let server = &proven.system_identifier;
        let listed = destination.list().await?;
        let of_server: Vec<&Manifest> = listed
            .iter()
            .filter_map(|it| it.manifest.as_ref())
            .filter(|it| it.system_identifier == *server)
            .collect();
        let candidates: Vec<Candidate> = listed
            .iter()
            .filter_map(|it| candidate(it, server))
            .collect();
        let doomed = doomed(&candidates, destination.keep);
        for id in abandoned(&listed, proven.marked_at) {
            destination.delete_backup(id).await?;
        }
        for id in &doomed {
            destination.delete_backup(id).await?;
        }
        let kept: Vec<&Manifest> = of_server
            .into_iter()
            .filter(|it| !doomed.contains(&it.id))
            .collect();
        let now = Timestamp::now();
        for object in destination.log(server).await? {
            if log::segment_of(&object)
                .is_some_and(|it| !is_needed(it, &kept, destination.keep, now))
            {
                destination.delete(&log::object(server, &object)).await?;
            }
        }
        Ok(doomed)
    }
}

/// Backups that were never finished: by `now` they would have been.
fn abandoned(listed: &[Listed], now: Timestamp) -> impl Iterator<Item = &str> {
    let patience = now.checked_sub(48.hours()).unwrap_or(Timestamp::UNIX_EPOCH);
    let latest = id(patience);
    let unfinished = listed.iter().filter(|it| it.manifest.is_none());
    let ids = unfinished.map(|it| it.id.as_str());
    ids.filter(move |id| *id < latest.as_str())
}

fn candidate(listed: &Listed, server: &str) -> Option<Candidate> {
    let manifest = listed.manifest.as_ref()?;
    (manifest.system_identifier == server).then(|| Candidate {
        id: listed.id.clone(),
        at: manifest.marked_at,
        is_proven: listed.proof.is_some(),
    })
}

/// Those that are older than the newest proven one and of no day, week or month to keep.
pub(crate) fn doomed(candidates: &[Candidate], keep: Keep) -> Vec<String> {
    let proven = candidates.iter().filter(|it| it.is_proven);
    let Some(newest_proven) = proven.map(|it| it.at).max() else {
        return Vec::new();
    };
    let mut newest_first: Vec<&Candidate> = candidates.iter().collect();
    newest_first.sort_by_key(|it| std::cmp::Reverse(it.at));
    let mut kept = HashSet::new();
    let periods: [Period; 3] = [
        (keep.daily, |date| (date.year(), date.day_of_year())),
        (keep.weekly, |date| {
            let week = date.iso_week_date();
            (week.year(), week.week().into())
        }),
        (keep.monthly, |date| (date.year(), date.month().into())),
    ];
    for (count, period) in periods {
        let mut seen = HashSet::new();
        for candidate in &newest_first {
            let date = candidate.at.to_zoned(TimeZone::UTC).date();
            if seen.len() < count && seen.insert(period(date)) {
                kept.insert(&candidate.id);
            }
        }
    }
    let goes = |it: &&&Candidate| it.at < newest_proven && !kept.contains(&it.id);
    newest_first
        .iter()
        .filter(goes)
        .map(|it| it.id.clone())
        .collect()
}

/// Whether a kept backup needs a segment for its mark, or an instant of the last days does.
fn is_needed(segment: &str, kept: &[&Manifest], keep: Keep, now: Timestamp) -> bool {
    let for_a_mark =
        |it: &&&Manifest| it.log_from.as_str() <= segment && segment <= it.log_to.as_str();
    if kept.iter().find(for_a_mark).is_some() {
        return true;
    }
    let back = i64::from(keep.log_days) * 24;
    let horizon = now
        .checked_sub(back.hours())
        .unwrap_or(Timestamp::UNIX_EPOCH);
    // The log of the window begins where the last backup before it does, or the first in it.
    let before = kept.iter().filter(|it| it.consistent_at <= horizon);
    let first = before
        .max_by_key(|it| it.consistent_at)
        .or_else(|| kept.iter().min_by_key(|it| it.consistent_at));
    first.is_none_or(|it| segment >= it.log_from.as_str())
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEEP: Keep = Keep {
        daily: 3,
        weekly: 2,
        monthly: 2,
        log_days: 2,
    };

    fn at(day: &str) -> Timestamp {
        format!("{day}T03:15:00Z").parse().unwrap()
    }

    fn backup(day: &str, is_proven: bool) -> Candidate {
        Candidate {
            id: day.to_owned(),
            at: at(day),
            is_proven,
        }
    }

    #[test]
    fn the_newest_of_each_day_week_and_month_stay() {
        let days = [
            "2026-09-30",
            "2026-10-15",
            "2026-10-31",
            "2026-11-08",
            "2026-11-14",
            "2026-11-15",
            "2026-11-18",
            "2026-11-19",
            "2026-11-20",
        ];
        let all: Vec<Candidate> = days.iter().map(|day| backup(day, true)).collect();
        // Days: 18, 19, 20. Weeks: 20 and 15, a Sunday. Months: November and October's last.
        let mut gone = doomed(&all, KEEP);
        gone.sort();
        assert_eq!(
            gone,
            ["2026-09-30", "2026-10-15", "2026-11-08", "2026-11-14"]
        );
    }

    #[test]
    fn nothing_goes_before_a_newer_one_is_proven() {
        let days = [
            "2026-11-01",
            "2026-11-02",
            "2026-11-03",
            "2026-11-04",
            "2026-11-05",
        ];
        let mut all: Vec<Candidate> = days.iter().map(|day| backup(day, false)).collect();
        let keep = Keep {
            daily: 1,
            weekly: 0,
            monthly: 0,
            log_days: 0,
        };
        assert_eq!(doomed(&all, keep), [""; 0]);
        all[2].is_proven = true;
        assert_eq!(doomed(&all, keep), ["2026-11-02", "2026-11-01"]);
    }

    #[test]
    fn what_was_never_finished_goes_after_two_days() {
        let unfinished = |id: &str| Listed {
            id: id.to_owned(),
            manifest: None,
            proof: None,
        };
        let listed = [
            unfinished("20261117T031500Z"),
            unfinished("20261119T031500Z"),
        ];
        let gone: Vec<&str> = abandoned(&listed, at("2026-11-20")).collect();
        assert_eq!(gone, ["20261117T031500Z"]);
    }

    fn manifest(day: &str, from: u32, to: u32) -> Manifest {
        let text = serde_json::json!({
            "form": 1, "id": day, "system_identifier": "7", "postgres_major": 15,
            "segment_bytes": 1, "database": "d", "role": "r", "started_at": at(day),
            "consistent_at": at(day), "marked_at": at(day), "mark": "0/1", "took_ms": 1,
            "log_from": format!("{from:024X}"), "log_to": format!("{to:024X}"),
            "encrypted": false, "tables": [],
            "base": {"name": "b", "bytes": 1, "sha256": "", "plain_bytes": 1},
        });
        serde_json::from_value(text).unwrap()
    }

    #[test]
    fn the_log_of_the_last_days_stays_and_what_marks_need() {
        let kept = [
            manifest("2026-11-01", 10, 12),
            manifest("2026-11-17", 50, 51),
            manifest("2026-11-19", 70, 71),
        ];
        let kept: Vec<&Manifest> = kept.iter().collect();
        let now = at("2026-11-20");
        let needed = |segment: u32| is_needed(&format!("{segment:024X}"), &kept, KEEP, now);
        for (segment, is_needed) in [
            (9, false),
            (10, true),
            (12, true),
            (13, false),
            (49, false),
            (50, true),
            (60, true),
            (71, true),
            (99, true),
        ] {
            assert_eq!(needed(segment), is_needed, "{segment}");
        }
    }
}
