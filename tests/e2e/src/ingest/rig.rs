//! A gateway that takes events and its PostgreSQL, each to be killed and started again.

use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt as _;
use std::process::Command;
use std::time::Duration;

use anyhow::Context as _;
use proto::telemetry::CreateAppRequest;
use proto::telemetry::apps_client::AppsClient;
use tempfile::TempDir;
use tokio::runtime::Runtime;
use tonic::metadata::{Ascii, MetadataValue};
use tonic::transport::Endpoint;

use super::sender::Target;
use crate::ports::Ports;
use crate::postgres::Postgres;
use crate::program::{self, Program};
use crate::wait;

const HTTP: u16 = 0;
const GRPC: u16 = 1;
const ADMIN: u16 = 2;
/// Nobody is there: events need no control plane.
const API: u16 = 3;
const READY_LIMIT: Duration = Duration::from_secs(30);
const SERVICE_TOKEN: &str = "sh_svc_bench";

/// Both.
pub(super) struct Rig {
    gateway: Option<Program>,
    pub(super) postgres: Postgres,
    ports: Ports,
    directory: TempDir,
}

impl Rig {
    /// Starts them, with nothing in the database.
    pub(super) fn start() -> anyhow::Result<Self> {
        let directory = tempfile::Builder::new().prefix("sh-ingest-").tempdir()?;
        // PostgreSQL may run as another user, who must get to its files.
        let readable = std::fs::Permissions::from_mode(0o755);
        std::fs::set_permissions(directory.path(), readable)?;
        std::fs::write(directory.path().join("token"), SERVICE_TOKEN)?;
        std::fs::write(directory.path().join("key"), "5a".repeat(32))?;
        let mut rig = Self {
            gateway: None,
            postgres: Postgres::start(directory.path())?,
            ports: Ports::free()?,
            directory,
        };
        rig.launch()?;
        Ok(rig)
    }

    /// Starts the gateway, and waits until it listens.
    pub(super) fn launch(&mut self) -> anyhow::Result<()> {
        let file = |name: &str| self.directory.path().join(name).display().to_string();
        let mut command = Command::new(program::built("streamhaul-metrics-gateway")?);
        let settings = [
            ("LISTEN_HTTP", self.address(HTTP).to_string()),
            ("LISTEN_GRPC", self.address(GRPC).to_string()),
            ("KIT__ADMIN__LISTEN", self.address(ADMIN).to_string()),
            ("API_GRPC", format!("http://{}", self.address(API))),
            ("DATABASE_URL", self.postgres.url()),
            ("SERVICE_TOKEN_FILE", file("token")),
            ("EVENTS__SEALING_KEY_FILE", file("key")),
        ];
        for (name, value) in settings {
            command.env(format!("STREAMHAUL_METRICS_GATEWAY__{name}"), value);
        }
        let log = self.directory.path().join("gateway.log");
        self.gateway = Some(Program::start("metrics-gateway", &mut command, &log)?);
        let http = self.address(HTTP);
        wait::until("the gateway listens", READY_LIMIT, || {
            std::net::TcpStream::connect(http).ok()
        })?;
        Ok(())
    }

    /// Kills the gateway, without a word.
    pub(super) fn kill_gateway(&mut self) -> anyhow::Result<()> {
        let gateway = self.gateway.take();
        gateway.map_or(Ok(()), |mut gateway| gateway.kill())
    }

    /// The gateway's memory.
    pub(super) fn resident_bytes(&self) -> anyhow::Result<u64> {
        let gateway = self.gateway.as_ref().context("the gateway does not run")?;
        gateway.resident_bytes()
    }

    /// Makes an app without bounds, as soon as the gateway has its schema.
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
        let endpoint = Endpoint::from_shared(format!("http://{}", self.address(GRPC)))?;
        let made = wait::until("the gateway makes an app", READY_LIMIT, || {
            runtime.block_on(create(&endpoint, org, app)).ok()
        })?;
        Ok(Target {
            url: format!("http://{}", self.address(HTTP)),
            org: org.to_owned(),
            app: app.to_owned(),
            token: None,
            secret: made,
        })
    }

    /// Where apps send.
    pub(super) fn http(&self) -> SocketAddr {
        self.address(HTTP)
    }

    fn address(&self, place: u16) -> SocketAddr {
        SocketAddr::from(([127, 0, 0, 1], self.ports.at(place)))
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
