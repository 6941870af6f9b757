//! Metrics of HTTP requests, by the names that self-hosted telemetry has had.

use std::collections::HashMap;
use std::sync::{PoisonError, RwLock};
use std::time::Duration;

use http::{Method, StatusCode};
use metrics::{
    Counter, Histogram, Unit, counter, describe_counter, describe_gauge, describe_histogram, gauge,
    histogram,
};

/// Requests answered, by `method`, `route` and `status`.
pub const REQUESTS: &str = "http_requests_total";
/// How long the answers took, by the same.
pub const DURATION: &str = "http_request_duration_seconds";
/// Connections to the database that are in use.
pub const CONNECTIONS_ACTIVE: &str = "db_connections_active";

/// Methods that the routes know; others are one.
static METHODS: [Method; 4] = [Method::GET, Method::HEAD, Method::POST, Method::OPTIONS];

pub(super) fn start() {
    describe_counter!(
        REQUESTS,
        "HTTP requests answered by method, route and status"
    );
    describe_histogram!(DURATION, Unit::Seconds, "Time to answer an HTTP request");
    describe_gauge!(CONNECTIONS_ACTIVE, "Connections to the database in use");
    gauge!(CONNECTIONS_ACTIVE).set(0.0);
}

/// Answers by route, method and status; each kind is looked up once.
#[derive(Default)]
pub(crate) struct Answers {
    routes: RwLock<HashMap<String, HashMap<Kind, Series>>>,
}

/// A method and a status.
type Kind = (&'static str, StatusCode);

/// What is known of answers of one kind.
#[derive(Clone)]
struct Series {
    requests: Counter,
    duration: Histogram,
}

impl Answers {
    /// Counts one. `route` is the template, not the path.
    pub(crate) fn count(&self, method: &Method, route: &str, status: StatusCode, took: Duration) {
        let known = METHODS.iter().find(|known| *known == method);
        let series = self.series(route, (known.map_or("other", Method::as_str), status));
        series.requests.increment(1);
        series.duration.record(took);
    }

    fn series(&self, route: &str, kind: Kind) -> Series {
        let routes = self.routes.read().unwrap_or_else(PoisonError::into_inner);
        if let Some(series) = routes.get(route).and_then(|kinds| kinds.get(&kind)) {
            return series.clone();
        }
        drop(routes);
        let series = Series::new(route, kind);
        let mut routes = self.routes.write().unwrap_or_else(PoisonError::into_inner);
        let kinds = routes.entry(route.to_owned()).or_default();
        kinds.entry(kind).or_insert(series).clone()
    }
}

impl Series {
    fn new(route: &str, (method, status): Kind) -> Self {
        let labels = [
            ("method", method.to_owned()),
            ("route", route.to_owned()),
            ("status", status.as_str().to_owned()),
        ];
        Self {
            requests: counter!(REQUESTS, &labels),
            duration: histogram!(DURATION, &labels),
        }
    }
}
