//! One installation: PostgreSQL and the four services, each a process.

use std::collections::BTreeMap;
use std::fs::OpenOptions;
use std::io::Write;
use std::net::SocketAddr;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, ensure};
use lease::SigningKey;
use model::NodeId;
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::http::Client;
use crate::media;
use crate::metrics::Metrics;
use crate::ports::Ports;
use crate::postgres::Postgres;
use crate::program::{self, Program, tail};
use crate::wait;

/// A service of the house.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Service {
    /// The control plane.
    Api,
    /// A second replica of it; only a house with [`Options::replicated`] has one.
    SecondApi,
    /// Background work.
    Jobs,
    /// Telemetry.
    MetricsGateway,
    /// The data plane.
    RelayNode,
}

impl Service {
    /// Those that every house has, in the order in which they are started.
    pub const ALL: [Self; 4] = [Self::Api, Self::Jobs, Self::MetricsGateway, Self::RelayNode];

    /// The binary's name.
    #[must_use]
    pub const fn binary(self) -> &'static str {
        match self {
            Self::Api | Self::SecondApi => "streamhaul-api",
            Self::Jobs => "streamhaul-jobs",
            Self::MetricsGateway => "streamhaul-metrics-gateway",
            Self::RelayNode => "streamhaul-relay-node",
        }
    }

    /// What the service's environment variables begin with.
    fn prefix(self) -> String {
        format!("{}__", self.binary().replace('-', "_").to_uppercase())
    }

    const fn admin_port(self) -> u16 {
        match self {
            Self::Api => ADMIN,
            Self::Jobs => ADMIN + 1,
            Self::RelayNode => ADMIN + 2,
            Self::MetricsGateway => ADMIN + 3,
            Self::SecondApi => ADMIN + 4,
        }
    }
}

// Places in the block of ports.
const API_HTTP: u16 = 0;
const API_GRPC: u16 = 1;
const JOBS_GRPC: u16 = 2;
const GATEWAY_HTTP: u16 = 3;
const GATEWAY_GRPC: u16 = 4;
const RELAY_UDP: u16 = 5;
const RELAY_PUBLISH: u16 = 6;
const RELAY_PLAY: u16 = 7;
const RELAY_STATS: u16 = 8;
const ADMIN: u16 = 10;
const SECOND_API_HTTP: u16 = 15;
const SECOND_API_GRPC: u16 = 16;

/// How long everything may take to become ready.
pub const READY_LIMIT: Duration = Duration::from_secs(30);

/// A running installation; dropping it ends everything and removes its files.
#[derive(Debug)]
pub struct House {
    // Ended first, in this order.
    services: BTreeMap<Service, Program>,
    postgres: Postgres,
    ports: Ports,
    admin_token: String,
    lease_seed: [u8; 32],
    node_id: NodeId,
    extra: Vec<(Service, String, String)>,
    replicated: bool,
    dir: TempDir,
}

/// A relay session as its owner sees it.
#[derive(Debug, Clone)]
pub struct Session {
    /// Its identifier.
    pub id: String,
    /// Where to publish.
    pub publish_url: String,
    /// Where to play.
    pub play_url: String,
}

/// How to start a house; the default suits most.
#[derive(Debug, Clone, Default)]
pub struct Options {
    /// Settings of a service besides the necessary ones, such as
    /// `KIT__LOG__FILTER`.
    pub settings: Vec<(Service, String, String)>,
    /// Whether the control plane has a second replica.
    pub replicated: bool,
}

/// What callers of a patient house get: longer than a busy machine holds a program up.
const PATIENT_LATENCY_MS: &str = "2000";

impl Options {
    /// For streams of which every byte is judged. With libsrt's own 120 ms a receiver
    /// drops, as it should, what a busy machine sends too late.
    #[must_use]
    pub fn patient() -> Self {
        Self::default().with(Service::RelayNode, "LATENCY_MIN_MS", PATIENT_LATENCY_MS)
    }

    /// The same with a second replica of the control plane.
    #[must_use]
    pub const fn replicated(mut self) -> Self {
        self.replicated = true;
        self
    }

