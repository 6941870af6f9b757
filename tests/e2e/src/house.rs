//! One installation: PostgreSQL and the four services, each a process.

mod sessions;
mod settings;

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
use testkit::certificates::Certificates;

use crate::http::Client;
use crate::metrics::Metrics;
use crate::ports::Ports;
use crate::postgres::Postgres;
use crate::program::{self, Program, tail};
use crate::wait;
pub use sessions::Session;
pub use settings::Options;

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
    /// Another node of it; only a house that was given one has it, see [`House::add_node`].
    SecondRelayNode,
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
            Self::RelayNode | Self::SecondRelayNode => "streamhaul-relay-node",
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
            Self::SecondRelayNode => SECOND_RELAY_ADMIN,
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
const SECOND_RELAY_UDP: u16 = 17;
const SECOND_RELAY_PUBLISH: u16 = 18;
const SECOND_RELAY_PLAY: u16 = 19;
const SECOND_RELAY_STATS: u16 = 20;
const SECOND_RELAY_ADMIN: u16 = 21;

/// Where every service listens.
const HOST: &str = "127.0.0.1";

/// Where the second node stands; the first is in `local`.
pub const ELSEWHERE: &str = "elsewhere";

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
    certificates: Option<Certificates>,
    dir: TempDir,
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
            certificates: options.tls.then(|| Certificates::new(HOST)),
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
        let (node_id, join_token) = self.enrol("e2e", "local")?;
        self.node_id = node_id;
        self.write_secret("join_token", &join_token)?;
        for service in [Service::MetricsGateway, Service::Jobs, Service::RelayNode] {
            self.launch(service)?;
        }
        self.wait_ready(READY_LIMIT)
    }

    /// Gives the house a second node, in [`ELSEWHERE`], and waits until it is ready.
    ///
    /// # Errors
    /// When it cannot be enrolled or is not ready in time.
    pub fn add_node(&mut self) -> anyhow::Result<NodeId> {
        let node_id = self.send_node()?;
        self.wait_ready_of(Service::SecondRelayNode, READY_LIMIT)?;
        Ok(node_id)
    }

    /// The same without waiting for it.
    ///
    /// # Errors
    /// When it has no place, or its binary is missing.
    pub fn send_node(&mut self) -> anyhow::Result<NodeId> {
        let (node_id, join_token) = self.enrol("e2e-second", ELSEWHERE)?;
        self.write_secret("second_join_token", &join_token)?;
        self.launch(Service::SecondRelayNode)?;
        Ok(node_id)
    }

    /// A node's identifier, and what it joins with.
    fn enrol(&self, name: &str, region: &str) -> anyhow::Result<(NodeId, String)> {
        let node = json!({"name": name, "region": region, "probation": false});
        let made = self
            .api()
            .post("/api/v1/ops/nodes", &node)?
            .success()
            .context("enrol the node")?;
        let node_id = NodeId::parse(text(&made, "/node_id")?.as_str())?;
        Ok((node_id, text(&made, "/join_token")?))
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

    /// Where one replica of the control plane takes HTTP.
    #[must_use]
    pub fn api_url(&self, replica: Service) -> String {
        format!("http://{}", self.local(api_ports(replica).0))
    }

    /// The same as the holder of a token.
    #[must_use]
    pub fn api_as(&self, token: &str) -> Client {
        Client::new(self.ports.at(API_HTTP), Some(token))
    }

    /// Where nodes reach the control plane.
    #[must_use]
    pub fn api_grpc(&self) -> String {
        self.grpc(API_GRPC)
    }

    /// Where nodes reach each replica of it, with commas between them.
    #[must_use]
    pub fn replicas_grpc(&self) -> String {
        let second = self.grpc(SECOND_API_GRPC);
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
            ("STREAMHAUL_API_URL", self.api_url(Service::Api)),
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

    /// The token that the services of the house know each other by.
    #[must_use]
    pub fn service_token_file(&self) -> PathBuf {
        self.secret("service_token")
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

    /// Where a service logs.
    #[must_use]
    pub fn log(&self, service: Service) -> PathBuf {
        let second = match service {
            Service::SecondApi | Service::SecondRelayNode => "second-",
            _ => "",
        };
        self.file(&format!("{second}{}.log", service.binary()))
    }

    fn local(&self, port: u16) -> String {
        format!("{HOST}:{}", self.ports.at(port))
    }

    /// Where a service is reached by gRPC.
    fn grpc(&self, port: u16) -> String {
        let scheme = self.certificates.as_ref().map_or("http", |_| "https");
        format!("{scheme}://{}", self.local(port))
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
