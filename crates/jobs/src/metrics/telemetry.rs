//! What becomes of telemetry whose time is over.

use metrics::{Unit, counter, describe_counter, describe_gauge, gauge};
use storage::telemetry::retention::Table;
use storage::telemetry::retired::Waiting;

use crate::shelf::Unfinished;

/// Days of telemetry that were taken out of their tables.
pub const RETIRED: &str = "streamhaul_jobs_telemetry_retired_total";
/// Rows dropped with a day, by whether they are in the `archive`.
pub const DROPPED_ROWS: &str = "streamhaul_jobs_telemetry_dropped_rows_total";
/// Rows deleted because they were old, by `table`.
pub const EXPIRED_ROWS: &str = "streamhaul_jobs_telemetry_expired_rows_total";
/// One such table: what events share.
pub(crate) const CONTEXTS: &str = "contexts";
/// Attempts to archive a day that failed, by `reason`.
pub const ARCHIVE_FAILURES: &str = "streamhaul_jobs_telemetry_archive_failures_total";
/// Days that wait to be archived or dropped, as this replica last saw it.
pub const WAITING: &str = "streamhaul_jobs_telemetry_waiting_days";
/// Since when the oldest of them waits.
pub const WAITING_SINCE: &str = "streamhaul_jobs_telemetry_waiting_since_timestamp_seconds";

/// Describes every metric and starts the known series at zero.
pub(super) fn start() {
    describe_counter!(
        RETIRED,
        "Days of events that were taken out of their tables, whole or in part"
    );
    counter!(RETIRED).absolute(0);
    describe_counter!(
        DROPPED_ROWS,
        "Rows of telemetry dropped with their day, by whether they are in the archive"
    );
    for archive in [true, false] {
        counter!(DROPPED_ROWS, "archive" => word(archive)).absolute(0);
    }
    describe_counter!(
        EXPIRED_ROWS,
        "Rows of telemetry deleted because they were old, by table"
    );
    for table in Table::ALL.map(Table::as_str).into_iter().chain([CONTEXTS]) {
        counter!(EXPIRED_ROWS, "table" => table).absolute(0);
    }
    describe_counter!(
        ARCHIVE_FAILURES,
        "Attempts to archive or drop a day of telemetry that failed, by reason"
    );
    for reason in Unfinished::reasons() {
        counter!(ARCHIVE_FAILURES, "reason" => reason).absolute(0);
    }
    describe_gauge!(
        WAITING,
        "Days of telemetry that wait to be archived or dropped; of the replica that looked last"
    );
    describe_gauge!(
        WAITING_SINCE,
        Unit::Seconds,
        "Since when the oldest of them waits, Unix time; 0 is none; of the replica that looked last"
    );
    waiting(Waiting::default());
}

pub(crate) fn retired(days: u64) {
    counter!(RETIRED).increment(days);
}

pub(crate) fn dropped(rows: u64, is_archived: bool) {
    counter!(DROPPED_ROWS, "archive" => word(is_archived)).increment(rows);
}

pub(crate) fn expired(table: &'static str, rows: u64) {
    counter!(EXPIRED_ROWS, "table" => table).increment(rows);
}

pub(crate) fn archive_failed(error: &Unfinished) {
    counter!(ARCHIVE_FAILURES, "reason" => error.reason()).increment(1);
}

pub(crate) fn waiting(now: Waiting) {
    gauge!(WAITING).set(now.tables as f64);
    let since = now.since.map_or(0.0, |at| at.0 as f64 / 1000.0);
    gauge!(WAITING_SINCE).set(since);
}

const fn word(is_archived: bool) -> &'static str {
    if is_archived { "yes" } else { "no" }
}
