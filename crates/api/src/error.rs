//! One form for every refusal: `{error: {code, message, reason_code?, request_id}}`.

use std::borrow::Cow;

use axum::Json;
use axum::extract::rejection::{BytesRejection, QueryRejection};
use axum::response::{IntoResponse, Response};
use http::header::RETRY_AFTER;
use http::{HeaderValue, StatusCode};
use serde::Serialize;
use utoipa::ToSchema;

/// What went wrong, in the contract's words.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Code {
    InvalidRequest,
    Unauthorized,
    Forbidden,
    NotFound,
    MethodNotAllowed,
    Conflict,
    IdempotencyMismatch,
    LoginDenied,
    LoginAlreadyClaimed,
    LoginAttemptExpired,
    SessionExpired,
    EntitlementDenied,
    Banned,
    ConnectionLimitReached,
    RateLimited,
    PayloadTooLarge,
    Internal,
    NoCapacity,
    ManifestUnavailable,
    Unavailable,
    Overloaded,
    Timeout,
}

impl Code {
    const fn as_str(self) -> &'static str {
        match self {
            Self::InvalidRequest => "invalid_request",
            Self::Unauthorized => "unauthorized",
            Self::Forbidden => "forbidden",
            Self::NotFound => "not_found",
            Self::MethodNotAllowed => "method_not_allowed",
            Self::Conflict => "conflict",
            Self::IdempotencyMismatch => "idempotency_mismatch",
            Self::LoginDenied => "login_denied",
            Self::LoginAlreadyClaimed => "login_already_claimed",
            Self::LoginAttemptExpired => "login_attempt_expired",
            Self::SessionExpired => "session_expired",
            Self::EntitlementDenied => "entitlement_denied",
            Self::Banned => "banned",
            Self::ConnectionLimitReached => "connection_limit_reached",
            Self::RateLimited => "rate_limited",
            Self::PayloadTooLarge => "payload_too_large",
            Self::Internal => "internal_error",
            Self::NoCapacity => "no_capacity",
            Self::ManifestUnavailable => "manifest_unavailable",
            Self::Unavailable => "unavailable",
            Self::Overloaded => "overloaded",
            Self::Timeout => "timeout",
        }
    }

    const fn status(self) -> StatusCode {
        match self {
            Self::InvalidRequest => StatusCode::BAD_REQUEST,
            Self::Unauthorized => StatusCode::UNAUTHORIZED,
            Self::Forbidden
            | Self::LoginDenied
            | Self::EntitlementDenied
            | Self::Banned
            | Self::ConnectionLimitReached => StatusCode::FORBIDDEN,
            Self::LoginAttemptExpired | Self::SessionExpired => StatusCode::GONE,
            Self::RateLimited => StatusCode::TOO_MANY_REQUESTS,
            Self::NotFound => StatusCode::NOT_FOUND,
            Self::MethodNotAllowed => StatusCode::METHOD_NOT_ALLOWED,
            Self::Conflict | Self::IdempotencyMismatch | Self::LoginAlreadyClaimed => {
                StatusCode::CONFLICT
            }
            Self::PayloadTooLarge => StatusCode::PAYLOAD_TOO_LARGE,
            Self::Internal => StatusCode::INTERNAL_SERVER_ERROR,
            Self::NoCapacity | Self::ManifestUnavailable | Self::Unavailable | Self::Overloaded => {
                StatusCode::SERVICE_UNAVAILABLE
            }
            Self::Timeout => StatusCode::GATEWAY_TIMEOUT,
        }
    }

    /// Seconds after which the same request may do better.
    const fn retry_after(self) -> Option<u32> {
        match self {
            Self::NoCapacity | Self::RateLimited => Some(10),
            Self::ManifestUnavailable | Self::Unavailable | Self::Overloaded => Some(2),
            _ => None,
        }
    }
}

/// A refusal. The request's id joins it on its way out, see [`Self::render`].
#[derive(Debug, Clone)]
pub(crate) struct ApiError {
    code: Code,
    message: Cow<'static, str>,
    reason_code: Option<Cow<'static, str>>,
    retry_after_seconds: Option<u32>,
}

/// The form of every refusal.
#[derive(Serialize, ToSchema)]
#[schema(as = Refusal)]
pub(crate) struct Envelope<'a> {
    error: Body<'a>,
}

#[derive(Serialize, ToSchema)]
#[schema(as = RefusalBody)]
struct Body<'a> {
    /// What went wrong, for programs.
    code: &'static str,
    /// The same for people.
    message: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    /// Why, where there is more than one reason.
    reason_code: Option<&'a str>,
    /// As in `X-Request-Id`.
    request_id: &'a str,
}

impl ApiError {
    pub(crate) fn new(code: Code, message: impl Into<Cow<'static, str>>) -> Self {
        Self {
            code,
            message: message.into(),
            reason_code: None,
            retry_after_seconds: code.retry_after(),
        }
    }

    pub(crate) fn invalid(message: impl Into<Cow<'static, str>>) -> Self {
        Self::new(Code::InvalidRequest, message)
    }

    pub(crate) fn not_found(what: &'static str) -> Self {
        Self::new(Code::NotFound, what)
    }

    pub(crate) fn internal() -> Self {
        Self::new(Code::Internal, "something went wrong on our side")
    }

    pub(crate) fn because(mut self, reason_code: impl Into<Cow<'static, str>>) -> Self {
        self.reason_code = Some(reason_code.into());
        self
    }

    /// When the same request may do better, where that is known.
    pub(crate) const fn retry_after(mut self, seconds: u32) -> Self {
        self.retry_after_seconds = Some(seconds);
        self
    }

    /// Whether it is of this kind.
    pub(crate) fn is(&self, code: Code) -> bool {
        self.code == code
    }

    /// The refusal as the caller sees it.
    pub(crate) fn render(&self, request_id: &str) -> Response {
        let body = Body {
            code: self.code.as_str(),
            message: &self.message,
            reason_code: self.reason_code.as_deref(),
            request_id,
        };
        let mut response = (self.code.status(), Json(Envelope { error: body })).into_response();
        if let Some(seconds) = self.retry_after_seconds {
            response
                .headers_mut()
                .insert(RETRY_AFTER, HeaderValue::from(seconds));
        }
        response
    }
}

impl IntoResponse for ApiError {
    /// Leaves itself for [`crate::routes::exchange`], which knows the request's id.
    fn into_response(self) -> Response {
        let mut response = self.code.status().into_response();
        response.extensions_mut().insert(self);
        response
    }
}

impl From<storage::Error> for ApiError {
    fn from(error: storage::Error) -> Self {
        let cause = anyhow::Error::from(error);
        let retryable = cause
            .downcast_ref()
            .is_some_and(storage::Error::is_retryable);
        if retryable {
            tracing::warn!(
                error = format!("{cause:#}"),
                "The database could not answer"
            );
            return Self::new(Code::Unavailable, "the database is away; try again soon");
        }
        tracing::error!(error = format!("{cause:#}"), "A query failed");
        Self::internal()
    }
}

impl From<BytesRejection> for ApiError {
    fn from(rejection: BytesRejection) -> Self {
        if rejection.status() == StatusCode::PAYLOAD_TOO_LARGE {
            return Self::new(Code::PayloadTooLarge, "the body is too large");
        }
        Self::invalid("the body could not be read")
    }
}

impl From<QueryRejection> for ApiError {
    fn from(rejection: QueryRejection) -> Self {
        Self::invalid(rejection.body_text())
    }
}
