//! Somebody else's gateway, in the same PostgreSQL if a command starts it.

use std::process::Command;

use testkit::database;
use tokio::runtime::Runtime;

use super::load::{self, Load};
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

impl Peer {
    /// Events that it acknowledges in a second.
    pub(super) fn measure(&self, rig: &Rig, runtime: &Runtime, load: Load) -> anyhow::Result<f64> {
        // It runs until this is dropped.
        let _program = self.start(rig, runtime)?;
        self.target.await_ready()?;
        let load = Load {
            connections: self.connections,
            ..load
        };
        load::most(&self.target, load)
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
