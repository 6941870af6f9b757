//! Starting a service: its recorder, its runtime, its admin listener, itself.

use std::future::Future;
use std::net::SocketAddr;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use anyhow::Context as _;
use model::UnixMillis;
use model::clock::Clock;
use tokio::runtime::Runtime;
use tokio_util::sync::CancellationToken;

use crate::admin;
use crate::config::{self, ServiceConfig};
use crate::exposition::Exposition;
use crate::metrics::Recorder;
use crate::readiness::{NotReady, Readiness};

/// What a service gets beside its configuration.
#[derive(Clone)]
pub struct Context {
    /// Cancelled when the service should stop.
    pub shutdown: CancellationToken,
    /// Where the service says which of its parts are well.
    pub readiness: Readiness,
    /// The wall clock.
    pub clock: Arc<dyn Clock>,
    /// The service's name, such as `api`.
    pub name: &'static str,
    recorder: Recorder,
}

impl Context {
    /// Shows what `page` writes after this service's other metrics, at each scrape.
    pub fn show(&self, page: impl Fn(&mut Exposition) + Send + Sync + 'static) {
        self.recorder.add_page(Arc::new(page));
    }

    /// Starts a thread whose metrics are this service's.
    ///
    /// # Errors
    /// When the system refuses another thread.
    pub fn spawn_thread<T, F>(&self, name: &str, body: F) -> std::io::Result<JoinHandle<T>>
    where
        T: Send + 'static,
        F: FnOnce() -> T + Send + 'static,
    {
        let recorder = self.recorder.clone();
        std::thread::Builder::new()
            .name(name.to_owned())
            .spawn(move || {
                recorder.install_on_thread();
                body()
            })
    }
}

/// The system's wall clock.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    fn now(&self) -> UnixMillis {
        let elapsed = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .unwrap_or_default();
        UnixMillis(i64::try_from(elapsed.as_millis()).unwrap_or(i64::MAX))
    }
}

/// Why a service did not start.
#[derive(Debug, thiserror::Error)]
pub enum LaunchError {
    /// The configuration was refused.
    #[error("{0}")]
    Config(String),
    /// The admin listener's address is taken or not ours.
    #[error("cannot listen for admin requests on {address}: {source}")]
    Admin {
        /// The address.
        address: SocketAddr,
        /// What the system said.
        source: std::io::Error,
    },
    /// The system refused a thread or a runtime.
    #[error("cannot start: {0}")]
    System(#[from] std::io::Error),
    /// The metrics recorder could not be made.
    #[error("cannot set metrics up: {0}")]
    Metrics(String),
}

/// A service that was started. Dropping it does not stop it.
pub struct Running {
    name: &'static str,
    admin_addr: SocketAddr,
    readiness: Readiness,
    shutdown: CancellationToken,
    thread: JoinHandle<anyhow::Result<()>>,
}

impl Running {
    /// The service's name.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        self.name
    }

    /// Where the admin listener is.
    #[must_use]
    pub const fn admin_addr(&self) -> SocketAddr {
        self.admin_addr
    }

    /// Whether every part of the service is well.
    #[must_use]
    pub fn is_ready(&self) -> bool {
        self.readiness.is_ready()
    }

    /// Whether the service has ended.
    #[must_use]
    pub fn has_finished(&self) -> bool {
        self.thread.is_finished()
    }

