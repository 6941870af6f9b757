//! Metrics of HTTP requests, by the names that self-hosted telemetry has had.

use std::time::Duration;

use http::{Method, StatusCode};
use metrics::{
    Unit, counter, describe_counter, describe_gauge, describe_histogram, gauge, histogram,
};

/// Requests answered, by `method`, `route` and `status`.
pub const REQUESTS: &str = "http_requests_total";
/// How long the answers took, by the same.
pub const DURATION: &str = "http_request_duration_seconds";
/// Connections to the database that are in use.
pub const CONNECTIONS_ACTIVE: &str = "db_connections_active";

/// Methods that the routes know; others are one.
const METHODS: [Method; 4] = [Method::GET, Method::HEAD, Method::POST, Method::OPTIONS];

pub(super) fn start() {
    describe_counter!(
        REQUESTS,
        "HTTP requests answered by method, route and status"
    );
    describe_histogram!(DURATION, Unit::Seconds, "Time to answer an HTTP request");
    describe_gauge!(CONNECTIONS_ACTIVE, "Connections to the database in use");
    gauge!(CONNECTIONS_ACTIVE).set(0.0);
}

/// `route` is the template, not the path.
pub(crate) fn answered(method: &Method, route: &str, status: StatusCode, took: Duration) {
    let known = METHODS.iter().find(|known| *known == method);
    let labels = [
        ("method", known.map_or("other", Method::as_str).to_owned()),
        ("route", route.to_owned()),
        ("status", status.as_str().to_owned()),
    ];
    counter!(REQUESTS, &labels).increment(1);
    histogram!(DURATION, &labels).record(took);
}
