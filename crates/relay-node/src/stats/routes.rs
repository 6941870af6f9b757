//! The paths, and what all answers have in common.

use std::sync::Arc;
use std::time::Duration;

use axum::extract::ws::WebSocketUpgrade;
use axum::extract::ws::rejection::WebSocketUpgradeRejection;
use axum::extract::{Path, RawQuery, Request, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Extension, Json, Router};
use serde_json::{Value, json};

use super::dialect::Dialect;
use super::keys::KeyDigest;
use super::metrics::{self, Refusal};
use super::source::Place;
use super::{Missing, Stats, push};

/// Players' stream ids begin with it; people paste them.
const PLAY_PREFIX: &str = "play_";
/// How long browsers need not ask whether they may.
const PREFLIGHT_SECONDS: &str = "86400";

pub(super) fn router(stats: Stats) -> Router {
    Router::new()
        .route("/health", get(health))
        .route("/stats/{key}", get(sls))
        .route("/belabox/{key}", dialect(Dialect::Belabox))
        .route("/irlhosting/{key}", dialect(Dialect::Irlhosting))
        .route("/links/{key}", dialect(Dialect::Links))
        .route("/bitrate/{key}", dialect(Dialect::Line))
        .route("/ws/{key}", get(socket))
        .route("/ws", get(socket_by_token))
        .method_not_allowed_fallback(method_not_allowed)
        .fallback(not_found)
        .layer(middleware::from_fn_with_state(stats.clone(), admit))
        .layer(middleware::from_fn(finish))
        .with_state(stats)
}

fn dialect(dialect: Dialect) -> axum::routing::MethodRouter<Stats> {
    get(
        move |State(stats): State<Stats>, Path(key): Path<String>| async move {
            answer(&stats, &key, dialect)
        },
    )
}

/// OpenIRL's server tells the two apart by the query.
async fn sls(
    State(stats): State<Stats>,
    Path(key): Path<String>,
    RawQuery(query): RawQuery,
) -> Response {
    let dialect = match value(query.as_deref(), "legacy") {
        Some("1" | "true") => Dialect::SlsLegacy,
        _ => Dialect::OpenIrl,
    };
    answer(&stats, &key, dialect)
}

/// NOALBS has a setting `token`, which it adds to the URL.
async fn socket_by_token(
    stats: State<Stats>,
    RawQuery(query): RawQuery,
    place: Extension<Arc<Place>>,
    upgrade: Result<WebSocketUpgrade, WebSocketUpgradeRejection>,
) -> Response {
    let key = value(query.as_deref(), "token").unwrap_or_default();
    socket(stats, Path(key.to_owned()), place, upgrade).await
}

async fn socket(
    State(stats): State<Stats>,
    Path(key): Path<String>,
    Extension(place): Extension<Arc<Place>>,
    upgrade: Result<WebSocketUpgrade, WebSocketUpgradeRejection>,
) -> Response {
    let digest = digest(&key);
    let answer = match (stats.find(&digest), upgrade) {
        (Err(missing), _) => missing.into_response(),
        (Ok(_), Err(_)) => upgrade_required(),
        (Ok(_), Ok(upgrade)) => push::start(stats, digest, place, upgrade),
    };
    of_dialect(Dialect::WebSocket, answer)
}

fn answer(stats: &Stats, key: &str, dialect: Dialect) -> Response {
    let answer = match stats.find(&digest(key)) {
        Ok(found) => {
            let body = dialect.encode(found.stream.as_deref(), found.observed_at);
            ([(header::CONTENT_TYPE, dialect.content_type())], body).into_response()
        }
        Err(missing) => missing.into_response(),
    };
    of_dialect(dialect, answer)
}

fn of_dialect(dialect: Dialect, mut answer: Response) -> Response {
    answer.extensions_mut().insert(dialect);
    answer
}

fn digest(key: &str) -> KeyDigest {
    KeyDigest::of(key.strip_prefix(PLAY_PREFIX).unwrap_or(key))
}

/// The first value of `name`; none of those that we know need decoding.
fn value<'a>(query: Option<&'a str>, name: &str) -> Option<&'a str> {
    let pairs = query?.split('&').filter_map(|pair| pair.split_once('='));
    let mut values = pairs.filter_map(|(key, value)| (key == name).then_some(value));
    values.next()
}

