//! Metrics of apps' events.

use std::time::Duration;

use metrics::{
    Unit, counter, describe_counter, describe_gauge, describe_histogram, gauge, histogram,
};
use storage::telemetry::intake::Kept;

use crate::events::event::Fault;
use crate::events::refusal::Refusal;

/// Events kept that were not there before.
pub const INGESTED: &str = "events_ingested_total";
/// Events not kept, by `reason`: quarantined, or refused for want of room or of a database.
pub const FAILED: &str = "events_failed_total";
/// Events that were kept before.
pub const DUPLICATES: &str = "streamhaul_gateway_events_duplicate_total";
/// Requests refused, by `reason`.
pub const REFUSED: &str = "streamhaul_gateway_ingest_refused_total";
/// Requests answered with nothing kept, as their client asked.
pub const NOT_TRACKED: &str = "dnt_requests_total";
/// Requests answered again, byte by byte the same.
pub const REPEATED: &str = "streamhaul_gateway_ingest_repeated_total";
/// Transactions that kept events.
pub const FLUSHES: &str = "streamhaul_gateway_events_flushes_total";
/// How long such a transaction took.
pub const FLUSH_DURATION: &str = "streamhaul_gateway_events_flush_duration_seconds";
/// Such transactions that were begun anew, because an event was there already.
pub const FLUSHES_ANEW: &str = "streamhaul_gateway_events_flushes_anew_total";
/// Events that wait or are being written.
pub const QUEUED: &str = "streamhaul_gateway_events_queued";
/// Events that lie in no day's partition.
pub const STRAY: &str = "streamhaul_gateway_events_stray";

/// Describes every metric and starts the known series at zero.
pub(super) fn start() {
    describe();
    for fault in Fault::ALL {
        failed(fault.as_str(), 0);
    }
    for refusal in [Refusal::Full, Refusal::Unavailable] {
        failed(refusal.code(), 0);
    }
    for name in [
        INGESTED,
        DUPLICATES,
        NOT_TRACKED,
        REPEATED,
        FLUSHES,
        FLUSHES_ANEW,
    ] {
        counter!(name).absolute(0);
    }
    queued(0);
    stray(0);
}

fn describe() {
    describe_counter!(INGESTED, "Events of apps kept that were not there before");
    describe_counter!(FAILED, "Events of apps not kept, by reason");
    describe_counter!(DUPLICATES, "Events of apps that were kept before");
    describe_counter!(REFUSED, "Batches of events refused by reason");
    describe_counter!(
        NOT_TRACKED,
        "Batches of which nothing was kept, as their client asked"
    );
    describe_counter!(REPEATED, "Batches answered again, byte by byte the same");
    describe_counter!(FLUSHES, "Transactions that kept events");
    describe_histogram!(
        FLUSH_DURATION,
        Unit::Seconds,
        "How long a transaction that kept events took"
    );
    describe_counter!(
        FLUSHES_ANEW,
        "Transactions that were to keep events and were begun anew, because one was there already"
    );
    describe_gauge!(QUEUED, "Events that wait or are being written");
    describe_gauge!(
        STRAY,
        "Events that lie in no day's partition, counted up to 10000"
    );
}

pub(crate) fn failed(reason: &'static str, events: u64) {
    counter!(FAILED, "reason" => reason).increment(events);
}

pub(crate) fn refused(refusal: Refusal) {
    counter!(REFUSED, "reason" => refusal.code()).increment(1);
}

pub(crate) fn not_tracked() {
    counter!(NOT_TRACKED).increment(1);
}

pub(crate) fn repeated() {
    counter!(REPEATED).increment(1);
}

pub(crate) fn flushed(kept: &[Kept], took: Duration) {
    let sum = |of: fn(&Kept) -> u64| kept.iter().map(of).sum();
    counter!(INGESTED).increment(sum(|it| it.events));
    counter!(DUPLICATES).increment(sum(|it| it.duplicates));
    counter!(FLUSHES).increment(1);
    histogram!(FLUSH_DURATION).record(took);
}

pub(crate) fn begun_anew() {
    counter!(FLUSHES_ANEW).increment(1);
}

pub(crate) fn queued(events: usize) {
    gauge!(QUEUED).set(events as f64);
}

pub(crate) fn stray(events: u64) {
    gauge!(STRAY).set(events as f64);
}
