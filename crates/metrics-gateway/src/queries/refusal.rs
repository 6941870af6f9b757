//! Why a question is not answered.

use std::borrow::Cow;
use std::time::Duration;

use axum::Json;
use axum::response::{IntoResponse, Response};
use http::{HeaderValue, StatusCode, header};
use serde_json::json;
use tonic::Status;

use super::parameters::Fault;

const RETRY_AFTER: Duration = Duration::from_secs(2);

/// Why. None of them says more than the asker knows or may know.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Refusal {
    Parameter(Fault),
    /// No token, or one that opens nothing here.
    Unauthorized,
    Disabled,
    Address,
    Origin,
    /// Told to operators only.
    NoApp,
    /// The app asks as much as one may at the same time.
    TooMany,
    /// Everybody together does.
    Full,
    TooSlow,
    /// The api is away, so nobody says whether this is an operator.
    Unverified,
    /// The database is away.
    Unavailable,
}

impl Refusal {
    /// The code in answers.
    pub(crate) fn code(&self) -> &'static str {
        self.parts().1
    }

    pub(crate) fn response(&self, request_id: &str) -> Response {
        let (status, code, message) = self.parts();
        let error = json!({ "code": code, "message": message, "request_id": request_id });
        let waits = matches!(
            status,
            StatusCode::TOO_MANY_REQUESTS | StatusCode::SERVICE_UNAVAILABLE
        );
        let body = if waits {
            json!({ "error": error, "retry_after": RETRY_AFTER.as_secs() })
        } else {
            json!({ "error": error })
        };
        let mut response = (status, Json(body)).into_response();
        let headers = response.headers_mut();
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
        if waits {
            headers.insert(
                header::RETRY_AFTER,
                HeaderValue::from(RETRY_AFTER.as_secs()),
            );
        }
        if *self == Self::Unauthorized {
            let scheme = HeaderValue::from_static("Bearer");
            headers.insert(header::WWW_AUTHENTICATE, scheme);
        }
        response
    }

    /// The same for whoever asks by gRPC.
    pub(crate) fn status(&self) -> Status {
        let text = self.parts().2.into_owned();
        match self {
            Self::Parameter(_) => Status::invalid_argument(text),
            Self::NoApp => Status::not_found(text),
            Self::Unauthorized => Status::unauthenticated(text),
            Self::Disabled | Self::Address | Self::Origin => Status::permission_denied(text),
            Self::TooMany | Self::Full | Self::TooSlow => Status::resource_exhausted(text),
            Self::Unverified | Self::Unavailable => Status::unavailable(text),
        }
    }

    fn parts(&self) -> (StatusCode, &'static str, Cow<'static, str>) {
        let (status, code, message) = match self {
            Self::Parameter(fault) => {
                let told = Cow::Owned(fault.0.clone());
                return (StatusCode::BAD_REQUEST, "invalid_parameter", told);
            }
            Self::Unauthorized => (
                StatusCode::UNAUTHORIZED,
                "unauthorized",
                "Send `Authorization: Bearer <token>`, the app's or an operator's.",
            ),
            Self::Disabled => (
                StatusCode::FORBIDDEN,
                "app_disabled",
                "The app is disabled.",
            ),
            Self::Address => (
                StatusCode::FORBIDDEN,
                "address_not_allowed",
                "The app does not ask from this address.",
            ),
            Self::Origin => (
                StatusCode::FORBIDDEN,
                "origin_not_allowed",
                "Pages of this origin do not ask for the app.",
            ),
            Self::NoApp => (StatusCode::NOT_FOUND, "not_found", "There is no such app."),
            Self::TooMany => (
                StatusCode::TOO_MANY_REQUESTS,
                "too_many_queries",
                "The app asks as much as it may at the same time; try again.",
            ),
            Self::Full => (
                StatusCode::SERVICE_UNAVAILABLE,
                "overloaded",
                "There is no room now; try again.",
            ),
            Self::TooSlow => (
                StatusCode::SERVICE_UNAVAILABLE,
                "query_too_slow",
                "The answer takes too long: ask for a shorter span.",
            ),
            Self::Unverified => (
                StatusCode::SERVICE_UNAVAILABLE,
                "unavailable",
                "The token cannot be checked now; try again.",
            ),
            Self::Unavailable => (
                StatusCode::SERVICE_UNAVAILABLE,
                "unavailable",
                "Events cannot be read now; try again.",
            ),
        };
        (status, code, Cow::Borrowed(message))
    }
}

impl From<Fault> for Refusal {
    fn from(fault: Fault) -> Self {
        Self::Parameter(fault)
    }
}

/// What went wrong in the database is logged, and not told.
impl From<storage::Error> for Refusal {
    fn from(error: storage::Error) -> Self {
        if error.took_too_long() {
            return Self::TooSlow;
        }
        tracing::warn!(error = ?error, "a question about events cannot be answered");
        Self::Unavailable
    }
}
