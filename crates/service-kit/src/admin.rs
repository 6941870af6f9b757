//! The admin listener: metrics, health, readiness, log filter, and gRPC health
//! and reflection on the same port.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::{DefaultBodyLimit, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, put};
use axum::{Json, Router};
use serde::Serialize;
use tokio_util::sync::CancellationToken;
use tonic_health::ServingStatus;
use tonic_health::server::HealthReporter;
use tonic_reflection::server::v1::{ServerReflection, ServerReflectionServer};

use crate::http::{self, Bounds, Terms};
use crate::metrics::Recorder;
use crate::places::Places;
use crate::readiness::Readiness;
use crate::telemetry;

const LOG_FILTER_BYTES_MAX: usize = 4096;
const CONNECTIONS_MAX: usize = 256;
/// How long a request's head may take, and a connection idle: longer than the usual
/// scrape interval of a minute.
const IDLE_MAX: Duration = Duration::from_secs(90);

#[derive(Clone)]
struct Admin {
    recorder: Recorder,
    readiness: Readiness,
    process: metrics_process::Collector,
}

/// What the admin listener shows.
pub(crate) struct Parts {
    pub(crate) service: &'static str,
    pub(crate) recorder: Recorder,
    pub(crate) readiness: Readiness,
    pub(crate) descriptor_sets: &'static [&'static [u8]],
}

/// Serves until `stop`.
pub(crate) async fn serve(
    listener: tokio::net::TcpListener,
    parts: Parts,
    stop: CancellationToken,
) -> anyhow::Result<()> {
    let (reporter, health) = tonic_health::server::health_reporter();
    // Known from the first connection on: who asks for an unknown service is sent away.
    let not_yet = ServingStatus::NotServing;
    reporter.set_service_status(parts.service, not_yet).await;
    tokio::spawn(follow(parts.service, parts.readiness.clone(), reporter));
    let mut grpc = tonic::service::Routes::new(health);
    if let Some(reflection) = reflection(parts.descriptor_sets)? {
        grpc = grpc.add_service(reflection);
    }
    let router = router(parts)
        .merge(grpc.prepare().into_axum_router())
        .fallback(async || {
            (
                StatusCode::NOT_FOUND,
                "no such page
",
            )
        });
    http::serve(listener, router, bounds(), stop).await;
    Ok(())
}

/// Whoever reaches this listener is trusted; what dawdles is bounded all the same.
fn bounds() -> Bounds {
    Bounds {
        connections: Places::new(CONNECTIONS_MAX, CONNECTIONS_MAX),
        terms: Arc::new(|_| Terms {
            holder: None,
            head_timeout: IDLE_MAX,
        }),
        http2: true,
    }
}

fn router(parts: Parts) -> Router {
    let process = metrics_process::Collector::default();
    process.describe();
    let admin = Admin {
        recorder: parts.recorder,
        readiness: parts.readiness,
        process,
    };
    Router::new()
        .route("/metrics", get(metrics))
        .route("/healthz", get(async || "ok\n"))
        .route("/readyz", get(readyz))
        .route("/log-filter", put(log_filter))
        .layer(DefaultBodyLimit::max(LOG_FILTER_BYTES_MAX))
        .with_state(admin)
}

async fn metrics(State(admin): State<Admin>) -> impl IntoResponse {
    admin.process.collect();
    (
        [(
            header::CONTENT_TYPE,
            "text/plain; version=0.0.4; charset=utf-8",
        )],
        admin.recorder.render(),
    )
}

#[derive(Serialize)]
struct Report {
    ready: bool,
    parts: BTreeMap<&'static str, String>,
}

async fn readyz(State(admin): State<Admin>) -> Response {
    let ready = admin.readiness.is_ready();
    let word = |state: Result<(), String>| state.err().unwrap_or_else(|| "ok".to_owned());
    let parts = admin
        .readiness
        .parts()
        .into_iter()
        .map(|(part, state)| (part, word(state)))
        .collect();
    let status = if ready {
        StatusCode::OK
    } else {
        StatusCode::SERVICE_UNAVAILABLE
    };
    (status, Json(Report { ready, parts })).into_response()
}

async fn log_filter(text: String) -> Response {
    match telemetry::set_filter(text.trim()) {
        Ok(()) => {
            tracing::info!(filter = text.trim(), "log filter changed");
            StatusCode::NO_CONTENT.into_response()
        }
        Err(error) => (StatusCode::BAD_REQUEST, format!("{error}\n")).into_response(),
    }
}

async fn follow(service: &'static str, readiness: Readiness, reporter: HealthReporter) {
    let mut ready = readiness.watch();
    loop {
        let status = if *ready.borrow_and_update() {
            ServingStatus::Serving
        } else {
            ServingStatus::NotServing
        };
        reporter.set_service_status("", status).await;
        reporter.set_service_status(service, status).await;
        if ready.changed().await.is_err() {
            return;
        }
    }
}

fn reflection(
    sets: &[&'static [u8]],
) -> anyhow::Result<Option<ServerReflectionServer<impl ServerReflection>>> {
    if sets.is_empty() {
        return Ok(None);
    }
    let builder = tonic_reflection::server::Builder::configure()
        .register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET);
    let builder = sets.iter().fold(builder, |builder, set| {
        builder.register_encoded_file_descriptor_set(set)
    });
    Ok(Some(builder.build_v1()?))
}
