//! The service's start and end.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use axum::body::Body;
use http::HeaderMap;
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use model::clock::Clock;
use secrecy::{ExposeSecret, SecretString};
use service_kit::http::{Bounds, Terms};
use service_kit::places::Places;
use service_kit::seal::SealingKey;
use service_kit::{Context, Readiness};
use storage::Pool;
use tokio::net::TcpListener;
use tokio::sync::{Semaphore, broadcast};
use tokio_util::sync::CancellationToken;

use crate::accounts::errands;
use crate::accounts::password::Passwords;
use crate::accounts::providers::Providers;
use crate::accounts::tries::Tries;
use crate::believed::{self, Believed};
use crate::billing::Billing;
use crate::bootstrap::{self, First, FirstNode};
use crate::config::{Config, seconds};
use crate::dock::ready;
use crate::fleet::keys::SigningSeed;
use crate::fleet::leases::Issuer;
use crate::fleet::pause::Pause;
use crate::fleet::registry::Registry;
use crate::fleet::{budget_gauges, heartbeats, looks, watch};
use crate::limits::RateLimits;
use crate::mail::Post;
use crate::relay::capacity::Surveys;
use crate::relay::keys::KeyDeriver;
use crate::relay::links::Links;
use crate::relay::states;
use crate::state::App;
use crate::{grpc, metrics, routes, token};
use service_kit::client_address::ClientAddress;

const GATEWAY_CONNECT_TIMEOUT: Duration = Duration::from_secs(3);
/// Proxies keep connections for the next request, and do not like to find them closed.
const PROXY_IDLE_MAX: Duration = Duration::from_secs(120);

/// Runs the service until its shutdown.
///
/// # Errors
/// When a secret cannot be read, a listener cannot be opened or fails, or the
/// database refuses the migrations.
pub async fn run(config: Config, context: Context) -> anyhow::Result<()> {
    let surroundings = Surroundings {
        shutdown: context.shutdown,
        readiness: context.readiness,
        clock: context.clock,
    };
    let server = Server::bind(config, surroundings).await?;
    Box::pin(server.serve()).await
}

/// What the service is run in.
#[derive(Clone)]
pub struct Surroundings {
    /// Cancelled when the service should stop.
    pub shutdown: CancellationToken,
    /// Where the service says which of its parts are well.
    pub readiness: Readiness,
    /// The wall clock.
    pub clock: Arc<dyn Clock>,
}

/// The service with its ports open, not answering yet.
pub struct Server {
    config: Config,
    surroundings: Surroundings,
    secrets: Secrets,
    proxies: Believed,
    pool: Pool,
    http: TcpListener,
    grpc: TcpListener,
}

struct Secrets {
    admin_token: token::Hash,
    service_token: SecretString,
    sealing: SealingKey,
    first_lease_key: Option<SigningSeed>,
    stream_keys: KeyDeriver,
    first_node: Option<FirstNode>,
    post: Post,
    passwords: Passwords,
    providers: Providers,
    billing: Billing,
}

impl Server {
    /// Reads the secrets, then opens both listeners.
    ///
    /// # Errors
    /// When a secret cannot be read or a listener cannot be opened.
    pub async fn bind(config: Config, surroundings: Surroundings) -> anyhow::Result<Self> {
        allow_many_connections();
        surroundings.readiness.expect(watch::DATABASE);
        let secrets = Secrets::read(&config)?;
        let proxies = Believed::new(&config.http)?;
        let pool = pool(&config)?;
        let http = listen("listen_http", config.listen_http).await?;
        let grpc = listen("listen_grpc", config.listen_grpc).await?;
        Ok(Self {
            config,
            surroundings,
            secrets,
            proxies,
            pool,
            http,
            grpc,
        })
    }

    /// Where HTTP and gRPC listen.
    ///
    /// # Errors
    /// When the system does not say.
    pub fn addresses(&self) -> std::io::Result<(SocketAddr, SocketAddr)> {
        Ok((self.http.local_addr()?, self.grpc.local_addr()?))
    }

