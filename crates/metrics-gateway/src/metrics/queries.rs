//! Metrics of what is asked of events.

use std::time::Duration;

use metrics::{Unit, counter, describe_counter, describe_histogram, histogram};

/// Questions, by `outcome`.
pub const QUERIES: &str = "streamhaul_gateway_queries_total";
/// How long PostgreSQL took for those that were computed.
pub const QUERY_DURATION: &str = "streamhaul_gateway_query_duration_seconds";
/// Exports that ended, by `outcome`.
pub const EXPORTS: &str = "streamhaul_gateway_exports_total";
/// Events that were exported.
pub const EXPORTED: &str = "streamhaul_gateway_exported_events_total";

reasons! {
    /// What came of a question.
    Outcome {
        /// PostgreSQL was asked.
        Computed = "computed",
        /// The answer was known, or another asked the same at the moment.
        Remembered = "remembered",
        /// It was no question.
        Refused = "refused",
        /// There was no room, no time or no database.
        Failed = "failed",
    }
}

/// Describes every metric and starts the known series at zero.
pub(super) fn start() {
    describe_counter!(QUERIES, "Questions about events by outcome");
    describe_histogram!(
        QUERY_DURATION,
        Unit::Seconds,
        "How long PostgreSQL took for a question"
    );
    describe_counter!(EXPORTS, "Exports of events that ended, by outcome");
    describe_counter!(EXPORTED, "Events exported");
    for outcome in Outcome::ALL {
        counter!(QUERIES, "outcome" => outcome.as_str()).absolute(0);
    }
    for is_complete in [true, false] {
        counter!(EXPORTS, "outcome" => export_outcome(is_complete)).absolute(0);
    }
    counter!(EXPORTED).absolute(0);
}

pub(crate) fn asked(outcome: Outcome) {
    counter!(QUERIES, "outcome" => outcome.as_str()).increment(1);
}

pub(crate) fn computed(took: Duration) {
    histogram!(QUERY_DURATION).record(took);
}

pub(crate) fn export_ended(is_complete: bool) {
    counter!(EXPORTS, "outcome" => export_outcome(is_complete)).increment(1);
}

pub(crate) fn exported(events: usize) {
    counter!(EXPORTED).increment(events as u64);
}

const fn export_outcome(is_complete: bool) -> &'static str {
    if is_complete { "complete" } else { "broken" }
}
