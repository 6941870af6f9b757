//! `GET /v1/sessions/{id}/report`: what a session did in all of its life, passed on from the
//! metrics-gateway, which asks us whether the caller may see it. `docs/metrics/reports.md`
//! has what is in it.

use std::sync::Arc;
use std::time::Duration;

use axum::Extension;
use axum::body::Body;
use axum::extract::{Path, RawQuery, State};
use axum::response::Response;
use axum::routing::get;
use http::header::{
    AUTHORIZATION, CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, HeaderName,
    REFERRER_POLICY, X_CONTENT_TYPE_OPTIONS,
};
use http::{Method, Request, StatusCode};
use model::SessionId;
use secrecy::ExposeSecret;

use crate::auth::{Access, Credential};
use crate::error::{ApiError, Code};
use crate::limits::Class;
use crate::openapi::Description;
use crate::routes::Route;
use crate::state::App;

/// A report of a day is read and drawn within a second or two.
const TIMEOUT: Duration = Duration::from_secs(20);
/// What the gateway says of the body.
const HEADERS: [HeaderName; 5] = [
    CONTENT_TYPE,
    CACHE_CONTROL,
    CONTENT_SECURITY_POLICY,
    REFERRER_POLICY,
    X_CONTENT_TYPE_OPTIONS,
];

pub(super) fn routes() -> Vec<Route> {
    vec![
        Route::new(
            Method::GET,
            "/v1/sessions/{id}/report",
            Access::Viewer,
            get(report),
        )
        .counted_as(Class::Read)
        .describe(
            Description::new(
                "A session from its beginning to its end, see docs/metrics/reports.md.",
            )
            .query("format", "`json`, or `html`: a page with plots.")
            .sends("application/json")
            .refuses(&[400, 503]),
        ),
    ]
}

async fn report(
    State(app): State<Arc<App>>,
    Extension(credential): Extension<Credential>,
    Path(id): Path<String>,
    RawQuery(query): RawQuery,
) -> Result<Response, ApiError> {
    let id = SessionId::parse(&id).map_err(|_| ApiError::not_found("no such session"))?;
    let request = request(&app, &id, &credential, format(query.as_deref())?)?;
    let answer = tokio::time::timeout(TIMEOUT, app.gateway.request(request)).await;
    let answer = answer.map_err(|_| away())?.map_err(|error| {
        tracing::warn!(%error, "The metrics-gateway does not answer");
        away()
    })?;
    refuse(answer.status())?;
    let (parts, body) = answer.into_parts();
    let mut response = Response::new(Body::new(body));
    for name in HEADERS {
        if let Some(value) = parts.headers.get(&name) {
            response.headers_mut().insert(name, value.clone());
        }
    }
    Ok(response)
}

/// Only what the gateway knows goes on.
fn format(query: Option<&str>) -> Result<&'static str, ApiError> {
    match query {
        None | Some("" | "format=json") => Ok("json"),
        Some("format=html") => Ok("html"),
        Some(_) => Err(ApiError::invalid("format: json or html")),
    }
}

fn request(
    app: &App,
    id: &SessionId,
    credential: &Credential,
    format: &str,
) -> Result<Request<Body>, ApiError> {
    let base = app.config.gateway_http.trim_end_matches('/');
    let bearer = format!("Bearer {}", credential.0.expose_secret());
    let request = Request::get(format!("{base}/v1/sessions/{id}/report?format={format}"))
        .header(AUTHORIZATION, bearer)
        .body(Body::empty());
    request.map_err(|error| {
        tracing::error!(%error, "gateway_http makes no URL");
        ApiError::internal()
    })
}

fn refuse(status: StatusCode) -> Result<(), ApiError> {
    match status {
        StatusCode::OK => Ok(()),
        StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN | StatusCode::NOT_FOUND => Err(
            ApiError::not_found("no such session, or nothing was kept of it"),
        ),
        StatusCode::NOT_IMPLEMENTED => Err(ApiError::new(
            Code::Unavailable,
            "the metrics-gateway keeps no history: give it a database",
        )),
        StatusCode::TOO_MANY_REQUESTS => Err(ApiError::new(
            Code::Overloaded,
            "too many reports at once; try again",
        )),
        _ => Err(away()),
    }
}

fn away() -> ApiError {
    ApiError::new(Code::Unavailable, "reports are away; try again soon")
}
