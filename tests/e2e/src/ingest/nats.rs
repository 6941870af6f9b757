//! A NATS server with JetStream, to be killed and started again.

use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::ensure;

use crate::program::Program;
use crate::wait;

const READY_LIMIT: Duration = Duration::from_secs(20);

/// The server; its log is in files.
#[derive(Debug)]
pub(super) struct Nats {
    port: u16,
    directory: PathBuf,
    server: Option<Program>,
}

impl Nats {
    /// Starts one with nothing in its log.
    pub(super) fn start(directory: &Path, port: u16) -> anyhow::Result<Self> {
        let mut nats = Self {
            port,
            directory: directory.join("nats"),
            server: None,
        };
        nats.launch()?;
        Ok(nats)
    }

    /// Where gateways find it.
    pub(super) fn url(&self) -> String {
        format!("nats://127.0.0.1:{}", self.port)
    }

    /// What it said last.
    pub(super) fn last_words(&self) -> Option<String> {
        self.server.as_ref().map(Program::last_words)
    }

    /// Kills it, without a word.
    pub(super) fn kill(&mut self) -> anyhow::Result<()> {
        let server = self.server.take();
        server.map_or(Ok(()), |mut server| server.kill())
    }

    /// Takes the messages away from a server that does not run, and leaves what was read of them.
    pub(super) fn forget(&self) -> anyhow::Result<()> {
        let streams = self.directory.join("jetstream/$G/streams");
        let mut taken = 0;
        for stream in std::fs::read_dir(&streams)? {
            for file in std::fs::read_dir(stream?.path().join("msgs"))? {
                std::fs::remove_file(file?.path())?;
                taken += 1;
            }
        }
        ensure!(taken > 0, "no messages lie in {}", streams.display());
        Ok(())
    }

    /// Starts it on what is there, and waits until it listens.
    pub(super) fn launch(&mut self) -> anyhow::Result<()> {
        // Debian has it where not everybody looks.
        let path = std::env::var("PATH").unwrap_or_default();
        let mut command = Command::new("nats-server");
        command.env("PATH", format!("{path}:/usr/sbin"));
        command.args(["--addr", "127.0.0.1", "--port", &self.port.to_string()]);
        command
            .arg("--jetstream")
            .arg("--store_dir")
            .arg(&self.directory);
        let log = self.directory.with_extension("log");
        self.server = Some(Program::start("nats-server", &mut command, &log)?);
        let port = self.port;
        wait::until("nats-server listens", READY_LIMIT, || {
            TcpStream::connect(("127.0.0.1", port)).ok()
        })?;
        Ok(())
    }
}
