//! What the plugin does while a connection is up: it reports health, looks at the links and
//! keeps its tokens fresh, each by a timer of its own.

use std::time::{Duration, Instant};

use anyhow::ensure;
use serde_json::Value;

use crate::plugin::Plugin;
use crate::session::Session;
use crate::timers::{Heartbeat, LOOK, Verdict};

/// Longer than any test waits for what comes by itself.
const PATIENCE: Duration = Duration::from_secs(120);

/// A connection that is up.
#[derive(Debug)]
pub struct Running {
    session: Session,
    connection: String,
    heartbeat: Heartbeat,
    /// None when there are no more reports. By the plugin's clock, as all.
    report_at: Option<Duration>,
    look_at: Duration,
    seen: Seen,
}

/// What has been seen of it.
#[derive(Debug, Default)]
pub struct Seen {
    /// What came of each health report.
    pub reports: Vec<Verdict>,
    /// How often the tokens were exchanged.
    pub refreshes: u32,
    /// The session as it was last shown.
    pub session: Value,
}

impl Seen {
    /// How many of the last reports have failed, one after the other.
    #[must_use]
    pub fn failures(&self) -> usize {
        let failed = |verdict: &&Verdict| **verdict == Verdict::Failed;
        self.reports.iter().rev().take_while(failed).count()
    }

    /// Whether it was told that the session is over.
    #[must_use]
    pub fn is_over(&self) -> bool {
        self.reports.last() == Some(&Verdict::Expired)
    }
}

impl Running {
    /// Begins with a session that is active.
    #[must_use]
    pub fn new(plugin: &Plugin, session: &Session, connection: &str) -> Self {
        let now = plugin.clock().now();
        Self {
            session: session.clone(),
            connection: connection.to_owned(),
            heartbeat: Heartbeat::default(),
            report_at: Some(now),
            look_at: now,
            seen: Seen::default(),
        }
    }

    /// What has been seen so far.
    #[must_use]
    pub const fn seen(&self) -> &Seen {
        &self.seen
    }

    /// Goes on until enough has been seen.
    ///
    /// # Errors
    /// When that takes minutes.
    pub fn until(
        &mut self,
        plugin: &mut Plugin,
        mut is_enough: impl FnMut(&Seen) -> bool,
    ) -> anyhow::Result<()> {
        let deadline = Instant::now() + PATIENCE;
        while !is_enough(&self.seen) {
            ensure!(Instant::now() < deadline, "not yet: {:#?}", self.seen);
            self.step(plugin);
        }
        Ok(())
    }

    /// Waits for the next timer and does what it is for.
    fn step(&mut self, plugin: &mut Plugin) {
        let next = self.look_at.min(plugin.refresh_at());
        let next = self.report_at.map_or(next, |report_at| report_at.min(next));
        plugin.clock().sleep_until(next);
        let now = plugin.clock().now();
        if plugin.refresh_at() <= now && plugin.refresh().is_ok() {
            self.seen.refreshes += 1;
        }
        if self.report_at.is_some_and(|report_at| report_at <= now) {
            self.report(plugin, now);
        }
        if self.look_at <= now {
            self.look(plugin);
            self.look_at = now + LOOK;
        }
    }

    fn report(&mut self, plugin: &Plugin, now: Duration) {
        let verdict = plugin.health(&self.session);
        self.seen.reports.push(verdict);
        self.report_at = self.heartbeat.after(verdict).map(|pause| now + pause);
    }

    /// What it cannot see it leaves as it was.
    fn look(&mut self, plugin: &Plugin) {
        if let Ok(looked) = plugin.active(&self.session, &self.connection) {
            let shown = looked.map(|mut looked| looked.body["session"].take());
            self.seen.session = shown.unwrap_or_default();
        }
    }
}