    /// Brings the schema up to date and answers until the shutdown.
    ///
    /// # Errors
    /// When the database refuses the migrations or a listener fails.
    pub async fn serve(self) -> anyhow::Result<()> {
        metrics::start();
        let Surroundings {
            shutdown,
            readiness,
            clock,
        } = self.surroundings.clone();
        let first = First {
            node: self.secrets.first_node,
            lease_key: self.secrets.first_lease_key,
        };
        let prepare = bootstrap::prepare(
            &self.pool,
            &self.config,
            &first,
            &self.secrets.sealing,
            clock.as_ref(),
        );
        let prepared = tokio::select! {
            () = shutdown.cancelled() => return Ok(()),
            prepared = prepare => prepared?,
        };
        let lifetime = seconds(self.config.sessions.lease_token_seconds);
        let starts_max = starts_max(self.config.database_connections_max);
        let stream_queries_max = stream_queries_max(self.config.database_connections_max);
        let gateway = (&self.config.kit.grpc, &*self.config.gateway_grpc);
        let http = &self.config.http;
        let live_streams = Places::new(http.live_streams_max, http.live_streams_each_max);
        let links = Links::new(gateway, &self.secrets.service_token)?;
        let (errands, waiting) = errands::channel();
        let (heartbeats, unwritten) = heartbeats::channel();
        let app = Arc::new(App {
            pause: Pause::new(clock.now()),
            config: self.config,
            pool: self.pool,
            clock,
            admin_token: self.secrets.admin_token,
            admin: prepared.admin,
            service_token: self.secrets.service_token,
            issuer: Issuer::new(self.secrets.sealing, prepared.keys, lifetime),
            stream_keys: self.secrets.stream_keys,
            registry: Arc::new(Registry::default()),
            bans: prepared.bans,
            heartbeats,
            wakes: broadcast::Sender::new(states::WAKES_BEHIND_MAX),
            gateway: gateway_client(),
            links,
            starts: Semaphore::new(starts_max),
            stream_queries: Semaphore::new(stream_queries_max),
            live_streams,
            passwords: self.secrets.passwords,
            tries: Tries::default(),
            rate_limits: RateLimits::default(),
            proxies: Arc::new(self.proxies),
            providers: self.secrets.providers,
            billing: self.secrets.billing,
            post: self.secrets.post,
            errands,
            surveys: Surveys::default(),
            stopping: shutdown.clone(),
        });
        let result = tokio::select! {
            result = answer(&app, self.http, self.grpc, &shutdown) => result,
            () = watch::database(app.clone(), readiness) => Ok(()),
            () = watch::wakes(app.clone()) => Ok(()),
            () = budget_gauges::run(app.clone()) => Ok(()),
            () = believed::keep(app.clone()) => Ok(()),
            () = heartbeats::run(app.clone(), unwritten) => Ok(()),
            () = looks::keep(app.clone()) => Ok(()),
            () = ready::keep(app.clone()) => Ok(()),
            () = errands::run(app.clone(), waiting) => Ok(()),
        };
        app.pool.close().await;
        result
    }
}

impl Secrets {
    fn read(config: &Config) -> anyhow::Result<Self> {
        let admin_token = service_kit::secret::read_file(&config.admin_token_file)?;
        Ok(Self {
            admin_token: token::hash(admin_token.expose_secret()),
            service_token: service_kit::secret::read_file(&config.service_token_file)?,
            sealing: SealingKey::read(&config.sealing_key_file).context("sealing_key_file")?,
            first_lease_key: first_lease_key(config)?,
            stream_keys: KeyDeriver::new(service_kit::secret::read_file(
                &config.stream_key_secret_file,
            )?),
            first_node: FirstNode::read(config)?,
            post: Post::new(&config.mail)?,
            passwords: Passwords::new(config.accounts.password_checks_max)?,
            providers: Providers::new(&config.accounts.providers)?,
            billing: Billing::new(&config.billing).context("billing.webhook_secret_file")?,
        })
    }
}

