//! `streamhaul up`: everything on this machine, in one process over one database.
//!
//! ```text
//! lock the state directory ▸ ports free? ▸ PostgreSQL ▸ migrations ▸ secrets
//!   ▸ api ▸ jobs, metrics-gateway ▸ enrol, relay-node ▸ all ready ▸ run.json ▸ URLs
//! ```

mod database;
mod enrol;
mod house;
mod launch;
pub mod ports;
mod signal;

use std::path::Path;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use secrecy::ExposeSecret as _;

use crate::backups;
use crate::cli::{self, Up};
use crate::print;
use crate::run_file::{Admin, RunFile};
use crate::secrets::Secrets;
use crate::state_dir::StateDir;
use crate::telemetry;
use database::Database;
use house::{End, House};
use launch::Settings;
use ports::Ports;
use signal::Stop;

/// How long everything may take to become ready.
const READY_TIMEOUT: Duration = Duration::from_secs(60);
/// Between two looks at the services and the database.
const WATCH_INTERVAL: Duration = Duration::from_millis(100);

/// Runs everything until a signal, or until a service ends by itself.
///
/// # Errors
/// Whatever could not be started, in words that say what to do about it.
pub fn run(arguments: &Up) -> anyhow::Result<ExitCode> {
    let started = Instant::now();
    let stop = Stop::listen()?;
    set_logs_up(&arguments.log)?;
    let state_dir = StateDir::choose(arguments.state_dir.as_deref())?;
    state_dir.create()?;
    let _lock = state_dir.lock()?;
    forget_killed_instance(&state_dir.run_file())?;
    let ports = Ports::new(arguments.port_base);
    ports.check()?;
    let secrets = Secrets::ensure(&state_dir.secrets())?;
    let backups = backups::configured(arguments.backups_file.as_deref(), &state_dir)?;
    let telemetry = telemetry::configured(arguments.telemetry_file.as_deref(), &state_dir)?;
    let mut database = Database::open(arguments.database_url.as_deref(), state_dir.path())?;
    database.migrate()?;
    let settings = Settings {
        ports,
        secrets,
        database_url: database.url(),
        state_dir,
        public_host: arguments.public_host.clone(),
        public_url: arguments.public_url.clone(),
        smtp_url_file: arguments.smtp_url_file.clone(),
        mail_from: arguments.mail_from.clone(),
        providers_file: arguments.providers_file.clone(),
        dns_file: arguments.dns_file.clone(),
        backups,
        telemetry,
        asn_database: arguments.asn_database.clone(),
        region: arguments.region.clone(),
    };
    let end = serve(&settings, &mut database, &stop, started);
    database.close()?;
    report(end?)
}

fn set_logs_up(filter: &str) -> anyhow::Result<()> {
    let log = service_kit::LogConfig {
        filter: filter.to_owned(),
        ..service_kit::LogConfig::default()
    };
    service_kit::telemetry::init("streamhaul", &log, &service_kit::TraceConfig::default())
        .context("--log")
}

/// Nobody was left to remove the run file of an instance that was killed.
fn forget_killed_instance(run_file: &Path) -> anyhow::Result<()> {
    match std::fs::remove_file(run_file) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(error).with_context(|| format!("cannot remove {}", run_file.display()))
        }
        _ => Ok(()),
    }
}

fn serve(
    settings: &Settings,
    database: &mut Database,
    stop: &Stop,
    started: Instant,
) -> anyhow::Result<End> {
    let mut house = House::default();
    let end = house
        .open(settings, stop, READY_TIMEOUT)
        .and_then(|opened| match opened {
            Some(end) => Ok(end),
            None => watch(settings, &house, database, stop, started),
        });
    let closed = house.close();
    match end? {
        // What the service said when it ended is why we stop.
        End::Service(name) => closed.map(|()| End::Service(name)),
        End::Signal => {
            if let Err(error) = closed {
                tracing::warn!("a service did not stop well: {error:#}");
            }
            Ok(End::Signal)
        }
    }
}

fn watch(
    settings: &Settings,
    house: &House,
    database: &mut Database,
    stop: &Stop,
    started: Instant,
) -> anyhow::Result<End> {
    let run_file = settings.state_dir.run_file();
    let run = describe(settings)?;
    run.write(&run_file)
        .with_context(|| format!("cannot write {}", run_file.display()))?;
    let _removed = RemovedAtEnd(&run_file);
    announce(&run, &settings.public_host, started);
    loop {
        if stop.is_requested() {
            return Ok(End::Signal);
        }
        if let Some(name) = house.ended() {
            return Ok(End::Service(name));
        }
        database.keep_up();
        std::thread::sleep(WATCH_INTERVAL);
    }
}

fn report(end: End) -> anyhow::Result<ExitCode> {
    match end {
        End::Signal => Ok(ExitCode::SUCCESS),
        End::Service(name) => anyhow::bail!("{name} ended by itself; everything was stopped"),
    }
}

fn describe(settings: &Settings) -> anyhow::Result<RunFile> {
    let ports = &settings.ports;
    let host = cli::url_host(&settings.public_host);
    Ok(RunFile {
        api_http: format!("http://{}", ports.api_http),
        api_grpc: format!("http://{}", ports.api_grpc),
        jobs_grpc: format!("http://{}", ports.jobs_grpc),
        gateway_http: format!("http://{}", ports.gateway_http),
        gateway_grpc: format!("http://{}", ports.gateway_grpc),
        relay_udp: format!("{host}:{}", ports.relay_udp.port()),
        relay_stats_http: format!("http://{host}:{}", ports.relay_stats.port()),
        admin: Admin {
            api: format!("http://{}", ports.admin_api),
            jobs: format!("http://{}", ports.admin_jobs),
            relay_node: format!("http://{}", ports.admin_relay_node),
            metrics_gateway: format!("http://{}", ports.admin_metrics_gateway),
        },
        admin_token: settings
            .secrets
            .read_admin_token()?
            .expose_secret()
            .to_owned(),
        database_url: settings.database_url.expose_secret().to_owned(),
    })
}

fn announce(run: &RunFile, public_host: &str, started: Instant) {
    let seconds = started.elapsed().as_secs_f64();
    print::line(&format!("Streamhaul is ready ({seconds:.1} s)."));
    print::line(&format!("  API        {}", run.api_http));
    print::line(&format!("  live view  {}", run.gateway_http));
    print::line(&format!("  relay      {} (UDP)", run.relay_udp));
    print::line("Start a stream:  streamhaul relay start --name cam1");
    if public_host == "127.0.0.1" {
        print::line("To be reached from elsewhere, start with --public-host <name or address>.");
    }
    print::line("Ctrl-C stops everything.");
}

/// Scripts take a run file for a running instance.
struct RemovedAtEnd<'a>(&'a Path);

impl Drop for RemovedAtEnd<'_> {
    fn drop(&mut self) {
        if let Err(error) = std::fs::remove_file(self.0) {
            tracing::warn!("cannot remove {}: {error}", self.0.display());
        }
    }
}
