//! Which other sites' pages may use the API: those that the operator lists, with a token
//! that they hold, never with our cookies.

use std::time::Duration;

use http::header::{AUTHORIZATION, CONTENT_TYPE, RETRY_AFTER};
use http::{HeaderName, Method};
use tower_http::cors::CorsLayer;

use super::exchange::REQUEST_ID;
use crate::config::HttpConfig;
use crate::limits::fields;

const PREFLIGHT_LIFETIME: Duration = Duration::from_secs(600);

/// None when no origin is listed: browsers then refuse the page of every other site.
pub(super) fn layer(config: &HttpConfig) -> Option<CorsLayer> {
    let origins = config.origins().ok().filter(|it| !it.is_empty())?;
    let layer = CorsLayer::new()
        .allow_origin(origins)
        .allow_methods([
            Method::GET,
            Method::POST,
            Method::PUT,
            Method::PATCH,
            Method::DELETE,
        ])
        .allow_headers([
            AUTHORIZATION,
            CONTENT_TYPE,
            REQUEST_ID,
            HeaderName::from_static("idempotency-key"),
            HeaderName::from_static("last-event-id"),
        ])
        .expose_headers([REQUEST_ID, RETRY_AFTER, fields::POLICY, fields::LEFT])
        .max_age(PREFLIGHT_LIFETIME);
    Some(layer)
}
