//! Metrics of the spool.

use metrics::{Unit, counter, describe_counter, describe_gauge, gauge};

use crate::events::spool::Held;

/// Bytes of batches that the spool holds.
pub const BYTES: &str = "streamhaul_gateway_spool_bytes";
/// Batches that the spool holds.
pub const BATCHES: &str = "streamhaul_gateway_spool_batches";
/// When the oldest of them came; 0: there is none.
pub const OLDEST: &str = "streamhaul_gateway_spool_oldest_timestamp_seconds";
/// Batches that were put into the spool.
pub const APPENDED: &str = "streamhaul_gateway_spool_appended_total";
/// Batches of the spool that the database has.
pub const REPLAYED: &str = "streamhaul_gateway_spool_replayed_total";
/// Batches of the spool that cannot be understood.
pub const UNREADABLE: &str = "streamhaul_gateway_spool_unreadable_total";

/// Describes every metric and starts the known series at zero.
pub(super) fn start() {
    describe_gauge!(BYTES, Unit::Bytes, "Batches that the spool holds");
    describe_gauge!(BATCHES, "Batches that the spool holds");
    describe_gauge!(
        OLDEST,
        Unit::Seconds,
        "When the oldest batch of the spool came, Unix time; 0: it is empty"
    );
    describe_counter!(APPENDED, "Batches that were put into the spool");
    describe_counter!(REPLAYED, "Batches of the spool that the database has");
    describe_counter!(
        UNREADABLE,
        "Batches of the spool that cannot be understood, set aside with their segment"
    );
    for name in [APPENDED, REPLAYED, UNREADABLE] {
        counter!(name).absolute(0);
    }
    for name in [BYTES, BATCHES, OLDEST] {
        gauge!(name).increment(0.0);
    }
}

pub(crate) fn held(held: Held) {
    gauge!(BYTES).set(held.bytes as f64);
    gauge!(BATCHES).set(held.records as f64);
    let oldest_ms = held.oldest_at.map_or(0, |at| at.0);
    gauge!(OLDEST).set(oldest_ms as f64 / 1000.0);
}

pub(crate) fn appended(batches: usize) {
    counter!(APPENDED).increment(batches as u64);
}

pub(crate) fn replayed(batches: usize) {
    counter!(REPLAYED).increment(batches as u64);
}

pub(crate) fn unreadable() {
    counter!(UNREADABLE).increment(1);
}
