//! Gateways that take events and their PostgreSQL, each to be killed and started again.

use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::Context as _;
use nix::sys::signal::Signal;
use proto::telemetry::CreateAppRequest;
use proto::telemetry::apps_client::AppsClient;
use tempfile::TempDir;
use tokio::runtime::Runtime;
use tonic::metadata::{Ascii, MetadataValue};
use tonic::transport::Endpoint;

use super::nats::Nats;
use super::sender::Target;
use crate::ports::Ports;
use crate::postgres::Postgres;
use crate::program::{self, Program};
use crate::wait;

const HTTP: u16 = 0;
const GRPC: u16 = 1;
const ADMIN: u16 = 2;
/// Of one gateway.
const PORTS: u16 = 3;
/// Nobody is there: events need no control plane.
const API: u16 = 23;
const NATS: u16 = 22;
const READY_LIMIT: Duration = Duration::from_secs(30);
/// A gateway that is told to stop answers what it has first.
const STOP_LIMIT: Duration = Duration::from_secs(20);
const SERVICE_TOKEN: &str = "sh_svc_bench";

/// What there is beside PostgreSQL.
#[derive(Debug, Clone, Copy)]
pub struct Setup {
    /// Gateways that take events.
    pub gateways: u16,
    /// Whether each has a spool.
    pub has_spool: bool,
    /// What of NATS is between those gateways and the database.
    pub nats: Option<NatsSetup>,
}

/// A log between gateways.
#[derive(Debug, Clone, Copy)]
pub struct NatsSetup {
    /// Gateways that write what is in the log.
    pub writers: u16,
    /// Whether events are acknowledged when the log has them, not after the commit.
    pub acknowledges_early: bool,
}

impl Setup {
    /// Gateways in all, those that write what is in the log among them.
    #[must_use]
    pub fn all(&self) -> u16 {
        self.gateways + self.nats.map_or(0, |nats| nats.writers)
    }
}

impl Default for Setup {
    fn default() -> Self {
        Self {
            gateways: 1,
            has_spool: false,
            nats: None,
        }
    }
}

/// All of them.
pub(super) struct Rig {
    setup: Setup,
    gateways: Vec<Option<Program>>,
    pub(super) postgres: Postgres,
    pub(super) nats: Option<Nats>,
    ports: Ports,
    directory: TempDir,
}

impl Rig {
    /// Starts one gateway, with nothing in the database.
    pub(super) fn start() -> anyhow::Result<Self> {
        Self::with(Setup::default())
    }

    /// The same with a PostgreSQL that has the settings which we ship.
    pub(super) fn start_as_shipped() -> anyhow::Result<Self> {
        Self::open(Setup::default(), Postgres::start_as_shipped)
    }

    /// Starts them, with nothing in the database.
    pub(super) fn with(setup: Setup) -> anyhow::Result<Self> {
        Self::open(setup, Postgres::start)
    }

    fn open(setup: Setup, postgres: fn(&Path) -> anyhow::Result<Postgres>) -> anyhow::Result<Self> {
        let directory = tempfile::Builder::new().prefix("sh-ingest-").tempdir()?;
        // PostgreSQL may run as another user, who must get to its files.
        let readable = std::fs::Permissions::from_mode(0o755);
        std::fs::set_permissions(directory.path(), readable)?;
        std::fs::write(directory.path().join("token"), SERVICE_TOKEN)?;
        std::fs::write(directory.path().join("key"), "5a".repeat(32))?;
        let ports = Ports::free()?;
        let nats = setup
            .nats
            .map(|_| Nats::start(directory.path(), ports.at(NATS)));
        let mut rig = Self {
            setup,
            gateways: (0..setup.all()).map(|_| None).collect(),
            postgres: postgres(directory.path())?,
            nats: nats.transpose()?,
            ports,
            directory,
        };
        for number in 0..setup.all() {
            rig.launch(number)?;
        }
        Ok(rig)
    }

    /// Starts a gateway, and waits until it listens.
    pub(super) fn launch(&mut self, number: u16) -> anyhow::Result<()> {
        let file = |name: &str| self.directory.path().join(name).display().to_string();
        let mut command = Command::new(program::built("streamhaul-metrics-gateway")?);
        if self.setup.has_spool {
            command.arg("--spool").arg(self.spool(number));
        }
        let address = |place| self.address(number, place).to_string();
        let settings = [
            ("LISTEN_HTTP", address(HTTP)),
            ("LISTEN_GRPC", address(GRPC)),
            ("KIT__ADMIN__LISTEN", address(ADMIN)),
            (
                "API_GRPC",
                format!("http://127.0.0.1:{}", self.ports.at(API)),
            ),
            ("DATABASE_URL", self.postgres.url()),
            ("SERVICE_TOKEN_FILE", file("token")),
            ("EVENTS__SEALING_KEY_FILE", file("key")),
        ];
        for (name, value) in settings.into_iter().chain(self.nats_settings(number)) {
            command.env(format!("STREAMHAUL_METRICS_GATEWAY__{name}"), value);
        }
        let name = format!("gateway-{number}");
        let gateway = Program::start(&name, &mut command, &self.log(&name))?;
        self.gateways[usize::from(number)] = Some(gateway);
        let http = self.address(number, HTTP);
        wait::until("the gateway listens", READY_LIMIT, || {
            std::net::TcpStream::connect(http).ok()
        })?;
        Ok(())
    }

