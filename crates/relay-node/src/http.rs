//! Statistics over HTTP, for people and for programs that poll.

use axum::extract::State;
use axum::http::StatusCode;
use axum::routing::get;
use axum::{Json, Router};
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

/// Serves until the node stops.
pub(crate) async fn serve(
    listener: TcpListener,
    draining: watch::Receiver<bool>,
    shutdown: CancellationToken,
) -> std::io::Result<()> {
    axum::serve(listener, router(draining))
        .with_graceful_shutdown(shutdown.cancelled_owned())
        .await
}

fn router(draining: watch::Receiver<bool>) -> Router {
    Router::new()
        .route("/health", get(health))
        .method_not_allowed_fallback(method_not_allowed)
        .fallback(not_found)
        .with_state(draining)
}

async fn health(State(draining): State<watch::Receiver<bool>>) -> Json<Value> {
    let status = if *draining.borrow() { "draining" } else { "ok" };
    Json(json!({ "status": status, "version": env!("CARGO_PKG_VERSION") }))
}

async fn not_found() -> (StatusCode, Json<Value>) {
    (
        StatusCode::NOT_FOUND,
        error("not_found", "there is nothing at this path"),
    )
}

async fn method_not_allowed() -> (StatusCode, Json<Value>) {
    (
        StatusCode::METHOD_NOT_ALLOWED,
        error("method_not_allowed", "this path is for GET"),
    )
}

fn error(code: &str, message: &str) -> Json<Value> {
    Json(json!({ "error": { "code": code, "message": message } }))
}
