//! Telemetry in, the fleet's truth out.
//!
//! Nodes report each second over gRPC `telemetry.v1`; viewers
//! watch a session over server-sent events; Prometheus gets the fleet's totals from
//! the admin listener. What is live is in memory, for minutes, and bounded; what is kept is in
//! the schema `telemetry` of the database, if one is configured. This
//! service refuses to know who may do what: it asks the api and remembers the
//! answer, so that it goes on while the api is away.
//!
//! To add a figure to the live view, add it to `point.rs`; to add a metric, add it
//! to [`metrics`] with its help; to add a route, add a file to `http/` and its
//! line to `http.rs`.

mod access;
mod archive;
mod block;
mod config;
mod control;
mod database;
mod fleet;
mod health;
mod history;
mod http;
mod ingest;
mod live;
pub mod metrics;
mod newest;
mod point;
mod report;
mod roster;

use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use proto::telemetry::live_server::LiveServer;
use proto::telemetry::telemetry_server::TelemetryServer;
use service_kit::Context;
use service_kit::grpc::{Incoming, RequireBearer};
use storage::Pool;
use tokio::net::TcpListener;
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use tonic::service::interceptor::InterceptedService;
use tonic::transport::Server;

use access::Access;
use archive::{Archive, Tap};
pub use config::Config;
use control::Control;
use fleet::Fleet;
use ingest::Ingest;
use live::Live;
use newest::Newest;

const SWEEP_INTERVAL: Duration = Duration::from_secs(1);
/// A peer that takes nothing for this long is gone.
const PEER_SILENT_MAX: Duration = Duration::from_secs(20);

/// Runs the service until its shutdown.
///
/// # Errors
/// When the service token cannot be read, or a listener cannot be opened or fails.
pub async fn run(config: Config, context: Context) -> anyhow::Result<()> {
    context.readiness.expect(health::API);
    let pool = database::open(&config)?;
    if pool.is_some() {
        context.readiness.expect(database::DATABASE);
    }
    let token = service_kit::secret::read_file(&config.service_token_file)?;
    let server = config.kit.grpc.server();
    let control = Control::new((&config.kit.grpc, &config.api_grpc), &token)?;
    metrics::start();
    let access = Arc::new(Access::new(
        control.clone(),
        config.nodes_max,
        config.viewers_max,
        config.sessions_max,
    ));
    let fleet = Arc::new(Fleet::new(config.nodes_max));
    let (shown, clock) = (fleet.clone(), context.clock.clone());
    context.show(move |page| shown.show(page, clock.now()));
    let (archive, tap) = match &pool {
        Some(_) => {
            let (archive, tap) =
                Archive::new(context.clock.clone(), config.kept(), config.sessions_max);
            (Some(archive), tap)
        }
        None => (None, Tap::default()),
    };
    let live = Arc::new(Live::new(config.limits()).with_tap(tap));

    let grpc = bind("listen_grpc", config.listen_grpc).await?;
    let grpc = config.kit.grpc.incoming(grpc)?;
    let http = bind("listen_http", config.listen_http).await?;
    let ingest = Ingest {
        access: access.clone(),
        fleet: fleet.clone(),
        live: live.clone(),
        clock: context.clock.clone(),
        // A node that reconnects may overlap with what is left of itself.
        streams: Semaphore::new(
            config
                .nodes_max
                .saturating_mul(2)
                .min(Semaphore::MAX_PERMITS),
        ),
        stopping: context.shutdown.clone(),
    };
    let newest = Newest {
        live: live.clone(),
        clock: context.clock.clone(),
    };
    let guard = service_kit::grpc::require_bearer(&token);
    let newest = InterceptedService::new(LiveServer::new(newest), guard);
    let state = http::State {
        access,
        live: live.clone(),
        pool: pool.clone(),
        reports: Arc::new(Semaphore::new(http::REPORTS_MAX)),
        stopping: context.shutdown.clone(),
    };
    let roster = roster::watch(
        control.clone(),
        fleet.clone(),
        config.nodes_max,
        context.clone(),
    );
    let watch = health::watch(control, context.readiness.clone(), context.shutdown.clone());
    let router = http::router(state);
    let (reports, (), (), (), (), kept) = tokio::join!(
        serve_grpc((server, grpc), ingest, newest, context.shutdown.clone()),
        service_kit::http::serve(http, router, config.bounds(), context.shutdown.clone()),
        sweep(&live, &fleet, &context),
        watch,
        roster,
        keep(pool.zip(archive), &context),
    );
    reports.and(kept)
}

/// What needs the database, once it has our schema. A schema that cannot be had ends the
/// service.
async fn keep(kept: Option<(Pool, Archive)>, context: &Context) -> anyhow::Result<()> {
    let Some((pool, archive)) = kept else {
        return Ok(());
    };
    match database::migrated(&pool, &context.shutdown).await {
        Ok(true) => {}
        Ok(false) => return Ok(()),
        Err(error) => {
            context.shutdown.cancel();
            return Err(error);
        }
    }
    let readiness = context.readiness.clone();
    tokio::join!(
        database::watch(pool.clone(), readiness, context.shutdown.clone()),
        archive.run(pool.clone(), context.shutdown.clone()),
    );
    pool.close().await;
    Ok(())
}

async fn bind(name: &'static str, address: std::net::SocketAddr) -> anyhow::Result<TcpListener> {
    let listener = TcpListener::bind(address)
        .await
        .with_context(|| format!("{name}: {address}"))?;
    tracing::info!(listener = name, address = %listener.local_addr()?, "listening");
    Ok(listener)
}

/// A server that ends by itself takes the service with it.
async fn serve_grpc(
    (server, incoming): (Server, Incoming),
    ingest: Ingest,
    newest: InterceptedService<LiveServer<Newest>, RequireBearer>,
    shutdown: CancellationToken,
) -> anyhow::Result<()> {
    let served = server
        .http2_keepalive_interval(Some(PEER_SILENT_MAX / 2))
        .http2_keepalive_timeout(Some(PEER_SILENT_MAX / 2))
        .add_service(TelemetryServer::new(ingest))
        .add_service(newest)
        .serve_with_incoming_shutdown(incoming, shutdown.clone().cancelled_owned())
        .await;
    shutdown.cancel();
    served.context("gRPC server")
}

async fn sweep(live: &Live, fleet: &Fleet, context: &Context) {
    loop {
        tokio::select! {
            () = context.shutdown.cancelled() => return,
            () = tokio::time::sleep(SWEEP_INTERVAL) => {}
        }
        let now = context.clock.now();
        live.sweep(now);
        fleet.sweep(now);
    }
}
