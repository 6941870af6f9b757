//! The statistics listener's own metrics.

use axum::http::StatusCode;
use metrics::{counter, describe_counter, describe_gauge, gauge};

use super::dialect::Dialect;

const REQUESTS: &str = "streamhaul_relay_stats_requests_total";
const REFUSED: &str = "streamhaul_relay_stats_refused_total";
const CONNECTIONS: &str = "streamhaul_relay_stats_connections";
const SOCKETS: &str = "streamhaul_relay_stats_sockets";

/// Requests for no dialect: `/health`, and paths that are not there.
const OTHER: &str = "other";

/// Why a connection or a request was not taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Refusal {
    /// All connections are taken.
    ConnectionsFull,
    /// All that its source may have.
    SourceFull,
    /// Its source had its requests for now.
    RateLimited,
    /// All WebSockets are taken.
    SocketsFull,
}

impl Refusal {
    const ALL: [Self; 4] = [
        Self::ConnectionsFull,
        Self::SourceFull,
        Self::RateLimited,
        Self::SocketsFull,
    ];

    const fn as_str(self) -> &'static str {
        match self {
            Self::ConnectionsFull => "connections_full",
            Self::SourceFull => "source_full",
            Self::RateLimited => "rate_limited",
            Self::SocketsFull => "sockets_full",
        }
    }
}

/// Describes the metrics and starts the series that there always are at zero.
pub(crate) fn register() {
    describe_counter!(
        REQUESTS,
        "Requests for statistics answered, by dialect and status."
    );
    describe_counter!(
        REFUSED,
        "Connections and requests for statistics that were not taken, by reason."
    );
    describe_gauge!(CONNECTIONS, "Connections to the statistics listener.");
    describe_gauge!(SOCKETS, "WebSockets that are pushed statistics.");
    for dialect in Dialect::ALL {
        let served = match dialect {
            Dialect::WebSocket => StatusCode::SWITCHING_PROTOCOLS,
            _ => StatusCode::OK,
        };
        for status in [served, StatusCode::NOT_FOUND] {
            requests(Some(dialect), status).absolute(0);
        }
    }
    for reason in Refusal::ALL {
        counter!(REFUSED, "reason" => reason.as_str()).absolute(0);
    }
    connections(0);
    gauge!(SOCKETS).set(0.0);
}

/// Counts an answer.
pub(super) fn answered(dialect: Option<Dialect>, status: StatusCode) {
    requests(dialect, status).increment(1);
}

/// The statuses are the few that this listener answers with.
fn requests(dialect: Option<Dialect>, status: StatusCode) -> metrics::Counter {
    let dialect = dialect.map_or(OTHER, Dialect::as_str);
    counter!(REQUESTS, "dialect" => dialect, "status" => status.as_str().to_owned())
}

/// Counts what was not taken.
pub(super) fn refused(reason: Refusal) {
    counter!(REFUSED, "reason" => reason.as_str()).increment(1);
}

/// Says how many connections there are.
pub(super) fn connections(count: u32) {
    gauge!(CONNECTIONS).set(f64::from(count));
}

/// A WebSocket, counted as long as it lives.
pub(super) struct OpenSocket(());

impl OpenSocket {
    pub(super) fn new() -> Self {
        gauge!(SOCKETS).increment(1.0);
        Self(())
    }
}

impl Drop for OpenSocket {
    fn drop(&mut self) {
        gauge!(SOCKETS).decrement(1.0);
    }
}