    /// The same without limits on how often one caller may ask.
    #[must_use]
    pub fn unlimited(self) -> Self {
        ["START", "STOP", "OPS"]
            .into_iter()
            .fold(self, |options, class| {
                let name = format!("HTTP__RATE_LIMITS__{class}");
                options
                    .with(Service::Api, &name, "0")
                    .with(Service::SecondApi, &name, "0")
            })
    }

    /// The same with one more setting.
    #[must_use]
    pub fn with(mut self, service: Service, name: &str, value: &str) -> Self {
        self.settings.push((service, name.into(), value.into()));
        self
    }
}

impl House {
    /// Starts everything, enrols the node and waits until all are ready.
    ///
    /// # Errors
    /// When something is missing, fails or is not ready in time.
    pub fn start() -> anyhow::Result<Self> {
        Self::start_with(Options::default())
    }

    /// The same with settings of one's own.
    ///
    /// # Errors
    /// When something is missing, fails or is not ready in time.
    pub fn start_with(options: Options) -> anyhow::Result<Self> {
        let mut house = Self::prepare(options)?;
        house.bring_up()?;
        Ok(house)
    }

    /// PostgreSQL and the control plane only.
    ///
    /// # Errors
    /// When something is missing, fails or is not ready in time.
    pub fn control_plane(options: Options) -> anyhow::Result<Self> {
        let mut house = Self::prepare(options)?;
        house.launch(Service::Api)?;
        house.wait_ready_of(Service::Api, READY_LIMIT)?;
        Ok(house)
    }

    fn prepare(options: Options) -> anyhow::Result<Self> {
        let dir = tempfile::Builder::new()
            .prefix("streamhaul-e2e-")
            .tempdir()?;
        open_to_all(dir.path())?;
        let postgres = Postgres::start(dir.path())?;
        let house = Self {
            services: BTreeMap::new(),
            postgres,
            ports: Ports::free()?,
            admin_token: format!("sh_admin_{}", random_hex::<32>()?),
            lease_seed: random()?,
            node_id: NodeId::from_u128(0),
            extra: options.settings,
            replicated: options.replicated,
            dir,
        };
        house.write_secrets()?;
        Ok(house)
    }

    fn bring_up(&mut self) -> anyhow::Result<()> {
        self.launch(Service::Api)?;
        self.wait_ready_of(Service::Api, READY_LIMIT)?;
        if self.replicated {
            self.launch(Service::SecondApi)?;
            self.wait_ready_of(Service::SecondApi, READY_LIMIT)?;
        }
        let join_token = self.enrol()?;
        self.write_secret("join_token", &join_token)?;
        for service in [Service::MetricsGateway, Service::Jobs, Service::RelayNode] {
            self.launch(service)?;
        }
        self.wait_ready(READY_LIMIT)
    }

    fn enrol(&mut self) -> anyhow::Result<String> {
        let node = json!({"name": "e2e", "region": "local", "probation": false});
        let made = self
            .api()
            .post("/api/v1/ops/nodes", &node)?
            .success()
            .context("enrol the node")?;
        self.node_id = NodeId::parse(text(&made, "/node_id")?.as_str())?;
        text(&made, "/join_token")
    }

    /// The control plane's HTTP, as the administrator.
    #[must_use]
    pub fn api(&self) -> Client {
        Client::new(self.ports.at(API_HTTP), Some(&self.admin_token))
    }

    /// The HTTP of one replica of the control plane, as the administrator.
    #[must_use]
    pub fn replica(&self, replica: Service) -> Client {
        Client::new(self.ports.at(api_ports(replica).0), Some(&self.admin_token))
    }

    /// The same as the holder of a token.
    #[must_use]
    pub fn api_as(&self, token: &str) -> Client {
        Client::new(self.ports.at(API_HTTP), Some(token))
    }

    /// Where nodes reach the control plane.
    #[must_use]
    pub fn api_grpc(&self) -> String {
        format!("http://{}", self.local(API_GRPC))
    }

    /// Where nodes reach each replica of it, with commas between them.
    #[must_use]
    pub fn replicas_grpc(&self) -> String {
        let second = format!("http://{}", self.local(SECOND_API_GRPC));
        match self.replicated {
            true => format!("{},{second}", self.api_grpc()),
            false => self.api_grpc(),
        }
    }