fn first_lease_key(config: &Config) -> anyhow::Result<Option<SigningSeed>> {
    let Some(path) = &config.first_lease_key_file else {
        return Ok(None);
    };
    let text = service_kit::secret::read_file(path)?;
    let seed = SigningSeed::parse(text.expose_secret()).with_context(|| {
        let path = path.display();
        format!("{path}: not a lease key: expected 64 hexadecimal digits")
    })?;
    Ok(Some(seed))
}

fn pool(config: &Config) -> anyhow::Result<Pool> {
    let file = config.database_url_file.as_deref();
    let url = service_kit::secret::read_either(&config.database_url, file)?;
    let connections_max = config.database_connections_max;
    storage::connect("api", url.expose_secret(), connections_max).context("database_url")
}

fn gateway_client() -> Client<HttpConnector, Body> {
    let mut connector = HttpConnector::new();
    connector.set_connect_timeout(Some(GATEWAY_CONNECT_TIMEOUT));
    connector.set_nodelay(true);
    Client::builder(TokioExecutor::new()).build(connector)
}

/// Each node is a connection, and the usual limit is 1024 open files, for the sake of
/// programs that use `select`; this one does not.
fn allow_many_connections() {
    use nix::sys::resource::{Resource, getrlimit, setrlimit};
    let raised = getrlimit(Resource::RLIMIT_NOFILE)
        .and_then(|(_, most)| setrlimit(Resource::RLIMIT_NOFILE, most, most));
    if let Err(error) = raised {
        tracing::warn!(%error, "The limit on open files stays as it is");
    }
}

/// Streams that use the database at once: half of its connections. When a whole fleet
/// connects, what a query takes of memory is taken a few times and not for every node.
fn stream_queries_max(connections_max: u32) -> usize {
    usize::try_from(connections_max / 2).map_or(1, |it| it.max(1))
}

/// Starts that use the database at once: three in four of its connections.
fn starts_max(connections_max: u32) -> usize {
    usize::try_from(connections_max * 3 / 4).map_or(1, |it| it.max(1))
}

async fn listen(setting: &'static str, address: SocketAddr) -> anyhow::Result<TcpListener> {
    let listener = TcpListener::bind(address).await;
    let listener = listener.with_context(|| format!("{setting}: {address}"))?;
    tracing::info!(address = %listener.local_addr()?, setting, "Listening");
    Ok(listener)
}

/// Answers on both listeners until the shutdown; one that fails takes the other along.
async fn answer(
    app: &Arc<App>,
    http: TcpListener,
    grpc: TcpListener,
    shutdown: &CancellationToken,
) -> anyhow::Result<()> {
    let ending = shutdown.child_token();
    let _both_end = ending.clone().drop_guard();
    let router = routes::router(app.clone());
    let http = service_kit::http::serve(http, router, bounds(app), ending.clone());
    let http = async {
        http.await;
        Ok(())
    };
    let grpc = grpc::serve(app.clone(), grpc, ending.clone());
    tokio::try_join!(http, grpc).map(|((), ())| ())
}

/// What connections of strangers may take; a proxy of ours brings everybody's.
fn bounds(app: &App) -> Bounds {
    let http = &app.config.http;
    let (proxies, head_timeout) = (app.proxies.clone(), seconds(http.head_timeout_seconds));
    Bounds {
        connections: Places::new(http.connections_max, http.connections_each_max),
        terms: Arc::new(move |peer| {
            let address = ClientAddress::of(peer, &HeaderMap::new(), &[]);
            if address.is_in(&proxies.networks()) {
                return Terms {
                    holder: None,
                    head_timeout: PROXY_IDLE_MAX,
                };
            }
            Terms {
                holder: Some(address.network()),
                head_timeout,
            }
        }),
        http2: false,
    }
}
