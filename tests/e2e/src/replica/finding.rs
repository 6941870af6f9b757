//! What a replica drill found.

use std::fmt::{self, Display, Formatter};
use std::time::Duration;

use anyhow::ensure;
use serde_json::{Value, json};

use crate::machine;

/// How soon nodes are promised to be back.
const ATTACHED_SECONDS_MAX: f64 = 10.0;

/// What came of a drill.
#[derive(Debug, Clone)]
pub struct Finding {
    /// Nodes in all.
    pub nodes: u32,
    /// Nodes that had their stream on the replica that was killed.
    pub nodes_moved: u32,
    /// From the kill until the other one had all of them.
    pub attached_after: Duration,
    /// Sessions that callers started, before, while and after.
    pub started: usize,
    /// Requests that they had to send again.
    pub repeated: usize,
    /// Sessions that should be live at the end.
    pub live: usize,
    /// Those of them that are not.
    pub lost: usize,
    /// Live ones that nobody was told of.
    pub surplus: usize,
    /// Sessions that nodes hold at the end, one held by two nodes counted twice.
    pub held: usize,
    /// Whether the stream came out as it went in, and what was wrong.
    pub stream: Result<(), String>,
}

impl Finding {
    /// Checks that nothing was lost or doubled.
    ///
    /// # Errors
    /// With what was.
    pub fn judge(&self) -> anyhow::Result<()> {
        ensure!(self.nodes_moved > 0, "nobody was on the killed replica");
        ensure!(self.lost == 0, "{} sessions were lost", self.lost);
        ensure!(self.surplus == 0, "{} sessions too many", self.surplus);
        ensure!(
            self.held == self.live,
            "nodes hold {} sessions, not {}",
            self.held,
            self.live
        );
        self.stream
            .clone()
            .map_err(|error| anyhow::anyhow!("the stream was disturbed: {error}"))
    }

    /// Whether, besides, nodes were back in time.
    #[must_use]
    pub fn meets_bars(&self) -> bool {
        self.judge().is_ok() && self.attached_after.as_secs_f64() <= ATTACHED_SECONDS_MAX
    }

    /// The finding for programs.
    #[must_use]
    pub fn to_json(&self) -> Value {
        json!({
            "bars": {"attached_after_seconds": self.attached_after.as_secs_f64()},
            "limits": {"attached_after_seconds": ATTACHED_SECONDS_MAX},
            "nodes": self.nodes,
            "nodes_moved": self.nodes_moved,
            "sessions_started": self.started,
            "requests_repeated": self.repeated,
            "sessions_live": self.live,
            "sessions_lost": self.lost,
            "sessions_surplus": self.surplus,
            "sessions_held": self.held,
            "stream_identical": self.stream.is_ok(),
            "machine": machine::describe(),
            "passed": self.meets_bars(),
        })
    }
}

impl Display for Finding {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "{} of {} nodes lost their replica; all were at the other one after {:.2} s",
            self.nodes_moved,
            self.nodes,
            self.attached_after.as_secs_f64()
        )?;
        writeln!(
            f,
            "{} sessions started, {} requests sent again; of {} live ones {} lost, {} too many, {} held by nodes",
            self.started, self.repeated, self.live, self.lost, self.surplus, self.held
        )?;
        match self.judge() {
            Ok(()) => writeln!(
                f,
                "nothing lost or doubled: the stream came out as it went in"
            ),
            Err(error) => writeln!(f, "FAILED: {error:#}"),
        }
    }
}
