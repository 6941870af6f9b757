//! What clients measured themselves, of apps that count.

use std::time::Duration;

use metrics::{Unit, counter, describe_counter, describe_histogram, histogram};
use serde::Deserialize;

/// Connections that clients made, by `path`.
pub const CONNECTIONS: &str = "streamhaul_gateway_client_connections_total";
/// From an input to the picture that shows it.
pub const INPUT_TO_PRESENT: &str = "streamhaul_gateway_client_input_to_present_seconds";
/// Measurements that do not count, by `reason`.
pub const IGNORED: &str = "streamhaul_gateway_client_reports_ignored_total";

reasons! {
    /// Which way a connection takes.
    #[derive(Deserialize)]
    #[serde(rename_all = "snake_case")]
    Path {
        /// From one end to the other.
        Direct = "direct",
        /// Through a relay.
        Relay = "relay",
    }
}

reasons! {
    /// Why a measurement does not count.
    Ignored {
        /// Nobody said that the app counts.
        App = "app",
        /// It is of another hour.
        Time = "time",
        /// Not what the contract says.
        Malformed = "malformed",
        /// No such value can be.
        Value = "value",
    }
}

/// Describes every metric and starts the known series at zero.
pub(super) fn start() {
    describe_counter!(CONNECTIONS, "Connections that clients made, by path");
    describe_histogram!(
        INPUT_TO_PRESENT,
        Unit::Seconds,
        "From an input to the picture that shows it, as clients measured it"
    );
    describe_counter!(IGNORED, "Measurements of clients that do not count");
    for path in Path::ALL {
        counter!(CONNECTIONS, "path" => path.as_str()).absolute(0);
    }
    for reason in Ignored::ALL {
        counter!(IGNORED, "reason" => reason.as_str()).absolute(0);
    }
}

pub(crate) fn connected(path: Path) {
    counter!(CONNECTIONS, "path" => path.as_str()).increment(1);
}

pub(crate) fn seen(latency: Duration) {
    histogram!(INPUT_TO_PRESENT).record(latency);
}

pub(crate) fn ignored(reason: Ignored) {
    counter!(IGNORED, "reason" => reason.as_str()).increment(1);
}