    /// What a program of the administrator needs to speak to the control plane, as
    /// environment variables of the product's command.
    #[must_use]
    pub fn administrator(&self) -> [(&'static str, String); 2] {
        [
            (
                "STREAMHAUL_API_URL",
                format!("http://{}", self.local(API_HTTP)),
            ),
            ("STREAMHAUL_TOKEN", self.admin_token.clone()),
        ]
    }

    /// The live view's HTTP, as the administrator.
    #[must_use]
    pub fn gateway(&self) -> Client {
        Client::new(self.ports.at(GATEWAY_HTTP), Some(&self.admin_token))
    }

    /// A service's admin listener.
    #[must_use]
    pub fn admin(&self, service: Service) -> Client {
        Client::new(self.ports.at(service.admin_port()), None)
    }

    /// What a service's `/metrics` says now.
    ///
    /// # Errors
    /// When it does not answer.
    pub fn metrics(&self, service: Service) -> anyhow::Result<Metrics> {
        let answer = self.admin(service).fetch("/metrics")?;
        ensure!(
            answer.status == 200,
            "/metrics of {}: {}",
            service.binary(),
            answer.status
        );
        Ok(Metrics::parse(&answer.text))
    }

    /// Where the node takes every protocol.
    #[must_use]
    pub fn relay(&self) -> SocketAddr {
        SocketAddr::from(([127, 0, 0, 1], self.ports.at(RELAY_UDP)))
    }

    /// The node's identifier.
    #[must_use]
    pub const fn node_id(&self) -> &NodeId {
        &self.node_id
    }

    /// The key with which the control plane signs leases.
    #[must_use]
    pub fn signing_key(&self) -> SigningKey {
        SigningKey::from_seed(&self.lease_seed)
    }

    /// A place for files of a test; it goes with the house.
    #[must_use]
    pub fn file(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// A running service.
    ///
    /// # Errors
    /// When it was not started.
    pub fn service(&self, service: Service) -> anyhow::Result<&Program> {
        self.services
            .get(&service)
            .with_context(|| format!("{} does not run", service.binary()))
    }

    /// PostgreSQL, to be killed and started again.
    pub const fn postgres(&mut self) -> &mut Postgres {
        &mut self.postgres
    }

    /// Kills a service, as a crash would.
    ///
    /// # Errors
    /// When it does not run.
    pub fn kill(&mut self, service: Service) -> anyhow::Result<()> {
        self.services
            .remove(&service)
            .with_context(|| format!("{} does not run", service.binary()))?
            .kill()
    }

    /// Starts a service; does not wait for it.
    ///
    /// # Errors
    /// When its binary is missing.
    pub fn launch(&mut self, service: Service) -> anyhow::Result<()> {
        let mut command = Command::new(program::built(service.binary())?);
        let prefix = service.prefix();
        for (name, value) in self.settings(service) {
            command.env(format!("{prefix}{name}"), value);
        }
        command.current_dir(self.dir.path());
        let program = Program::start(service.binary(), &mut command, &self.log(service))?;
        self.services.insert(service, program);
        Ok(())
    }

    /// Waits until every service says that it is useful.
    ///
    /// # Errors
    /// When one is not within `limit`; with its reasons and the end of its log.
    pub fn wait_ready(&self, limit: Duration) -> anyhow::Result<()> {
        Service::ALL
            .into_iter()
            .try_for_each(|service| self.wait_ready_of(service, limit))
    }

    fn wait_ready_of(&self, service: Service, limit: Duration) -> anyhow::Result<()> {
        let admin = self.admin(service);
        let mut last = String::new();
        let what = format!("{} is ready", service.binary());
        wait::until(&what, limit, || {
            let answer = admin.fetch("/readyz").ok()?;
            last = answer.text;
            (answer.status == 200).then_some(())
        })
        .with_context(|| {
            format!(
                "{last}\n{}",
                tail(
                    &std::fs::read_to_string(self.log(service)).unwrap_or_default(),
                    20
                )
            )
        })
    }

    /// Starts a relay session and waits until its node holds it.
    ///
    /// # Errors
    /// When the control plane refuses, or the node does not confirm in time.
    pub fn start_session(&self, name: &str) -> anyhow::Result<Session> {
        let request = json!({
            "client_context": {"obs_connected": false, "mode": "auto", "requested_by": "e2e"},
            "region_preference": "local",
            "connection_id": name,
        });
        let started = self
            .api()
            .post("/api/v1/relay/start", &request)?
            .success()
            .context("start a session")?;
        let session = Session {
            id: text(&started, "/session/session_id")?,
            publish_url: text(&started, "/session/srt_publish_url")?,
            play_url: text(&started, "/session/media_source_url")?,
        };
        wait::until("the session is active", Duration::from_secs(15), || {
            let sessions = self.sessions().ok()?;
            let is_it = |other: &&Value| other["session_id"] == session.id.as_str();
            (sessions.iter().find(is_it)?["status"] == "active").then_some(())
        })?;
        Ok(session)
    }

    /// Stops a session once its player has all that was sent; the player is cut,
    /// and so ends its file.
    ///
    /// # Errors
    /// When the control plane refuses, or the player is not cut.
    pub fn end_session(
        &self,
        session: &Session,
        player: &mut Program,
        received: &Path,
    ) -> anyhow::Result<()> {
        media::settle(received)?;
        self.stop_session(session)?;
        player.wait(Duration::from_secs(10))?;
        Ok(())
    }

    /// The live sessions, as listed.
    ///
    /// # Errors
    /// When the control plane does not answer.
    pub fn sessions(&self) -> anyhow::Result<Vec<Value>> {
        let listed = self.api().fetch("/api/v1/relay/sessions")?.success()?;
        Ok(listed["sessions"]
            .as_array()
            .context("no list of sessions")?
            .clone())
    }

    /// Stops a session.
    ///
    /// # Errors
    /// When the control plane refuses.
    pub fn stop_session(&self, session: &Session) -> anyhow::Result<()> {
        self.api()
            .post("/api/v1/relay/stop", &json!({"session_id": session.id}))?
            .success()?;
        Ok(())
    }

    /// Waits until so many publishers are connected: a player is refused before.
    ///
    /// # Errors
    /// When they are not within 15 seconds.
    pub fn wait_publishers(&self, publishers: u32) -> anyhow::Result<()> {
        self.wait_callers("publish", publishers)
    }

    /// Waits until so many players are connected: they miss nothing from here on.
    ///
    /// # Errors
    /// When they are not within 15 seconds.
    pub fn wait_players(&self, players: u32) -> anyhow::Result<()> {
        self.wait_callers("play", players)
    }

    fn wait_callers(&self, role: &str, callers: u32) -> anyhow::Result<()> {
        let what = format!("{callers} callers to {role} are connected");
        wait::until(&what, Duration::from_secs(15), || {
            let metrics = self.metrics(Service::RelayNode).ok()?;
            let connected = metrics.labelled("streamhaul_relay_sessions", "role", role);
            (connected >= f64::from(callers)).then_some(())
        })
    }

    /// Where a service logs.
    #[must_use]
    pub fn log(&self, service: Service) -> PathBuf {
        let second = match service {
            Service::SecondApi => "second-",
            _ => "",
        };
        self.file(&format!("{second}{}.log", service.binary()))
    }

    fn settings(&self, service: Service) -> Vec<(String, String)> {
        let mut settings = self.necessary(service);
        settings.push(("KIT__ADMIN__LISTEN", self.local(service.admin_port())));
        let own = self.extra.iter().filter(|(other, ..)| *other == service);
        let own = own.map(|(_, name, value)| (name.clone(), value.clone()));
        settings
            .into_iter()
            .map(|(name, value)| (name.to_owned(), value))
            .chain(own)
            .collect()
    }

    fn necessary(&self, service: Service) -> Vec<(&'static str, String)> {
        let secret = |name: &str| self.secret(name).display().to_string();
        let api_grpc = self.api_grpc();
        match service {
            Service::Api | Service::SecondApi => vec![
                ("LISTEN_HTTP", self.local(api_ports(service).0)),
                ("LISTEN_GRPC", self.local(api_ports(service).1)),
                (
                    "GATEWAY_HTTP",
                    format!("http://{}", self.local(GATEWAY_HTTP)),
                ),
                (
                    "GATEWAY_GRPC",
                    format!("http://{}", self.local(GATEWAY_GRPC)),
                ),
                ("DATABASE_URL", self.postgres.url()),
                ("ADMIN_TOKEN_FILE", secret("admin_token")),
                ("SERVICE_TOKEN_FILE", secret("service_token")),
                ("SEALING_KEY_FILE", secret("sealing_key")),
                ("FIRST_LEASE_KEY_FILE", secret("lease_key")),
                ("STREAM_KEY_SECRET_FILE", secret("stream_key_secret")),
            ],
            Service::Jobs => vec![
                ("LISTEN_GRPC", self.local(JOBS_GRPC)),
                ("DATABASE_URL", self.postgres.url()),
                ("SERVICE_TOKEN_FILE", secret("service_token")),
                ("API_GRPC", api_grpc),
            ],
            Service::MetricsGateway => vec![
                ("LISTEN_HTTP", self.local(GATEWAY_HTTP)),
                ("LISTEN_GRPC", self.local(GATEWAY_GRPC)),
                ("SERVICE_TOKEN_FILE", secret("service_token")),
                ("API_GRPC", api_grpc),
            ],
            Service::RelayNode => vec![
                ("LISTEN_UDP", self.everywhere(RELAY_UDP)),
                ("LISTEN_PUBLISH", self.everywhere(RELAY_PUBLISH)),
                ("LISTEN_PLAY", self.everywhere(RELAY_PLAY)),
                ("LISTEN_STATS", self.local(RELAY_STATS)),
                ("STATE_DIR", self.file("node").display().to_string()),
                ("JOIN_TOKEN_FILE", secret("join_token")),
                ("API_GRPC", self.replicas_grpc()),
                (
                    "GATEWAY_GRPC",
                    format!("http://{}", self.local(GATEWAY_GRPC)),
                ),
                ("PUBLIC_HOST", "127.0.0.1".into()),
                ("REGION", "local".into()),
            ],
        }
    }

    fn local(&self, port: u16) -> String {
        format!("127.0.0.1:{}", self.ports.at(port))
    }

    fn everywhere(&self, port: u16) -> String {
        format!("[::]:{}", self.ports.at(port))
    }

    fn write_secrets(&self) -> anyhow::Result<()> {
        self.write_secret("admin_token", &self.admin_token)?;
        self.write_secret("service_token", &format!("sh_svc_{}", random_hex::<32>()?))?;
        self.write_secret("sealing_key", &random_hex::<32>()?)?;
        self.write_secret("lease_key", &hex::encode(self.lease_seed))?;
        self.write_secret("stream_key_secret", &random_hex::<32>()?)
    }

    fn write_secret(&self, name: &str, contents: &str) -> anyhow::Result<()> {
        let mut options = OpenOptions::new();
        let mut file = options
            .write(true)
            .create(true)
            .truncate(true)
            .mode(0o600)
            .open(self.secret(name))?;
        Ok(writeln!(file, "{contents}")?)
    }

    fn secret(&self, name: &str) -> PathBuf {
        self.file(&format!("secret-{name}"))
    }
}

/// Where a replica listens, for HTTP and for gRPC.
const fn api_ports(replica: Service) -> (u16, u16) {
    match replica {
        Service::SecondApi => (SECOND_API_HTTP, SECOND_API_GRPC),
        _ => (API_HTTP, API_GRPC),
    }
}

/// PostgreSQL runs as another user and must get to its directory.
fn open_to_all(dir: &Path) -> anyhow::Result<()> {
    use std::os::unix::fs::PermissionsExt;
    Ok(std::fs::set_permissions(
        dir,
        std::fs::Permissions::from_mode(0o755),
    )?)
}

fn text(value: &Value, pointer: &str) -> anyhow::Result<String> {
    let found = value.pointer(pointer).and_then(Value::as_str);
    found
        .map(str::to_owned)
        .with_context(|| format!("no text at {pointer} in {value}"))
}

fn random<const N: usize>() -> anyhow::Result<[u8; N]> {
    let mut bytes = [0; N];
    getrandom::fill(&mut bytes).map_err(|error| anyhow::anyhow!("{error}"))?;
    Ok(bytes)
}

fn random_hex<const N: usize>() -> anyhow::Result<String> {
    Ok(hex::encode(random::<N>()?))
}
