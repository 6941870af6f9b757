//! Telemetry in, the fleet's truth out.
//!
//! Nodes report each second over gRPC `telemetry.v1`; viewers
//! watch a session over server-sent events; Prometheus gets the fleet's totals from
//! the admin listener. What is live is in memory, for minutes, and bounded; what is kept is in
//! the schema `telemetry` of the database, if one is configured. This
//! service refuses to know who may do what: it asks the api and remembers the
//! answer, so that it goes on while the api is away.
//!
//! Apps' developers send signed events over HTTP (see `events.rs`), and ask about them (see
//! `queries.rs`).
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
mod error_body;
mod events;
mod fleet;
mod health;
mod history;
mod http;
mod ingest;
mod live;
pub mod metrics;
mod newest;
mod point;
mod queries;
mod report;
mod roster;

use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use proto::telemetry::apps_server::AppsServer;
use proto::telemetry::live_server::LiveServer;
use proto::telemetry::telemetry_server::TelemetryServer;
use proto::telemetry::upkeep_server::UpkeepServer;
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
pub use config::{
    Acknowledge, Config, EventsConfig, NatsConfig, NatsRole, QueriesConfig, SpoolConfig,
};
use control::Control;
use events::admin::Admin;
use events::service::{Events, Work};
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
    let events = Events::open(&config, pool.as_ref(), &context).await?;
    if events.is_some() {
        context.readiness.expect(events::directory::EVENTS);
    }
    let (intake, queries, admin, work) = match events {
        Some(it) => (
            Some(it.intake),
            Some(it.queries),
            Some(it.admin),
            Some(it.work),
        ),
        None => (None, None, None, None),
    };
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
    let services = Services {
        ingest,
        newest,
        admin,
        guard: service_kit::grpc::require_bearer(&token),
    };
    let state = http::State::new(http::Parts {
        access,
        live: live.clone(),
        pool: pool.clone(),
        reports: Arc::new(Semaphore::new(http::REPORTS_MAX)),
        stopping: context.shutdown.clone(),
        intake,
        queries,
        trusted_proxies: config.trusted_proxies.clone().into(),
    });
    let roster = roster::watch(
        control.clone(),
        fleet.clone(),
        config.nodes_max,
        context.clone(),
    );
    let watch = health::watch(control, context.readiness.clone(), context.shutdown.clone());
    let router = http::router(state);
    let (reports, (), (), (), (), kept) = tokio::join!(
        serve_grpc((server, grpc), services, context.shutdown.clone()),
        service_kit::http::serve(http, router, config.bounds(), context.shutdown.clone()),
        sweep(&live, &fleet, &context),
        watch,
        roster,
        keep(pool.zip(archive), work, &context),
    );
    reports.and(kept)
}

/// What needs the database, once it has our schema. A schema that cannot be had ends the
/// service.
async fn keep(
    kept: Option<(Pool, Archive)>,
    work: Option<Work>,
    context: &Context,
) -> anyhow::Result<()> {
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
    let mut pools = vec![pool.clone()];
    pools.extend(work.iter().filter_map(|work| work.writers_pool.clone()));
    let bridge = work.as_ref().and_then(Work::bridge);
    let readers: Vec<Pool> = work.iter().map(|work| work.readers.clone()).collect();
    let events = async {
        if let Some(work) = work {
            work.run(&context.readiness, &context.shutdown).await;
        }
    };
    tokio::join!(
        events,
        database::watch(
            (&pools, &readers),
            bridge,
            readiness,
            context.shutdown.clone()
        ),
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

/// What is asked by gRPC.
struct Services {
    ingest: Ingest,
    newest: Newest,
    /// None: no app sends anything here.
    admin: Option<Admin>,
    guard: RequireBearer,
}

/// A server that ends by itself takes the service with it.
async fn serve_grpc(
    (server, incoming): (Server, Incoming),
    services: Services,
    shutdown: CancellationToken,
) -> anyhow::Result<()> {
    let guard = services.guard;
    let newest = InterceptedService::new(LiveServer::new(services.newest), guard.clone());
    let apps = services.admin.clone().map(AppsServer::new);
    let apps = apps.map(|apps| InterceptedService::new(apps, guard.clone()));
    let upkeep = services.admin.map(UpkeepServer::new);
    let upkeep = upkeep.map(|upkeep| InterceptedService::new(upkeep, guard));
    let served = server
        .http2_keepalive_interval(Some(PEER_SILENT_MAX / 2))
        .http2_keepalive_timeout(Some(PEER_SILENT_MAX / 2))
        .add_service(TelemetryServer::new(services.ingest))
        .add_service(newest)
        .add_optional_service(apps)
        .add_optional_service(upkeep)
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
