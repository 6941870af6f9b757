//! The HTTP API: a table of routes, each with who may use it.
//!
//! To add an endpoint, write its handler in the family's file under `v1/` and add
//! its line to that file's `routes()`: the guard, the envelope, limits and metrics
//! come with the table.

mod body;
mod cors;
mod exchange;
pub(crate) mod v1;

use std::sync::Arc;

use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::middleware::{from_fn, from_fn_with_state};
use axum::response::IntoResponse;
use axum::routing::{MethodRouter, get};
use http::header::{HOST, USER_AGENT};
use http::uri::Authority;
use http::{HeaderMap, Method};
use service_kit::places::Places;
use tower_http::catch_panic::CatchPanicLayer;

use crate::auth::{Access, guard};
use crate::config;
use crate::cookie;
use crate::dock::page;
use crate::error::{ApiError, Code};
use crate::limits::{Class, limit};
use crate::openapi::{self, Description};
use crate::state::App;

pub(crate) use body::Body;

/// Where the browser of this request reaches us, without a slash at the end.
pub(crate) fn base_url(app: &App, headers: &HeaderMap) -> String {
    if app.config.public_url.is_some() {
        return app.config.public_url();
    }
    let host = headers.get(HOST).and_then(|value| value.to_str().ok());
    let authority = host.and_then(|host| host.parse::<Authority>().ok());
    match authority {
        Some(authority) if cookie::is_secure(headers) => format!("https://{authority}"),
        Some(authority) => format!("http://{authority}"),
        None => app.config.public_url(),
    }
}

/// What a browser says it is.
pub(crate) fn user_agent(headers: &HeaderMap) -> &str {
    let value = headers
        .get(USER_AGENT)
        .and_then(|value| value.to_str().ok());
    value.unwrap_or_default()
}

/// One endpoint.
pub(crate) struct Route {
    pub(crate) method: Method,
    pub(crate) path: &'static str,
    pub(crate) access: Access,
    pub(crate) class: Class,
    pub(crate) description: Description,
    handler: MethodRouter<Arc<App>>,
}

impl Route {
    pub(crate) fn new(
        method: Method,
        path: &'static str,
        access: Access,
        handler: MethodRouter<Arc<App>>,
    ) -> Self {
        Self {
            class: Class::usual(access, &method),
            method,
            path,
            access,
            description: Description::default(),
            handler,
        }
    }

    /// The same with what it does, takes and gives.
    pub(crate) fn describe(mut self, description: Description) -> Self {
        self.description = description;
        self
    }

    /// The same, counted in another class than most of its kind.
    pub(crate) const fn counted_as(mut self, class: Class) -> Self {
        self.class = class;
        self
    }
}

/// Every endpoint with the class that its requests are counted in.
pub fn classes() -> impl Iterator<Item = (Method, &'static str, Class)> {
    routes()
        .into_iter()
        .map(|route| (route.method, route.path, route.class))
}

/// Every endpoint: its method, its path's template and who may use it.
pub fn table() -> impl Iterator<Item = (Method, &'static str, Access)> {
    routes()
        .into_iter()
        .map(|route| (route.method, route.path, route.access))
}

/// The whole HTTP API.
pub(crate) fn router(app: Arc<App>) -> Router {
    let http = &app.config.http;
    let limits = exchange::Limits {
        timeout: config::seconds(app.config.http.timeout_seconds),
        in_flight: Places::new(http.requests_max, http.requests_each_max),
        proxies: app.proxies.clone(),
    };
    let mut router = Router::new();
    for route in routes() {
        let limit = from_fn_with_state((app.clone(), route.class), limit);
        let guard = from_fn_with_state((app.clone(), route.access), guard);
        let handler = route.handler.route_layer(limit).route_layer(guard);
        router = router.route(route.path, handler);
    }
    let router = router
        .fallback(async || ApiError::not_found("there is nothing here"))
        .method_not_allowed_fallback(async || {
            ApiError::new(Code::MethodNotAllowed, "not with this method")
        })
        .layer(DefaultBodyLimit::max(app.config.http.body_bytes_max))
        .layer(CatchPanicLayer::custom(|_| {
            ApiError::internal().into_response()
        }));
    let router = match cors::layer(&app.config.http) {
        Some(cors) => router.layer(cors),
        None => router,
    };
    router
        .layer(from_fn(move |request, next| {
            exchange::exchange(limits.clone(), request, next)
        }))
        .with_state(app)
}

pub(crate) fn routes() -> Vec<Route> {
    let mut routes = v1::routes();
    routes.extend(pages());
    let public = |path, handler| Route::new(Method::GET, path, Access::Public, handler);
    routes.extend([
        public(exchange::HEALTHZ, get(healthz))
            .counted_as(Class::Unlimited)
            .describe(Description::new("Whether the process is alive.").sends("text/plain")),
        public("/api/openapi.json", get(openapi::json)).describe(
            Description::new("This document: OpenAPI 3.1.").gives::<serde_json::Value>(200),
        ),
        public("/api/docs", get(openapi::docs))
            .describe(Description::new("The same for people.").sends("text/html")),
        public("/api/docs/style.css", get(openapi::style))
            .describe(Description::new("How it looks.").sends("text/css")),
    ]);
    routes
}

/// Pages for people.
fn pages() -> Vec<Route> {
    let page = |path, handler, summary| {
        let description = Description::new(summary).sends("text/html");
        Route::new(Method::GET, path, Access::Public, handler).describe(description)
    };
    vec![
        page("/dock", get(page::index), "The dock's page."),
        page("/dock/", get(page::index), "The dock's page."),
        page("/account", get(page::account), "The account's page."),
        Route::new(
            Method::GET,
            "/dock/{*file}",
            Access::Public,
            get(page::file),
        )
        .describe(
            Description::new("Scripts, styles and pictures of the pages.")
                .sends("application/octet-stream"),
        ),
    ]
}

async fn healthz() -> &'static str {
    "ok\n"
}
