//! Why a batch is not taken, in the words that SDKs read.

use std::time::Duration;

use axum::Json;
use axum::response::{IntoResponse, Response};
use http::{HeaderValue, StatusCode, header};

use crate::error_body::ErrorBody;

/// What a client is told to wait when nothing better is known.
const RETRY_AFTER: Duration = Duration::from_secs(2);

/// Why. None of them says more than the client knows or may know.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Refusal {
    DuplicateHeader,
    MediaType,
    Encoding,
    /// A header of the signature is missing or malformed.
    Unsigned,
    /// Signed too long ago, or in the future.
    Clock,
    /// Unknown app, wrong signature or wrong token: not told apart.
    Unauthorized,
    Disabled,
    Address,
    Origin,
    BodyTooLarge,
    BodyTooSlow,
    /// The connection ended, or the framing is wrong.
    BodyBroken,
    Json,
    BatchEmpty,
    BatchTooLarge,
    BatchSize,
    /// A nonce of another request.
    NonceReused,
    Rate(Duration),
    Quota(Duration),
    /// As many as there is room for are on their way.
    Full,
    /// The database is away.
    Unavailable,
}

impl Refusal {
    /// The label in metrics, and the code in answers.
    pub(crate) const fn code(self) -> &'static str {
        self.parts().1
    }

    /// How long to wait, if waiting helps.
    fn retry_after(self) -> Option<Duration> {
        match self {
            Self::Rate(wait) | Self::Quota(wait) => Some(wait),
            Self::Full | Self::Unavailable => Some(RETRY_AFTER),
            _ => None,
        }
    }

    pub(crate) fn response(self, request_id: &str) -> Response {
        let (status, code, message) = self.parts();
        let body = ErrorBody::new(code, message, request_id);
        let Some(wait) = self.retry_after() else {
            return (status, Json(body)).into_response();
        };
        let seconds = wait.as_secs_f64().ceil().max(1.0) as u64;
        let mut response = (status, Json(body.with_wait(seconds))).into_response();
        let headers = response.headers_mut();
        headers.insert(header::RETRY_AFTER, HeaderValue::from(seconds));
        response
    }

    const fn parts(self) -> (StatusCode, &'static str, &'static str) {
        match self {
            Self::DuplicateHeader => (
                StatusCode::BAD_REQUEST,
                "duplicate_header",
                "A header of the signature is there twice.",
            ),
            Self::MediaType => (
                StatusCode::UNSUPPORTED_MEDIA_TYPE,
                "unsupported_media_type",
                "Send `Content-Type: application/json`.",
            ),
            Self::Encoding => (
                StatusCode::UNSUPPORTED_MEDIA_TYPE,
                "unsupported_encoding",
                "Send the body as it is, or with one `Content-Encoding`: gzip or zstd.",
            ),
            Self::Unsigned => (
                StatusCode::UNAUTHORIZED,
                "unsigned",
                "Send X-Timestamp (Unix seconds) and X-Signature (64 hexadecimal digits).",
            ),
            Self::Clock => (
                StatusCode::FORBIDDEN,
                "timestamp_out_of_window",
                "X-Timestamp is too far from now; check the clock.",
            ),
            Self::Unauthorized => (
                StatusCode::UNAUTHORIZED,
                "unauthorized",
                "The app, its token or the signature is not right.",
            ),
            Self::Disabled => (
                StatusCode::FORBIDDEN,
                "app_disabled",
                "The app is disabled.",
            ),
            Self::Address => (
                StatusCode::FORBIDDEN,
                "address_not_allowed",
                "The app does not send from this address.",
            ),
            Self::Origin => (
                StatusCode::FORBIDDEN,
                "origin_not_allowed",
                "Pages of this origin do not send for the app.",
            ),
            Self::BodyTooLarge => (
                StatusCode::PAYLOAD_TOO_LARGE,
                "body_too_large",
                "A body is 5 MiB at most, as it is sent and inflated.",
            ),
            Self::BodyTooSlow => (
                StatusCode::REQUEST_TIMEOUT,
                "body_too_slow",
                "The body did not come in time.",
            ),
            Self::BodyBroken => (
                StatusCode::BAD_REQUEST,
                "broken_body",
                "The body is not whole, or not what its headers say.",
            ),
            Self::Json => (
                StatusCode::BAD_REQUEST,
                "invalid_json",
                "The body is not a JSON object with the array `events`.",
            ),
            Self::BatchEmpty => (
                StatusCode::BAD_REQUEST,
                "empty_batch",
                "A batch has 1 to 1000 events.",
            ),
            Self::BatchTooLarge => (
                StatusCode::BAD_REQUEST,
                "batch_too_large",
                "A batch has 1 to 1000 events.",
            ),
            Self::BatchSize => (
                StatusCode::BAD_REQUEST,
                "batch_size_mismatch",
                "X-Batch-Size is not the number of events.",
            ),
            Self::NonceReused => (
                StatusCode::CONFLICT,
                "nonce_reused",
                "This X-Nonce was another request's; sign again with a new one.",
            ),
            Self::Rate(_) => (
                StatusCode::TOO_MANY_REQUESTS,
                "rate_limited",
                "The app sends more events in a second than it may.",
            ),
            Self::Quota(_) => (
                StatusCode::TOO_MANY_REQUESTS,
                "quota_exceeded",
                "The app has sent its events of this month.",
            ),
            Self::Full => (
                StatusCode::SERVICE_UNAVAILABLE,
                "overloaded",
                "There is no room now; try again.",
            ),
            Self::Unavailable => (
                StatusCode::SERVICE_UNAVAILABLE,
                "unavailable",
                "Events cannot be kept now; try again.",
            ),
        }
    }
}
