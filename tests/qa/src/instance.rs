//! The instance that is looked at: one of our own, or one that runs already.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, bail, ensure};
use e2e::http::Client;
use e2e::ports::Ports;
use e2e::program::{self, Program, tail};
use e2e::wait;
use nix::sys::signal::Signal;
use serde_json::{Value, json};

const READY_TIMEOUT: Duration = Duration::from_secs(120);
const STOP_TIMEOUT: Duration = Duration::from_secs(15);
/// The node's usual port for statistics.
const STATS_PORT: u16 = 8090;

/// A running instance.
#[derive(Debug)]
pub struct Instance {
    api: String,
    token: String,
    stats: Option<String>,
    restart: Restart,
}

/// An instance that is not ours, as its owner describes it.
#[derive(Debug, Clone)]
pub struct Running {
    /// Its HTTP API.
    pub api: String,
    /// A token of a user of it.
    pub token: String,
    /// The node's statistics, unless on the node's host at the usual port.
    pub stats: Option<String>,
    /// A command that restarts it, for the shell.
    pub restart: Option<String>,
}

/// How it is restarted.
#[derive(Debug)]
enum Restart {
    Own(Box<Own>),
    Command(String),
    Never,
}

/// `streamhaul up`, as a child.
#[derive(Debug)]
struct Own {
    state_dir: PathBuf,
    log: PathBuf,
    port_base: u16,
    asn_database: PathBuf,
    program: Program,
}

impl Instance {
    /// Starts one of our own, with everything it keeps under `folder`.
    ///
    /// # Errors
    /// When the binary is missing or the instance is not ready in time.
    pub fn start(folder: &Path, asn_database: &Path) -> anyhow::Result<Self> {
        let own = Own::start(folder, asn_database)?;
        let told = own.wait_ready()?;
        let text = |name: &str| {
            let found = told[name].as_str().map(str::to_owned);
            found.with_context(|| format!("run.json has no {name}"))
        };
        Ok(Self {
            api: text("api_http")?,
            token: text("admin_token")?,
            stats: Some(text("relay_stats_http")?),
            restart: Restart::Own(Box::new(own)),
        })
    }

    /// One that runs already.
    ///
    /// # Errors
    /// When it does not answer or does not take the token.
    pub fn at(running: Running) -> anyhow::Result<Self> {
        let instance = Self {
            api: running.api.trim_end_matches('/').to_owned(),
            token: running.token,
            stats: running.stats,
            restart: running.restart.map_or(Restart::Never, Restart::Command),
        };
        let answered = instance.client().fetch("/api/v1/relay/sessions");
        let answered = answered.with_context(|| format!("nobody answers at {}", instance.api))?;
        answered.success().context("the token")?;
        Ok(instance)
    }

    /// Its origin, as a browser on this machine reaches it.
    #[must_use]
    pub fn origin(&self) -> &str {
        &self.api
    }

    /// Its HTTP API, as the token's user.
    #[must_use]
    pub fn client(&self) -> Client {
        Client::at(&self.api, Some(&self.token))
    }

    /// The statistics of the node on this host, for whoever has a play key.
    #[must_use]
    pub fn stats(&self, node_host: &str) -> Client {
        let usual = || format!("http://{node_host}:{STATS_PORT}");
        Client::at(&self.stats.clone().unwrap_or_else(usual), None)
    }

    /// A link that signs a dock in, once.
    ///
    /// # Errors
    /// When the instance refuses.
    pub fn dock_link(&self) -> anyhow::Result<String> {
        let made = self
            .client()
            .post("/api/v1/dock/links", &json!({}))?
            .success()?;
        let path = made["path"].as_str().context("a link without a path")?;
        Ok(format!("{}{path}", self.api))
    }

