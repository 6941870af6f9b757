//! Metrics of the log between gateways.

use metrics::{Unit, counter, describe_counter, describe_gauge, gauge};

/// Messages that this edge put into the log.
pub const PUBLISHED: &str = "streamhaul_gateway_nats_published_total";
/// Messages of the log that this writer committed.
pub const WRITTEN: &str = "streamhaul_gateway_nats_written_total";
/// Messages that this writer did not understand, each time.
pub const UNREADABLE: &str = "streamhaul_gateway_nats_unreadable_total";
/// Messages that are in the log, as a writer sees it.
pub const MESSAGES: &str = "streamhaul_gateway_nats_messages";
/// Their bytes.
pub const BYTES: &str = "streamhaul_gateway_nats_bytes";

/// Describes every metric and starts the known series at zero.
pub(super) fn start() {
    describe_counter!(PUBLISHED, "Messages that this edge put into the log");
    describe_counter!(WRITTEN, "Messages of the log that this writer committed");
    describe_counter!(
        UNREADABLE,
        "Messages that this writer did not understand, each time that they came"
    );
    describe_gauge!(MESSAGES, "Messages that are in the log");
    describe_gauge!(BYTES, Unit::Bytes, "What the log holds");
    for name in [PUBLISHED, WRITTEN, UNREADABLE] {
        counter!(name).absolute(0);
    }
}

pub(crate) fn published() {
    counter!(PUBLISHED).increment(1);
}

pub(crate) fn written() {
    counter!(WRITTEN).increment(1);
}

pub(crate) fn unreadable() {
    counter!(UNREADABLE).increment(1);
}

pub(crate) fn held(messages: u64, bytes: u64) {
    gauge!(MESSAGES).set(messages as f64);
    gauge!(BYTES).set(bytes as f64);
}
