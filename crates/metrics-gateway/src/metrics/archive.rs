//! Metrics of what is kept of sessions.

use metrics::{counter, describe_counter, describe_gauge, gauge};

/// Seconds of sessions that had no place on their way to the archive.
const SECONDS_DROPPED: &str = "streamhaul_gateway_archive_seconds_dropped_total";
/// Steps of sessions, by `outcome`: `written`, `dropped`.
const STEPS: &str = "streamhaul_gateway_archive_steps_total";
/// Steps that wait to be written.
const STEPS_WAITING: &str = "streamhaul_gateway_archive_steps_waiting";
/// Writes that failed.
const WRITES_FAILED: &str = "streamhaul_gateway_archive_write_failures_total";

/// Reports made of it.
const REPORTS: &str = "streamhaul_gateway_reports_made_total";

const WRITTEN: &str = "written";
const DROPPED: &str = "dropped";

/// Describes the metrics and starts them at zero.
pub(super) fn start() {
    describe_counter!(
        SECONDS_DROPPED,
        "Seconds of sessions that had no place on their way to the archive"
    );
    describe_counter!(STEPS, "Steps of sessions and links by outcome");
    describe_gauge!(
        STEPS_WAITING,
        "Steps of sessions and links that wait to be written"
    );
    describe_counter!(WRITES_FAILED, "Writes of steps that failed");
    describe_counter!(REPORTS, "Reports of sessions that were made");
    for name in [SECONDS_DROPPED, WRITES_FAILED, REPORTS] {
        counter!(name).absolute(0);
    }
    for outcome in [WRITTEN, DROPPED] {
        counter!(STEPS, "outcome" => outcome).absolute(0);
    }
    steps_waiting(0);
}

pub(crate) fn second_dropped() {
    counter!(SECONDS_DROPPED).increment(1);
}

pub(crate) fn steps_written(count: usize) {
    counter!(STEPS, "outcome" => WRITTEN).increment(count as u64);
}

pub(crate) fn steps_dropped(count: usize) {
    counter!(STEPS, "outcome" => DROPPED).increment(count as u64);
}

pub(crate) fn steps_waiting(count: usize) {
    gauge!(STEPS_WAITING).set(count as f64);
}

pub(crate) fn write_failed() {
    counter!(WRITES_FAILED).increment(1);
}

pub(crate) fn report_made() {
    counter!(REPORTS).increment(1);
}
