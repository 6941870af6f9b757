//! One replica of jobs, a process of the real service.

use std::process::Command;
use std::time::Duration;

use anyhow::{Context, ensure};
use e2e::house::House;
use e2e::http::Client;
use e2e::metrics::Metrics;
use e2e::ports::Ports;
use e2e::program::{self, Program};
use e2e::wait;
use nix::sys::signal::Signal;

/// Deliveries at the same time.
pub(super) const WORKERS: usize = 8;
const BINARY: &str = "streamhaul-jobs";
const READY_LIMIT: Duration = Duration::from_secs(60);

pub(super) struct Replica {
    program: Program,
    ports: Ports,
}

impl Replica {
    /// Starts one on a database at `url`; does not wait for it.
    pub(super) fn start(
        house: &House,
        number: usize,
        url: &str,
        is_proxied: bool,
    ) -> anyhow::Result<Self> {
        let ports = Ports::free()?;
        let token = house.service_token_file().display().to_string();
        let settings = [
            ("LISTEN_GRPC", local(ports.at(0))),
            ("KIT__ADMIN__LISTEN", local(ports.at(1))),
            ("DATABASE_URL", url.to_owned()),
            ("DATABASE_PROXIED", is_proxied.to_string()),
            ("SERVICE_TOKEN_FILE", token),
            ("API_GRPC", house.api_grpc()),
            ("WEBHOOKS__PRIVATE_ALLOWED", "true".to_owned()),
            ("QUEUES__WEBHOOKS", WORKERS.to_string()),
            ("SCHEDULES__EXPIRE_SESSIONS_SECONDS", "1".to_owned()),
            ("SCHEDULES__SWEEP_NODES_SECONDS", "1".to_owned()),
        ];
        let mut command = Command::new(program::built(BINARY)?);
        for (name, value) in settings {
            command.env(format!("STREAMHAUL_JOBS__{name}"), value);
        }
        let log = house.file(&format!("jobs-{number}-{is_proxied}.log"));
        Ok(Self {
            program: Program::start(BINARY, &mut command, &log)?,
            ports,
        })
    }

    /// The same when it is useful.
    pub(super) fn ready(self) -> anyhow::Result<Self> {
        let ready = wait::until("jobs is ready", READY_LIMIT, || {
            let answer = self.admin().fetch("/readyz").ok()?;
            (answer.status == 200).then_some(())
        });
        ready.with_context(|| program::tail(&self.program.log(), 20))?;
        Ok(self)
    }

    /// What it said when it ended by itself, which it must.
    pub(super) fn refusal(&mut self, limit: Duration) -> anyhow::Result<String> {
        let status = self.program.wait(limit)?;
        ensure!(!status.success(), "jobs ended as if all were well");
        Ok(self.program.log())
    }

    pub(super) fn grpc(&self) -> String {
        format!("http://{}", local(self.ports.at(0)))
    }

    /// Whether it says that it looks after the schedules.
    pub(super) fn leads(&self) -> anyhow::Result<bool> {
        let metrics = Metrics::parse(&self.admin().fetch("/metrics")?.text);
        Ok(metrics.sum(jobs::metrics::LEADER) > 0.0)
    }

    pub(super) fn kill(&mut self) -> anyhow::Result<()> {
        self.program.kill()
    }

    pub(super) fn stop(&mut self, limit: Duration) -> anyhow::Result<()> {
        self.program.signal(Signal::SIGTERM);
        let status = self.program.wait(limit)?;
        ensure!(
            status.success(),
            "jobs does not stop well: {}",
            program::tail(&self.program.log(), 20)
        );
        Ok(())
    }

    fn admin(&self) -> Client {
        Client::new(self.ports.at(1), None)
    }
}

fn local(port: u16) -> String {
    format!("127.0.0.1:{port}")
}
