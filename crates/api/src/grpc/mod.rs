//! gRPC for nodes and for the other services.

mod control;
mod dns;
mod fleet;
mod upkeep;
mod webhooks;

use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use proto::fleet::control_server::ControlServer;
use proto::fleet::dns_server::DnsServer;
use proto::fleet::fleet_server::FleetServer;
use proto::fleet::upkeep_server::UpkeepServer;
use proto::fleet::webhooks_server::WebhooksServer;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use tonic::service::interceptor::InterceptedService;
use tonic::{Response, Status};

use crate::metrics;
use crate::state::App;

/// The largest message of a node: 20 000 sessions in a Hello.
const NODE_MESSAGE_BYTES_MAX: usize = 4 << 20;
/// The largest message of a service: 1000 sessions with the longest ids there can be.
const SERVICE_MESSAGE_BYTES_MAX: usize = 128 << 10;
/// A peer that answers no ping for this long is gone.
const KEEPALIVE: Duration = Duration::from_secs(10);

pub(crate) async fn serve(
    app: Arc<App>,
    listener: TcpListener,
    stopping: CancellationToken,
) -> anyhow::Result<()> {
    let (health, health_service) = tonic_health::server::health_reporter();
    let fleet = FleetServer::new(fleet::Fleet {
        app: app.clone(),
        stopping: stopping.clone(),
    })
    .max_decoding_message_size(NODE_MESSAGE_BYTES_MAX);
    let control = ControlServer::new(control::Control { app: app.clone() })
        .max_decoding_message_size(SERVICE_MESSAGE_BYTES_MAX);
    let webhooks = WebhooksServer::new(webhooks::Webhooks { app: app.clone() })
        .max_decoding_message_size(SERVICE_MESSAGE_BYTES_MAX);
    let dns = DnsServer::new(dns::Dns { app: app.clone() })
        .max_decoding_message_size(SERVICE_MESSAGE_BYTES_MAX);
    let upkeep = UpkeepServer::new(upkeep::Upkeep { app: app.clone() })
        .max_decoding_message_size(SERVICE_MESSAGE_BYTES_MAX);
    let guard = service_kit::grpc::require_bearer(&app.service_token);
    health.set_serving::<FleetServer<fleet::Fleet>>().await;
    health
        .set_serving::<ControlServer<control::Control>>()
        .await;
    let grpc = &app.config.kit.grpc;
    let incoming = grpc.incoming(listener)?;
    grpc.server()
        .http2_keepalive_interval(Some(KEEPALIVE))
        .http2_keepalive_timeout(Some(KEEPALIVE))
        .add_service(health_service)
        .add_service(fleet)
        .add_service(InterceptedService::new(control, guard.clone()))
        .add_service(InterceptedService::new(dns, guard.clone()))
        .add_service(InterceptedService::new(upkeep, guard.clone()))
        .add_service(InterceptedService::new(webhooks, guard))
        .serve_with_incoming_shutdown(incoming, stopping.cancelled_owned())
        .await
        .context("gRPC server")
}

/// Counts a call's outcome.
fn counted<T>(method: &'static str, result: Result<T, Status>) -> Result<Response<T>, Status> {
    let code = result
        .as_ref()
        .map_or_else(Status::code, |_| tonic::Code::Ok);
    metrics::grpc(method, code);
    result.map(Response::new)
}

/// What a caller may know of a failed query.
fn status(error: storage::Error) -> Status {
    let retryable = error.is_retryable();
    let cause = anyhow::Error::from(error);
    if retryable {
        tracing::warn!(
            error = format!("{cause:#}"),
            "The database could not answer"
        );
        return Status::unavailable("the database is away");
    }
    tracing::error!(error = format!("{cause:#}"), "A query failed");
    Status::internal("something went wrong on our side")
}
