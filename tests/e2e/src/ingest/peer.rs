//! Somebody else's gateway, in the same PostgreSQL if a command starts it.

use std::process::Command;

use testkit::database;
use tokio::runtime::Runtime;

use super::contender::Contender;
use super::load::Load;
use super::rig::Rig;
use super::sender::Target;
use crate::program::Program;

/// How to start and to reach it.
#[derive(Debug, Clone)]
pub struct Peer {
    /// Run by `sh -c` with `DATABASE_URL`, an empty database beside ours; without it the peer
    /// runs already.
    pub command: Option<String>,
    /// Where its batches go.
    pub target: Target,
    /// Clients at the same time.
    pub connections: u32,
}

const DATABASE: &str = "peer";

/// It runs until this is dropped.
pub(super) struct Running {
    pub(super) contender: Contender,
    _program: Option<Program>,
}

impl Peer {
    /// Starts it, if it does not run, and warms it up.
    pub(super) fn run(&self, rig: &Rig, runtime: &Runtime, load: Load) -> anyhow::Result<Running> {
        let program = self.start(rig, runtime)?;
        self.target.await_ready()?;
        let load = Load {
            connections: self.connections,
            ..load
        };
        Ok(Running {
            contender: Contender::warmed_up(&self.target, load)?,
            _program: program,
        })
    }

    fn start(&self, rig: &Rig, runtime: &Runtime) -> anyhow::Result<Option<Program>> {
        let Some(text) = &self.command else {
            return Ok(None);
        };
        let url = rig.postgres.url();
        let url = runtime.block_on(database::create(&url, DATABASE));
        let mut command = Command::new("sh");
        command.args(["-c", text]).env("DATABASE_URL", url);
        Program::start("the peer", &mut command, &rig.log("peer")).map(Some)
    }
}
