//! The sessions of a house.

use std::path::Path;
use std::time::Duration;

use anyhow::Context;
use serde_json::{Value, json};

use super::{House, Service, text};
use crate::media;
use crate::program::Program;
use crate::wait;

/// A relay session as its owner sees it.
#[derive(Debug, Clone)]
pub struct Session {
    /// Its identifier.
    pub id: String,
    /// Where to publish.
    pub publish_url: String,
    /// Where to play.
    pub play_url: String,
}

impl House {
    /// Starts a relay session and waits until its node holds it.
    ///
    /// # Errors
    /// When the control plane refuses, or the node does not confirm in time.
    pub fn start_session(&self, name: &str) -> anyhow::Result<Session> {
        let request = json!({
            "client_context": {"obs_connected": false, "mode": "auto", "requested_by": "e2e"},
            "region_preference": "local",
            "connection_id": name,
        });
        let started = self
            .api()
            .post("/api/v1/relay/start", &request)?
            .success()
            .context("start a session")?;
        let session = Session {
            id: text(&started, "/session/session_id")?,
            publish_url: text(&started, "/session/srt_publish_url")?,
            play_url: text(&started, "/session/media_source_url")?,
        };
        wait::until("the session is active", Duration::from_secs(15), || {
            let sessions = self.sessions().ok()?;
            let is_it = |other: &&Value| other["session_id"] == session.id.as_str();
            (sessions.iter().find(is_it)?["status"] == "active").then_some(())
        })?;
        Ok(session)
    }

    /// Stops a session once its player has all that was sent; the player is cut,
    /// and so ends its file.
    ///
    /// # Errors
    /// When the control plane refuses, or the player is not cut.
    pub fn end_session(
        &self,
        session: &Session,
        player: &mut Program,
        received: &Path,
    ) -> anyhow::Result<()> {
        media::settle(received)?;
        self.stop_session(session)?;
        player.wait(Duration::from_secs(10))?;
        Ok(())
    }

    /// The live sessions, as listed.
    ///
    /// # Errors
    /// When the control plane does not answer.
    pub fn sessions(&self) -> anyhow::Result<Vec<Value>> {
        let listed = self.api().fetch("/api/v1/relay/sessions")?.success()?;
        Ok(listed["sessions"]
            .as_array()
            .context("no list of sessions")?
            .clone())
    }

    /// Stops a session.
    ///
    /// # Errors
    /// When the control plane refuses.
    pub fn stop_session(&self, session: &Session) -> anyhow::Result<()> {
        self.api()
            .post("/api/v1/relay/stop", &json!({"session_id": session.id}))?
            .success()?;
        Ok(())
    }

    /// Waits until so many publishers are connected: a player is refused before.
    ///
    /// # Errors
    /// When they are not within 15 seconds.
    pub fn wait_publishers(&self, publishers: u32) -> anyhow::Result<()> {
        self.wait_callers("publish", publishers)
    }

    /// Waits until so many players are connected: they miss nothing from here on.
    ///
    /// # Errors
    /// When they are not within 15 seconds.
    pub fn wait_players(&self, players: u32) -> anyhow::Result<()> {
        self.wait_callers("play", players)
    }

    fn wait_callers(&self, role: &str, callers: u32) -> anyhow::Result<()> {
        let what = format!("{callers} callers to {role} are connected");
        wait::until(&what, Duration::from_secs(15), || {
            let metrics = self.metrics(Service::RelayNode).ok()?;
            let connected = metrics.labelled("streamhaul_relay_sessions", "role", role);
            (connected >= f64::from(callers)).then_some(())
        })
    }
}
