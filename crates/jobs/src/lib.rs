//! Background work: a durable queue, schedules and the jobs themselves.
//!
//! [`engine`] claims, runs and finishes; [`jobs`] is the work; the queue is
//! `storage::queue`. This service refuses to know what its jobs change: each acts
//! on another service's data through that service's gRPC, and is idempotent,
//! because an attempt can be lost after its effect. Backups and the archive of telemetry are the exceptions: they
//! carry what is in the database, and go to it straight.
//!
//! To add a job, write `src/jobs/<kind>.rs` with an implementation of
//! [`job::Job`], add it to [`jobs::registry`], and test it against the fake of its
//! other side in `tests/it`. To run it by itself, give it a schedule in [`Schedules`].

mod backups;
mod config;
mod control;
mod courier;
pub mod dns;
pub mod engine;
mod gateway;
mod grpc;
mod health;
pub mod job;
pub mod jobs;
pub mod metrics;
mod names;
mod probe;
pub mod shelf;
mod signer;
mod upkeep;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use proto::jobs::jobs_server::JobsServer;
use secrecy::{ExposeSecret, SecretString};
use service_kit::Context;
use service_kit::grpc::Incoming;
use storage::Pool;
use storage::queue::Queue;
use storage::telemetry::retention;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use tonic::transport::Server;

pub use backups::Vault;
pub use config::{
    CloudflareConfig, Config, DnsConfig, DnsProvider, RetentionConfig, RetentionMode,
    Rfc2136Config, Schedules, TelemetryConfig, WebhooksConfig,
};
pub use control::Control;
pub use courier::Courier;
pub use gateway::Gateway;
pub use names::Names;
pub use signer::Signer;
pub use upkeep::Upkeep;

/// For claims of each queue, endings, listening, leading, schedules, housekeeping and gRPC, few
/// of which happen at the same time.
const CONNECTIONS_MAX: u32 = 10;
const MIGRATE_INTERVAL: Duration = Duration::from_secs(1);

/// Runs the service until its shutdown.
///
/// # Errors
/// When a secret cannot be read, or the gRPC listener cannot be opened or fails.
pub async fn run(config: Config, context: Context) -> anyhow::Result<()> {
    context.readiness.expect(health::DATABASE);
    context.readiness.expect(health::API);
    let token = service_kit::secret::read_file(&config.service_token_file)?;
    let api = (&config.kit.grpc, config.api_grpc.as_str());
    let control = Control::new(api, &token)?;
    let url = database_url(&config)?;
    let pool = pool(&config, &url)?;
    let offline_after = Duration::from_secs(config.schedules.offline_after_seconds.into());
    let signer = Signer::new(api, &token)?;
    let courier = Courier::new(config.webhooks.private_allowed);
    let names = Names::new(api, &token)?;
    let upkeep = Upkeep::new(api, &token)?;
    let signs_for = config.schedules.key_signs_for();
    let vault = Vault::open(&config.backups, &url).context("backups")?;
    let mut registry = jobs::registry(&control, &upkeep, offline_after, signs_for)
        .with(jobs::DeliverWebhook::new(signer, courier))
        .with(jobs::SyncDns::new(names, config.dns.provider()?));
    if let Some(uri) = &config.gateway_grpc {
        let gateway = Gateway::new((&config.kit.grpc, uri), &token)?;
        registry = registry.with(jobs::TelemetryPartitions::new(gateway));
    }
    if let Some(vault) = &vault {
        registry = jobs::with_backups(registry, vault);
    }
    let archive = config.telemetry.open_archive();
    let archive = archive.context("telemetry.archive")?;
    let archives = archive.is_some();
    if config.telemetry.is_on() {
        registry = jobs::with_retention(registry, (&pool, &context.clock), &config, archive);
    }
    let settings = config.engine();
    metrics::start(&registry, &settings.schedules);

    let listener = TcpListener::bind(config.listen_grpc)
        .await
        .with_context(|| format!("listen_grpc: {}", config.listen_grpc))?;
    log_listening(&listener);
    if !migrated(&pool, config.database_proxied, archives, &context.shutdown).await? {
        return Ok(());
    }
    let queue = Queue::new(pool.clone());
    let server = serve(
        (
            config.kit.grpc.server(),
            config.kit.grpc.incoming(listener)?,
        ),
        grpc::Jobs {
            queue: queue.clone(),
            registry: registry.clone(),
            settings: settings.clone(),
            clock: context.clock.clone(),
        },
        &token,
        context.shutdown.clone(),
    );
    let watch = health::watch(
        pool.clone(),
        control,
        context.readiness,
        context.shutdown.clone(),
    );
    let shown = show_backups(vault, pool.clone(), context.shutdown.clone());
    let engine = engine::run(queue, registry, settings, context.shutdown);
    let (served, (), (), ()) = tokio::join!(server, engine, watch, shown);
    pool.close().await;
    served
}

