//! What a client is told of a batch that was taken.

use axum::Json;
use axum::response::{IntoResponse, Response};
use http::HeaderValue;
use serde::Serialize;

use super::allowance::Left;

/// What became of a batch.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Taken {
    /// All of its events: SDKs send those that are not taken for ever.
    pub(crate) accepted: u32,
    /// Those of them that were no events, and are kept to be looked into.
    pub(crate) quarantined: u32,
}

#[derive(Serialize)]
struct Body {
    status: &'static str,
    accepted: u32,
    rejected: u32,
    quarantined: u32,
    message: &'static str,
}

impl Taken {
    /// The answer, with what is left of the app's allowance.
    pub(crate) fn response(self, left: Option<Left>) -> Response {
        let body = Json(Body {
            status: "success",
            accepted: self.accepted,
            rejected: 0,
            quarantined: self.quarantined,
            message: "Events accepted",
        });
        let mut response = body.into_response();
        if let Some(left) = left {
            let headers = response.headers_mut();
            headers.insert("x-ratelimit-limit", HeaderValue::from(left.limit));
            headers.insert("x-ratelimit-remaining", HeaderValue::from(left.remaining));
            let full_in = left.full_in.as_secs_f64().ceil() as u64;
            headers.insert("x-ratelimit-reset", HeaderValue::from(full_in));
        }
        response
    }
}