    /// The live sessions of the user.
    ///
    /// # Errors
    /// When the instance does not answer.
    pub fn sessions(&self) -> anyhow::Result<Vec<Value>> {
        let listed = self.client().fetch("/api/v1/relay/sessions")?.success()?;
        let sessions = listed["sessions"].as_array().cloned();
        sessions.context("no list of sessions")
    }

    /// The live sessions of a connection; one, when all is well.
    ///
    /// # Errors
    /// When the instance does not answer.
    pub fn sessions_of(&self, connection: &str) -> anyhow::Result<Vec<Value>> {
        let mut sessions = self.sessions()?;
        sessions.retain(|session| session["connection_id"] == connection);
        Ok(sessions)
    }

    /// Stops and starts it; says whether it could.
    ///
    /// # Errors
    /// When it does not stop well or does not come back.
    pub fn restart(&mut self) -> anyhow::Result<bool> {
        match &mut self.restart {
            Restart::Own(own) => own.restart()?,
            Restart::Command(command) => run_shell(command)?,
            Restart::Never => return Ok(false),
        }
        let client = self.client();
        wait::until("the instance is back", READY_TIMEOUT, || {
            client.fetch("/api/v1/relay/sessions").ok()?.success().ok()
        })?;
        Ok(true)
    }

    /// Copies what it has logged into `folder`, when it is ours.
    ///
    /// # Errors
    /// When the folder cannot be written.
    pub fn keep_log(&self, folder: &Path) -> anyhow::Result<()> {
        if let Restart::Own(own) = &self.restart {
            std::fs::copy(&own.log, folder.join("instance.log"))?;
        }
        Ok(())
    }

    /// Stops it when it is ours.
    ///
    /// # Errors
    /// When it does not stop well.
    pub fn end(self) -> anyhow::Result<()> {
        match self.restart {
            Restart::Own(mut own) => own.stop(),
            Restart::Command(_) | Restart::Never => Ok(()),
        }
    }
}

impl Own {
    fn start(folder: &Path, asn_database: &Path) -> anyhow::Result<Self> {
        let (state_dir, log) = (folder.join("state"), folder.join("instance.log"));
        let port_base = Ports::free()?.at(0);
        let program = up(&state_dir, port_base, asn_database, &log)?;
        Ok(Self {
            state_dir,
            log,
            port_base,
            asn_database: asn_database.to_owned(),
            program,
        })
    }

    /// Waits for what it tells about itself.
    fn wait_ready(&self) -> anyhow::Result<Value> {
        let run_file = self.state_dir.join("run.json");
        wait::until("the instance is ready", READY_TIMEOUT, || {
            serde_json::from_slice(&std::fs::read(&run_file).ok()?).ok()
        })
        .with_context(|| tail(&self.program.log(), 20))
    }

    fn restart(&mut self) -> anyhow::Result<()> {
        self.stop()?;
        self.program = up(
            &self.state_dir,
            self.port_base,
            &self.asn_database,
            &self.log,
        )?;
        self.wait_ready().map(drop)
    }

    fn stop(&mut self) -> anyhow::Result<()> {
        self.program.signal(Signal::SIGTERM);
        let status = self.program.wait(STOP_TIMEOUT)?;
        ensure!(status.success(), "streamhaul up ended: {status}");
        Ok(())
    }
}

fn up(
    state_dir: &Path,
    port_base: u16,
    asn_database: &Path,
    log: &Path,
) -> anyhow::Result<Program> {
    let mut command = Command::new(program::built("streamhaul")?);
    command.arg("up").arg("--state-dir").arg(state_dir);
    command.args(["--port-base", &port_base.to_string()]);
    command.arg("--asn-database").arg(asn_database);
    Program::start("streamhaul up", &mut command, log)
}

fn run_shell(command: &str) -> anyhow::Result<()> {
    let mut shell = Command::new("sh");
    // What is printed to standard output is the report.
    let status = shell
        .args(["-c", command])
        .stdout(std::io::stderr())
        .status()?;
    if !status.success() {
        bail!("{command}: {status}");
    }
    Ok(())
}