async fn health(State(stats): State<Stats>) -> Json<Value> {
    let draining = *stats.draining.borrow();
    let status = if draining { "draining" } else { "ok" };
    Json(json!({ "status": status, "version": env!("CARGO_PKG_VERSION") }))
}

/// Answers browsers that ask whether they may, and those who ask too often.
async fn admit(
    State(stats): State<Stats>,
    Extension(place): Extension<Arc<Place>>,
    request: Request,
    next: Next,
) -> Response {
    if let Err(wait) = stats.take_request(place.source()) {
        metrics::refused(Refusal::RateLimited);
        return too_many(wait);
    }
    if request.method() == Method::OPTIONS {
        return preflight();
    }
    let answer = next.run(request).await;
    let dialect = answer.extensions().get::<Dialect>().copied();
    metrics::answered(dialect, answer.status());
    answer
}

/// What every answer says. Pages from anywhere may read it: there is nothing that a
/// browser would add by itself, such as a cookie, and a page that knows the key
/// could ask from its own server as well.
async fn finish(request: Request, next: Next) -> Response {
    let mut answer = next.run(request).await;
    let headers: [(HeaderName, &'static str); 4] = [
        (header::ACCESS_CONTROL_ALLOW_ORIGIN, "*"),
        (header::CACHE_CONTROL, "no-store"),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::REFERRER_POLICY, "no-referrer"),
    ];
    let headers = headers.map(|(name, value)| (name, HeaderValue::from_static(value)));
    answer.headers_mut().extend(HeaderMap::from_iter(headers));
    answer
}

fn preflight() -> Response {
    let headers = [
        (header::ACCESS_CONTROL_ALLOW_METHODS, "GET"),
        (header::ACCESS_CONTROL_ALLOW_HEADERS, "*"),
        (header::ACCESS_CONTROL_MAX_AGE, PREFLIGHT_SECONDS),
    ];
    (StatusCode::NO_CONTENT, headers).into_response()
}

/// In the words of SRT Live Server, which its clients look for.
impl IntoResponse for Missing {
    fn into_response(self) -> Response {
        let (status, message) = match self {
            Self::UnknownKey => (StatusCode::NOT_FOUND, "Invalid player key"),
            Self::Frozen => (StatusCode::SERVICE_UNAVAILABLE, "No figures at the moment"),
        };
        (status, refusal(message)).into_response()
    }
}

fn too_many(wait: Duration) -> Response {
    let seconds = wait.as_secs_f64().ceil().to_string();
    let retry = [(header::RETRY_AFTER, seconds)];
    let body = refusal("Too many requests");
    (StatusCode::TOO_MANY_REQUESTS, retry, body).into_response()
}

fn upgrade_required() -> Response {
    let upgrade = [(header::UPGRADE, "websocket")];
    let body = refusal("This path is for WebSocket");
    (StatusCode::UPGRADE_REQUIRED, upgrade, body).into_response()
}

fn refusal(message: &str) -> Json<Value> {
    Json(json!({ "status": "error", "message": message }))
}

async fn not_found() -> (StatusCode, Json<Value>) {
    (
        StatusCode::NOT_FOUND,
        error("not_found", "there is nothing at this path"),
    )
}

async fn method_not_allowed() -> (StatusCode, Json<Value>) {
    (
        StatusCode::METHOD_NOT_ALLOWED,
        error("method_not_allowed", "this path is for GET"),
    )
}

fn error(code: &str, message: &str) -> Json<Value> {
    Json(json!({ "error": { "code": code, "message": message } }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_query_is_read_leniently() {
        assert_eq!(value(Some("legacy=1"), "legacy"), Some("1"));
        assert_eq!(
            value(Some("x&reset&legacy=1&legacy=2"), "legacy"),
            Some("1")
        );
        assert_eq!(value(Some("illegacy=1"), "legacy"), None);
        assert_eq!(value(Some(""), "legacy"), None);
        assert_eq!(value(None, "legacy"), None);
    }

    #[test]
    fn a_players_stream_id_is_as_good_as_its_key() {
        assert_eq!(digest("play_0123"), digest("0123"));
        assert_ne!(digest("live_0123"), digest("0123"));
    }
}
