//! A PostgreSQL cluster for one house, that can be killed and started again.

use std::fs::Permissions;
use std::os::unix::fs::{PermissionsExt as _, chown};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, bail};
use nix::unistd::{Uid, User};
use testkit::certificates::Certificates;

use crate::program::Program;
use crate::wait;

/// The cluster; it listens on a unix socket only, if it is not told otherwise.
#[derive(Debug)]
pub struct Postgres {
    binaries: PathBuf,
    dir: PathBuf,
    owner: Option<User>,
    port: u16,
    settings: Vec<String>,
    server: Option<Program>,
}

const DATABASE: &str = "streamhaul";
const SHIPPED: &str = concat!(
    env!("CARGO_MANIFEST_DIR"),
    "/../../deploy/postgres/2gb.conf"
);
/// PostgreSQL's own; the socket is named by it.
const PORT: u16 = 5432;

impl Postgres {
    /// Makes a cluster under `dir`, starts it and makes an empty database.
    ///
    /// # Errors
    /// When the server's binaries are missing or one of them fails.
    pub fn start(dir: &Path) -> anyhow::Result<Self> {
        Self::start_with(dir, PORT, Vec::new())
    }

    /// The same with the settings that we ship for a machine of 2 GB, as an operator has it.
    ///
    /// # Errors
    /// When the settings cannot be read, and as [`Self::start`].
    pub fn start_as_shipped(dir: &Path) -> anyhow::Result<Self> {
        let text = std::fs::read_to_string(SHIPPED).with_context(|| format!("read {SHIPPED}"))?;
        let lines = text.lines().filter(|line| !line.starts_with('#'));
        let settings = lines.filter_map(|line| line.split_once(" = "));
        let settings = settings.map(|(name, value)| format!("{name}={value}"));
        Self::start_with(dir, PORT, settings.collect())
    }

    /// The same as [`Self::start`], listening on a port of 127.0.0.1 too, with TLS.
    ///
    /// # Errors
    /// When the key cannot be made the server's, and as [`Self::start`].
    pub fn start_with_tls(dir: &Path, port: u16, tls: &Certificates) -> anyhow::Result<Self> {
        let key = dir.join("server.key");
        std::fs::write(&key, std::fs::read(tls.key())?)?;
        std::fs::set_permissions(&key, Permissions::from_mode(0o600))?;
        if let Some(owner) = unprivileged()? {
            chown(&key, Some(owner.uid.as_raw()), Some(owner.gid.as_raw()))?;
        }
        let certificate = dir.join("server.crt");
        std::fs::write(&certificate, std::fs::read(tls.cert())?)?;
        let settings = vec![
            "listen_addresses=127.0.0.1".to_owned(),
            "ssl=on".to_owned(),
            format!("ssl_cert_file={}", certificate.display()),
            format!("ssl_key_file={}", key.display()),
        ];
        Self::start_with(dir, port, settings)
    }

    fn start_with(dir: &Path, port: u16, settings: Vec<String>) -> anyhow::Result<Self> {
        let dir = dir.join("pg");
        std::fs::create_dir_all(&dir)?;
        let owner = unprivileged()?;
        if let Some(owner) = &owner {
            chown(&dir, Some(owner.uid.as_raw()), Some(owner.gid.as_raw()))?;
        }
        let mut postgres = Self {
            binaries: binaries()?,
            dir,
            owner,
            port,
            settings,
            server: None,
        };
        postgres.initialise()?;
        postgres.restart()?;
        postgres.run(
            postgres
                .command("createdb")
                .arg("--host")
                .arg(&postgres.dir)
                .args(["--username=postgres", DATABASE]),
        )?;
        Ok(postgres)
    }

    /// Where services find the database.
    #[must_use]
    pub fn url(&self) -> String {
        format!(
            "postgres://postgres@localhost/{DATABASE}?host={}",
            self.dir.display()
        )
    }

    /// Where its socket is.
    #[must_use]
    pub fn socket_dir(&self) -> &Path {
        &self.dir
    }