    /// What a gateway is to the log: those that write come last.
    fn nats_settings(&self, number: u16) -> Vec<(&'static str, String)> {
        let (Some(setup), Some(nats)) = (self.setup.nats, &self.nats) else {
            return Vec::new();
        };
        let is_edge = number < self.setup.gateways;
        let role = if is_edge { "edge" } else { "writer" };
        let acknowledge = if setup.acknowledges_early {
            "log"
        } else {
            "commit"
        };
        vec![
            ("EVENTS__NATS__URL", nats.url()),
            ("EVENTS__NATS__ROLE", role.to_owned()),
            ("EVENTS__NATS__ACKNOWLEDGE", acknowledge.to_owned()),
        ]
    }

    /// Where a program of this name writes what it has to say.
    pub(super) fn log(&self, program: &str) -> PathBuf {
        self.directory.path().join(program).with_extension("log")
    }

    /// What the gateways and NATS said last.
    pub(super) fn last_words(&self) -> String {
        let gateways = self.gateways.iter().flatten().map(Program::last_words);
        let nats = self.nats.iter().flat_map(Nats::last_words);
        gateways.chain(nats).collect()
    }

    /// Kills a gateway, without a word.
    pub(super) fn kill_gateway(&mut self, number: u16) -> anyhow::Result<()> {
        let gateway = self.gateways[usize::from(number)].take();
        gateway.map_or(Ok(()), |mut gateway| gateway.kill())
    }

    /// Has a gateway end, and starts it anew.
    pub(super) fn replace_gateway(&mut self, number: u16) -> anyhow::Result<()> {
        if let Some(mut gateway) = self.gateways[usize::from(number)].take() {
            gateway.signal(Signal::SIGTERM);
            gateway.wait(STOP_LIMIT)?;
        }
        self.launch(number)
    }

    /// The most memory that the first gateway ever had.
    pub(super) fn peak_resident_bytes(&self) -> anyhow::Result<u64> {
        self.first()?.peak_resident_bytes()
    }

    fn first(&self) -> anyhow::Result<&Program> {
        let gateway = self.gateways.first().and_then(Option::as_ref);
        gateway.context("the gateway does not run")
    }

    /// Where a gateway's spool is.
    pub(super) fn spool(&self, number: u16) -> PathBuf {
        self.directory.path().join(format!("spool-{number}"))
    }

    /// Makes an app without bounds, as soon as the first gateway has its schema.
    pub(super) fn app(&self, runtime: &Runtime) -> anyhow::Result<Target> {
        self.app_named(runtime, "bench", "app")
    }

    /// The same by a name.
    pub(super) fn app_named(
        &self,
        runtime: &Runtime,
        org: &str,
        app: &str,
    ) -> anyhow::Result<Target> {
        let endpoint = Endpoint::from_shared(format!("http://{}", self.address(0, GRPC)))?;
        let made = wait::until("the gateway makes an app", READY_LIMIT, || {
            runtime.block_on(create(&endpoint, org, app)).ok()
        })?;
        Ok(Target {
            url: format!("http://{}", self.http()),
            org: org.to_owned(),
            app: app.to_owned(),
            token: None,
            secret: made,
        })
    }

    /// The same app at each of the gateways.
    pub(super) fn targets(&self, target: &Target) -> Vec<Target> {
        let at = |number| Target {
            url: format!("http://{}", self.address(number, HTTP)),
            ..target.clone()
        };
        (0..self.setup.gateways).map(at).collect()
    }

    /// Where apps send to the first gateway.
    pub(super) fn http(&self) -> SocketAddr {
        self.address(0, HTTP)
    }

    /// Whether a part of a gateway's readiness is well.
    pub(super) fn is_well(&self, number: u16, part: &str) -> anyhow::Result<bool> {
        let config = ureq::Agent::config_builder()
            .http_status_as_error(false)
            .timeout_global(Some(READY_LIMIT));
        let agent = config.build().new_agent();
        let url = format!("http://{}/readyz", self.address(number, ADMIN));
        let said = agent.get(&url).call()?.body_mut().read_to_string()?;
        let said: serde_json::Value = serde_json::from_str(&said)?;
        Ok(said["parts"][part] == "ok")
    }

    fn address(&self, number: u16, place: u16) -> SocketAddr {
        let port = self.ports.at(number * PORTS + place);
        SocketAddr::from(([127, 0, 0, 1], port))
    }
}

/// The app's secret.
async fn create(endpoint: &Endpoint, org: &str, app: &str) -> anyhow::Result<String> {
    let bearer: MetadataValue<Ascii> = format!("Bearer {SERVICE_TOKEN}").parse()?;
    let mut request = tonic::Request::new(CreateAppRequest {
        org: org.to_owned(),
        name: app.to_owned(),
        tier: "enterprise".to_owned(),
        ..CreateAppRequest::default()
    });
    request.metadata_mut().insert("authorization", bearer);
    let mut client = AppsClient::new(endpoint.connect_lazy());
    Ok(client.create_app(request).await?.into_inner().secret)
}
