//! What happens around every request: an id, a limit, a deadline, a measurement, and
//! one form for refusals.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::extract::{ConnectInfo, MatchedPath, Request};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use http::{HeaderMap, HeaderName, HeaderValue, Method};
use ipnet::IpNet;
use service_kit::places::Places;
use tracing::Instrument;

use crate::believed::Believed;
use crate::error::{ApiError, Code};
use crate::{metrics, token};
use service_kit::client_address::{ClientAddress, forget_unbelieved};

pub(super) const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
const REQUEST_ID_LENGTH_MAX: usize = 64;
/// Where a health check asks.
pub(super) const HEALTHZ: &str = "/healthz";

/// What all requests share.
#[derive(Clone)]
pub(super) struct Limits {
    pub(super) timeout: Duration,
    pub(super) in_flight: Places<IpAddr>,
    pub(super) proxies: Arc<Believed>,
}

pub(super) async fn exchange(limits: Limits, mut request: Request, next: Next) -> Response {
    let began = Instant::now();
    let id = request_id(request.headers());
    let method = method_word(request.method());
    let route = request
        .extensions()
        .get::<MatchedPath>()
        .map_or_else(|| "unmatched".to_owned(), |path| path.as_str().to_owned());
    let peer = request.extensions().get::<ConnectInfo<SocketAddr>>();
    if let Some(peer) = peer.map(|ConnectInfo(peer)| peer.ip()) {
        let proxies = limits.proxies.networks();
        let address = ClientAddress::of(peer, request.headers(), &proxies);
        request.extensions_mut().insert(address);
        forget_unbelieved(request.headers_mut(), peer, &proxies);
    }
    let span = tracing::info_span!("request", request.id = id, method, route);
    let response = answer(limits, request, next).instrument(span).await;
    let mut response = rendered(response, &id);
    if let Ok(value) = HeaderValue::from_str(&id) {
        response.headers_mut().insert(REQUEST_ID, value);
    }
    metrics::http(method, route, response.status().as_u16(), began.elapsed());
    response
}

/// A refusal as the caller sees it, with the header fields that it got on its way out.
fn rendered(response: Response, id: &str) -> Response {
    let Some(error) = response.extensions().get::<ApiError>().cloned() else {
        return response;
    };
    let (mut on_its_way, _) = response.into_parts();
    let mut rendered = error.render(id);
    on_its_way
        .headers
        .extend(std::mem::take(rendered.headers_mut()));
    *rendered.headers_mut() = on_its_way.headers;
    rendered
}

async fn answer(limits: Limits, request: Request, next: Next) -> Response {
    // Whoever restarts us because we do not answer must not be turned away by a crowd.
    let is_health_check = request.uri().path() == HEALTHZ;
    let holder = holder(&request, &limits.proxies.networks());
    let taken = (!is_health_check).then(|| limits.in_flight.take(holder));
    let Ok(_place) = taken.transpose() else {
        return ApiError::new(Code::Overloaded, "too many requests at once").into_response();
    };
    match tokio::time::timeout(limits.timeout, next.run(request)).await {
        Ok(response) => response,
        Err(_) => ApiError::new(Code::Timeout, "the answer took too long").into_response(),
    }
}

/// With whom a request counts: its network, unless it comes from a proxy of ours itself.
fn holder(request: &Request, proxies: &[IpNet]) -> Option<IpAddr> {
    let address = request.extensions().get::<ClientAddress>()?;
    (!address.is_in(proxies)).then(|| address.network())
}

/// The caller's own id for the request when it is a plain one, else a fresh one.
fn request_id(headers: &HeaderMap) -> String {
    let given = headers
        .get(REQUEST_ID)
        .and_then(|value| value.to_str().ok());
    let plain = |b: u8| b.is_ascii_alphanumeric() || b"-_.".contains(&b);
    given
        .filter(|id| (1..=REQUEST_ID_LENGTH_MAX).contains(&id.len()) && id.bytes().all(plain))
        .map_or_else(|| format!("req_{:032x}", token::id_bits()), str::to_owned)
}

/// A bounded set of label values, whatever callers send.
fn method_word(method: &Method) -> &'static str {
    match *method {
        Method::GET => "GET",
        Method::POST => "POST",
        Method::PUT => "PUT",
        Method::DELETE => "DELETE",
        Method::HEAD => "HEAD",
        Method::OPTIONS => "OPTIONS",
        Method::PATCH => "PATCH",
        _ => "other",
    }
}

#[cfg(test)]
mod tests {
    use std::io::{self, Write};
    use std::sync::Mutex;

    use axum::Router;
    use axum::body::Body;
    use axum::middleware::from_fn;
    use axum::routing::get;
    use tower::ServiceExt;

    use super::*;
    use crate::config::HttpConfig;

    /// What was logged.
    #[derive(Clone, Default)]
    struct Log(Arc<Mutex<Vec<u8>>>);

    impl Write for Log {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().write(bytes)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[tokio::test]
    async fn every_log_line_of_a_request_has_its_id() {
        let log = Log::default();
        let writer = log.clone();
        let subscriber = tracing_subscriber::fmt()
            .json()
            .with_writer(move || writer.clone())
            .finish();
        let _logging = tracing::subscriber::set_default(subscriber);
        let limits = Limits {
            timeout: Duration::from_secs(30),
            in_flight: Places::new(1, 1),
            proxies: Arc::new(Believed::new(&HttpConfig::default()).unwrap()),
        };
        let handler = async || {
            tracing::info!("Begun");
            tracing::warn!("Done");
        };
        let router = Router::new()
            .route("/", get(handler))
            .layer(from_fn(move |request, next| {
                exchange(limits.clone(), request, next)
            }));
        let request = Request::get("/").header(REQUEST_ID, "test-1");
        let request = request.body(Body::empty()).unwrap();
        let answer = router.oneshot(request).await.unwrap();
        assert_eq!(answer.headers()[REQUEST_ID], "test-1");
        let text = String::from_utf8(log.0.lock().unwrap().clone()).unwrap();
        assert_eq!(text.lines().count(), 2, "{text}");
        for line in text.lines() {
            assert!(line.contains(r#""request.id":"test-1""#), "{line}");
        }
    }

    #[test]
    fn a_plain_request_id_is_kept_and_others_are_replaced() {
        let with = |id: &str| {
            let mut headers = HeaderMap::new();
            headers.insert(REQUEST_ID, HeaderValue::from_str(id).unwrap());
            request_id(&headers)
        };
        assert_eq!(with("abc-1"), "abc-1");
        assert!(with("a b").starts_with("req_"));
        assert!(with(&"a".repeat(65)).starts_with("req_"));
        assert!(request_id(&HeaderMap::new()).starts_with("req_"));
    }
}
