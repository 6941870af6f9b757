//! What viewers and those who ask are told when it is not what they asked for.

use axum::Json;
use axum::response::{IntoResponse, Response};
use http::{HeaderValue, StatusCode, header};

use crate::error_body::ErrorBody;

/// Why a request was refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Error {
    Unauthorized,
    Forbidden,
    NotFound,
    MethodNotAllowed,
    TooManyViewers,
    Unavailable,
    BadFormat,
    NoReport,
    NothingKept,
    TooManyReports,
    DatabaseAway,
}

impl Error {
    pub(super) fn response(self, request_id: &str) -> Response {
        let (status, code, message) = self.parts();
        let body = Json(ErrorBody::new(code, message, request_id));
        let mut response = (status, body).into_response();
        if self == Self::Unauthorized {
            let scheme = HeaderValue::from_static("Bearer");
            response
                .headers_mut()
                .insert(header::WWW_AUTHENTICATE, scheme);
        }
        response
    }

    const fn parts(self) -> (StatusCode, &'static str, &'static str) {
        match self {
            Self::Unauthorized => (
                StatusCode::UNAUTHORIZED,
                "unauthorized",
                "Send `Authorization: Bearer <token>`.",
            ),
            Self::Forbidden => (
                StatusCode::FORBIDDEN,
                "forbidden",
                "This token may not watch this session.",
            ),
            Self::NotFound => (StatusCode::NOT_FOUND, "not_found", "There is nothing here."),
            Self::MethodNotAllowed => (
                StatusCode::METHOD_NOT_ALLOWED,
                "method_not_allowed",
                "This address does not answer to this method.",
            ),
            Self::TooManyViewers => (
                StatusCode::TOO_MANY_REQUESTS,
                "too_many_viewers",
                "All places for viewers are taken; try again later.",
            ),
            Self::Unavailable => (
                StatusCode::SERVICE_UNAVAILABLE,
                "unavailable",
                "The token cannot be checked now; try again.",
            ),
            Self::BadFormat => (
                StatusCode::BAD_REQUEST,
                "invalid_request",
                "format: json or html.",
            ),
            Self::NoReport => (
                StatusCode::NOT_FOUND,
                "not_found",
                "Nothing was kept of this session, or not yet.",
            ),
            Self::NothingKept => (
                StatusCode::NOT_IMPLEMENTED,
                "nothing_kept",
                "This gateway has no database: set database_url to keep what sessions did.",
            ),
            Self::TooManyReports => (
                StatusCode::TOO_MANY_REQUESTS,
                "too_many_reports",
                "Too many reports are being made; try again.",
            ),
            Self::DatabaseAway => (
                StatusCode::SERVICE_UNAVAILABLE,
                "unavailable",
                "What was kept cannot be read now; try again.",
            ),
        }
    }
}
