//! A service as a process of its own.

use std::future::Future;
use std::process::ExitCode;

use anyhow::Context as _;

use crate::cli::Arguments;
use crate::config::{self, ServiceConfig};
use crate::launch::{Context, Running, launch};
use crate::{healthcheck, shutdown, telemetry};

/// Runs a service until it ends or a signal stops it: the whole of its `main`.
pub fn run<C, F, Fut>(name: &'static str, service: F) -> ExitCode
where
    C: ServiceConfig,
    F: FnOnce(C, Context) -> Fut + Send + 'static,
    Fut: Future<Output = anyhow::Result<()>>,
{
    let arguments = Arguments::of_process(name, C::flags());
    match start(name, &arguments, service) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            say(&format!("streamhaul-{name}: {error:#}"));
            ExitCode::FAILURE
        }
    }
}

fn start<C, F, Fut>(name: &'static str, arguments: &Arguments, service: F) -> anyhow::Result<()>
where
    C: ServiceConfig,
    F: FnOnce(C, Context) -> Fut + Send + 'static,
    Fut: Future<Output = anyhow::Result<()>>,
{
    let (file, flags) = (arguments.config.as_deref(), &arguments.settings);
    let config: C = config::load(name, file, flags).context("configuration")?;
    if arguments.print_config {
        print(&toml::to_string_pretty(&config)?);
        return Ok(());
    }
    if arguments.check_config {
        return Ok(());
    }
    if arguments.healthcheck {
        return healthcheck::ask(config.kit().admin.listen);
    }
    install_crypto_provider();
    telemetry::init(name, &config.kit().log, &config.kit().trace)?;
    until_stopped(launch(name, config, service)?)
}

/// Makes ring the process's TLS provider; a second call changes nothing.
pub(crate) fn install_crypto_provider() {
    let _ = rustls::crypto::ring::default_provider().install_default();
}

fn until_stopped(running: Running) -> anyhow::Result<()> {
    tracing::info!(admin = %running.admin_addr(), "{} started", running.name());
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let signal = runtime.block_on(async {
        tokio::select! {
            signal = shutdown::signalled() => signal.map(Some),
            () = finished(&running) => Ok(None),
        }
    })?;
    if let Some(signal) = signal {
        tracing::info!(signal, "stopping {}", running.name());
        running.shutdown();
    }
    running.join()
}

async fn finished(running: &Running) {
    while !running.has_finished() {
        tokio::time::sleep(std::time::Duration::from_millis(100)).await;
    }
}

#[allow(clippy::print_stdout)] // what was asked for on the command line
fn print(text: &str) {
    println!("{text}");
}

#[allow(clippy::print_stderr)] // the one line a failed start leaves; logs may not be up
fn say(text: &str) {
    eprintln!("{text}");
}