    /// The postmaster's process id.
    ///
    /// # Errors
    /// When it does not run.
    pub fn id(&self) -> anyhow::Result<u32> {
        let server = self.server.as_ref().context("PostgreSQL does not run")?;
        Ok(server.id())
    }

    /// Kills the postmaster and everything it started, without a word.
    ///
    /// # Errors
    /// When it cannot be waited for.
    pub fn kill(&mut self) -> anyhow::Result<()> {
        self.server
            .take()
            .map_or(Ok(()), |mut server| server.kill())
    }

    /// Starts the server on the data that is there, and waits until it answers.
    ///
    /// # Errors
    /// When it does not answer within 20 seconds.
    pub fn restart(&mut self) -> anyhow::Result<()> {
        wait::until("PostgreSQL starts", Duration::from_secs(20), || {
            if !self
                .server
                .as_mut()
                .is_some_and(|server| server.is_running().unwrap_or(false))
            {
                // Right after a crash, the old shared memory may still be going away.
                self.server = self.serve().ok();
            }
            self.run(
                self.command("pg_isready")
                    .arg("--quiet")
                    .arg("--host")
                    .arg(&self.dir),
            )
            .ok()
        })
        .with_context(|| std::fs::read_to_string(self.log()).unwrap_or_default())
    }

    fn serve(&self) -> anyhow::Result<Program> {
        let mut command = self.command("postgres");
        command
            .arg("-D")
            .arg(self.dir.join("data"))
            .arg("-k")
            .arg(&self.dir);
        command.args([
            "-c",
            "listen_addresses=",
            "-c",
            "max_connections=300",
            "-c",
            "shared_buffers=32MB",
        ]);
        for setting in &self.settings {
            command.args(["-c", setting]);
        }
        Program::start("postgres", &mut command, &self.log())
    }

    fn initialise(&self) -> anyhow::Result<()> {
        let mut command = self.command("initdb");
        command.arg("-D").arg(self.dir.join("data"));
        command.args([
            "--username=postgres",
            "--auth=trust",
            "--encoding=UTF8",
            "--locale=C",
            "--no-sync",
            "--no-instructions",
        ]);
        self.run(&mut command)
    }

    fn command(&self, program: &str) -> Command {
        let mut command = Command::new(self.binaries.join(program));
        // The server and the programs that call it all know this variable.
        command
            .current_dir(&self.dir)
            .env("PGPORT", self.port.to_string());
        if let Some(owner) = &self.owner {
            command.uid(owner.uid.as_raw()).gid(owner.gid.as_raw());
        }
        command
    }

    fn run(&self, command: &mut Command) -> anyhow::Result<()> {
        let output = command
            .output()
            .with_context(|| format!("run {:?}", command.get_program()))?;
        if output.status.success() {
            return Ok(());
        }
        bail!(
            "{:?}: {}",
            command.get_program(),
            String::from_utf8_lossy(&output.stderr)
        )
    }

    fn log(&self) -> PathBuf {
        self.dir.with_extension("log")
    }
}

/// The newest server on this machine.
fn binaries() -> anyhow::Result<PathBuf> {
    let versions = std::fs::read_dir("/usr/lib/postgresql")
        .into_iter()
        .flatten()
        .flatten();
    let mut found: Vec<PathBuf> = versions.map(|version| version.path().join("bin")).collect();
    found.extend(std::env::split_paths(
        &std::env::var_os("PATH").unwrap_or_default(),
    ));
    found.retain(|bin| bin.join("initdb").exists() && bin.join("pg_isready").exists());
    found.sort();
    found
        .pop()
        .context("PostgreSQL's server is missing: apt-get install --yes postgresql")
}

/// PostgreSQL refuses root; then it runs as somebody else.
///
/// # Errors
/// When there is nobody else.
pub fn unprivileged() -> anyhow::Result<Option<User>> {
    if !Uid::effective().is_root() {
        return Ok(None);
    }
    for name in ["postgres", "nobody"] {
        if let Some(user) = User::from_name(name)? {
            return Ok(Some(user));
        }
    }
    bail!("PostgreSQL does not run as root, and there is no user postgres or nobody")
}