    /// Blocks until the service is ready.
    ///
    /// # Errors
    /// When it is not ready in time or ended; with the reasons.
    pub fn wait_ready(&self, timeout: Duration) -> Result<(), NotReady> {
        let deadline = Instant::now() + timeout;
        while !self.is_ready() {
            if self.has_finished() || Instant::now() >= deadline {
                return Err(NotReady {
                    service: self.name,
                    reasons: self.readiness.reasons(),
                });
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        Ok(())
    }

    /// Asks the service to stop.
    pub fn shutdown(&self) {
        self.shutdown.cancel();
    }

    /// Waits for the service to end, and says how it ended.
    ///
    /// # Errors
    /// The service's own, a missed shutdown deadline, or a panic.
    pub fn join(self) -> anyhow::Result<()> {
        self.thread
            .join()
            .unwrap_or_else(|_| anyhow::bail!("{} panicked", self.name))
    }
}

/// Starts a service on a runtime and a thread of its own.
///
/// # Errors
/// When the configuration is refused or the admin listener cannot be opened;
/// the service itself has not begun then.
pub fn launch<C, F, Fut>(name: &'static str, config: C, service: F) -> Result<Running, LaunchError>
where
    C: ServiceConfig,
    F: FnOnce(C, Context) -> Fut + Send + 'static,
    Fut: Future<Output = anyhow::Result<()>>,
{
    config::check(&config).map_err(LaunchError::Config)?;
    let recorder = Recorder::new().map_err(|error| LaunchError::Metrics(error.to_string()))?;
    let runtime = runtime(name, &recorder)?;
    let listener = bind_admin(config.kit().admin.listen)?;
    let admin_addr = listener.local_addr()?;
    let context = Context {
        shutdown: CancellationToken::new(),
        readiness: Readiness::default(),
        clock: Arc::new(SystemClock),
        name,
        recorder,
    };
    let (readiness, shutdown) = (context.readiness.clone(), context.shutdown.clone());
    let thread = context.clone().spawn_thread(name, move || {
        let ended = runtime.block_on(serve(listener, config, context, service));
        runtime.shutdown_timeout(Duration::from_secs(1));
        ended
    })?;
    Ok(Running {
        name,
        admin_addr,
        readiness,
        shutdown,
        thread,
    })
}

fn runtime(name: &'static str, recorder: &Recorder) -> std::io::Result<Runtime> {
    let recorder = recorder.clone();
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .thread_name(name)
        .on_thread_start(move || recorder.install_on_thread())
        .enable_all()
        .build()
}

fn bind_admin(address: SocketAddr) -> Result<std::net::TcpListener, LaunchError> {
    let refused = |source| LaunchError::Admin { address, source };
    let listener = std::net::TcpListener::bind(address).map_err(refused)?;
    listener.set_nonblocking(true).map_err(refused)?;
    Ok(listener)
}

async fn serve<C, F, Fut>(
    listener: std::net::TcpListener,
    config: C,
    context: Context,
    service: F,
) -> anyhow::Result<()>
where
    C: ServiceConfig,
    F: FnOnce(C, Context) -> Fut,
    Fut: Future<Output = anyhow::Result<()>>,
{
    metrics::describe_gauge!("streamhaul_build_info", "What runs here; always 1");
    metrics::gauge!("streamhaul_build_info", "service" => context.name, "version" => env!("CARGO_PKG_VERSION"))
        .set(1.0);
    let listener = tokio::net::TcpListener::from_std(listener).context("admin listener")?;
    let parts = admin::Parts {
        service: context.name,
        recorder: context.recorder.clone(),
        readiness: context.readiness.clone(),
        descriptor_sets: C::descriptor_sets(),
    };
    let stop_admin = CancellationToken::new();
    let _stop_admin = stop_admin.clone().drop_guard();
    tokio::spawn(context.recorder.clone().keep_up());
    tokio::spawn(admin::serve(listener, parts, stop_admin));
    let deadline = config.kit().shutdown_deadline();
    let (name, shutdown, readiness) = (
        context.name,
        context.shutdown.clone(),
        context.readiness.clone(),
    );
    let mut running = std::pin::pin!(service(config, context));
    tokio::select! {
        ended = &mut running => return ended,
        () = shutdown.cancelled() => {}
    }
    readiness.set("shutdown", Err("stopping".to_owned()));
    tokio::time::timeout(deadline, running)
        .await
        .unwrap_or_else(|_| anyhow::bail!("{name} did not stop within {deadline:?}"))
}
