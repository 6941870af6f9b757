//! What is around every request: it has a number, and is counted with the time that it took.

use std::sync::Arc;
use std::time::Instant;

use axum::extract::{MatchedPath, Request, State};
use axum::middleware::Next;
use axum::response::Response;
use http::{Extensions, HeaderValue};
use uuid::Uuid;

use crate::metrics::http::Answers;

/// A man is not dead while his name is still spoken; SDKs of telemetry send it as well.
const CLACKS: HeaderValue = HeaderValue::from_static("GNU Terry Pratchett");

/// The number of a request, for people who compare what they see with the logs.
#[derive(Debug, Clone)]
pub(super) struct RequestId(HeaderValue);

impl RequestId {
    fn new() -> Self {
        let mut digits = Uuid::encode_buffer();
        let digits = Uuid::now_v7().simple().encode_lower(&mut digits);
        let value = HeaderValue::from_str(digits);
        Self(value.unwrap_or_else(|_| HeaderValue::from_static("")))
    }

    pub(super) fn as_str(&self) -> &str {
        self.0.to_str().unwrap_or_default()
    }
}

/// The number of the request that has these extensions.
pub(super) fn id(extensions: &Extensions) -> &str {
    let id = extensions.get::<RequestId>();
    id.map_or("", RequestId::as_str)
}

/// Gives each request its number, tells the caller, and counts it by its route.
pub(super) async fn watched(
    State(answers): State<Arc<Answers>>,
    mut request: Request,
    next: Next,
) -> Response {
    let started = Instant::now();
    let method = request.method().clone();
    let route = request.extensions().get::<MatchedPath>().cloned();
    let id = RequestId::new();
    request.extensions_mut().insert(id.clone());
    let mut response = next.run(request).await;
    let headers = response.headers_mut();
    headers.insert("x-request-id", id.0);
    headers.insert("x-clacks-overhead", CLACKS);
    let route = route.as_ref().map_or("none", MatchedPath::as_str);
    answers.count(&method, route, response.status(), started.elapsed());
    response
}
