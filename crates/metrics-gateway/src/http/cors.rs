//! What a browser is told of who may send for an app, or ask about it.

use axum::response::{IntoResponse, Response};
use http::{HeaderMap, HeaderValue, StatusCode, header};

use super::State as Shared;

/// How long a browser may remember it, seconds.
const REMEMBERED: &str = "600";

/// What pages may do.
pub(super) struct Allowed {
    pub(super) methods: &'static str,
    pub(super) headers: &'static str,
}

/// Tells a browser whether a page may do it at all.
pub(super) fn preflight(
    shared: &Shared,
    app: (&str, &str),
    headers: &HeaderMap,
    allowed: &Allowed,
) -> Response {
    let mut response = StatusCode::NO_CONTENT.into_response();
    if share(shared, app, headers, &mut response) {
        let told = response.headers_mut();
        for (name, value) in [
            (header::ACCESS_CONTROL_ALLOW_METHODS, allowed.methods),
            (header::ACCESS_CONTROL_ALLOW_HEADERS, allowed.headers),
            (header::ACCESS_CONTROL_MAX_AGE, REMEMBERED),
        ] {
            told.insert(name, HeaderValue::from_static(value));
        }
    }
    response
}

/// Lets a page of the app's own origins read the answer, and no other.
pub(super) fn share(
    shared: &Shared,
    (org, app): (&str, &str),
    headers: &HeaderMap,
    response: &mut Response,
) -> bool {
    let told = response.headers_mut();
    told.append(header::VARY, HeaderValue::from_static("origin"));
    let intake = shared.intake.as_ref();
    let Some(origin) = intake.and_then(|intake| intake.origin(org, app, headers)) else {
        return false;
    };
    told.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, origin);
    true
}
