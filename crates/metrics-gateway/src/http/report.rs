//! `GET /v1/sessions/{id}/report`: what a session did in all of its life, as JSON or, with
//! `?format=html`, as a page.

use axum::Extension;
use axum::Json;
use axum::extract::{Path, Query, State as Shared};
use axum::response::{Html, IntoResponse, Response};
use http::{HeaderMap, HeaderName, HeaderValue, header};
use model::SessionId;
use serde::Deserialize;

use super::State;
use super::error::Error;
use super::live::bearer;
use super::watched::RequestId;
use crate::access::Verdict;
use crate::metrics::archive as metrics;
use crate::report::{self, Report};

#[derive(Deserialize)]
pub(super) struct Asked {
    #[serde(default)]
    format: Format,
}

#[derive(Clone, Copy, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Format {
    #[default]
    Json,
    Html,
}

pub(super) async fn report(
    Shared(state): Shared<State>,
    Path(id): Path<String>,
    asked: Result<Query<Asked>, axum::extract::rejection::QueryRejection>,
    Extension(request_id): Extension<RequestId>,
    headers: HeaderMap,
) -> Response {
    let Ok(Query(asked)) = asked else {
        return Error::BadFormat.response(request_id.as_str());
    };
    match make(&state, &id, &headers).await {
        Ok(report) => answer(&report, asked.format),
        Err(error) => error.response(request_id.as_str()),
    }
}

async fn make(state: &State, id: &str, headers: &HeaderMap) -> Result<Report, Error> {
    let token = bearer(headers).ok_or(Error::Unauthorized)?;
    let session = SessionId::parse(id).map_err(|_| Error::NotFound)?;
    match state.access.viewer(token, &session).await {
        Verdict::Yes(()) => {}
        // To all others the session does not exist.
        Verdict::No => return Err(Error::NotFound),
        Verdict::Unknown => return Err(Error::Unavailable),
    }
    let pool = state.pool.as_ref().ok_or(Error::NothingKept)?;
    let Ok(_place) = state.reports.try_acquire() else {
        return Err(Error::TooManyReports);
    };
    let made = report::of_session(pool, &session).await.map_err(|error| {
        tracing::warn!(session.id = %session, %error, "a report could not be made");
        Error::DatabaseAway
    })?;
    metrics::report_made();
    made.ok_or(Error::NoReport)
}

fn answer(report: &Report, format: Format) -> Response {
    let mut response = match format {
        Format::Json => Json(report).into_response(),
        Format::Html => html(report),
    };
    let headers = response.headers_mut();
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(
        header::X_CONTENT_TYPE_OPTIONS,
        HeaderValue::from_static("nosniff"),
    );
    response
}

fn html(report: &Report) -> Response {
    let page = report::page(report);
    let policy = format!("{}; frame-ancestors 'none'", page.policy);
    let mut response = Html(page.html).into_response();
    let headers = response.headers_mut();
    if let Ok(policy) = HeaderValue::from_str(&policy) {
        headers.insert(header::CONTENT_SECURITY_POLICY, policy);
    }
    let referrer = HeaderName::from_static("referrer-policy");
    headers.insert(referrer, HeaderValue::from_static("no-referrer"));
    response
}