fn log_listening(listener: &TcpListener) {
    let address = listener
        .local_addr()
        .unwrap_or(SocketAddr::from(([0; 4], 0)));
    tracing::info!(%address, "gRPC is listening");
}

async fn show_backups(vault: Option<Arc<Vault>>, pool: Pool, stopping: CancellationToken) {
    if let Some(vault) = vault {
        vault.watch(pool, stopping).await;
    }
}

fn database_url(config: &Config) -> anyhow::Result<SecretString> {
    let file = config.database_url_file.as_deref();
    Ok(service_kit::secret::read_either(
        &config.database_url,
        file,
    )?)
}

fn pool(config: &Config, url: &SecretString) -> anyhow::Result<Pool> {
    let url = url.expose_secret();
    let pool = if config.database_proxied {
        storage::connect_proxied("jobs", url, CONNECTIONS_MAX)
    } else {
        storage::connect_queue("jobs", url, CONNECTIONS_MAX)
    };
    pool.context("database_url")
}

/// Brings the schema up to date, for as long as it takes the database to be there. Through a
/// proxy it is api that does so, which speaks to PostgreSQL itself: a session's lock is none there.
/// The gateway is told by a row whether days of sessions' histories are archived.
async fn migrated(
    pool: &Pool,
    is_proxied: bool,
    archives: bool,
    stopping: &CancellationToken,
) -> anyhow::Result<bool> {
    let mut outage = engine::Outage::new(match is_proxied {
        true => "waiting for api to migrate the database",
        false => "migrating the database",
    });
    loop {
        let result = tokio::select! {
            () = stopping.cancelled() => return Ok(false),
            result = prepare(pool, is_proxied, archives) => result,
        };
        match result {
            Err(error) if !error.is_retryable() => return Err(error).context("migrate"),
            result => {
                if outage.note(result).is_some() {
                    return Ok(true);
                }
            }
        }
        tokio::time::sleep(MIGRATE_INTERVAL).await;
    }
}

async fn prepare(pool: &Pool, is_proxied: bool, archives: bool) -> Result<(), storage::Error> {
    if is_proxied {
        storage::check_proxy(pool).await?;
        storage::check_schema(pool).await?;
    } else {
        storage::migrate(pool).await?;
    }
    retention::declare(pool, archives).await
}

async fn serve(
    (server, incoming): (Server, Incoming),
    jobs: grpc::Jobs,
    token: &SecretString,
    shutdown: CancellationToken,
) -> anyhow::Result<()> {
    let service = JobsServer::new(jobs).max_decoding_message_size(grpc::REQUEST_BYTES_MAX);
    let guarded = tonic::service::interceptor::InterceptedService::new(
        service,
        service_kit::grpc::require_bearer(token),
    );
    let stopping = shutdown.clone().cancelled_owned();
    let served = server
        .timeout(Duration::from_secs(30))
        .add_service(guarded)
        .serve_with_incoming_shutdown(incoming, stopping)
        .await;
    // A server that ended by itself takes the service with it.
    shutdown.cancel();
    served.context("gRPC server")
}
