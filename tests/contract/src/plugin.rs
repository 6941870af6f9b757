//! The plugin.

use std::time::{Duration, Instant};

use anyhow::{Context, bail, ensure};
use serde_json::{Value, json};
use uuid::Uuid;

use crate::exchange::{Exchange, Request};
use crate::session::Session;
use crate::timers::{Timers, Verdict};
use crate::wire::Wire;

const BASE: &str = "/api/v1";

/// A login that waits for somebody to let the plugin in.
#[derive(Debug, Clone)]
pub struct Login {
    /// Its identifier.
    pub id: String,
    poll_token: String,
    interval: Duration,
    expires: Instant,
}

/// The OBS plugin.
#[derive(Debug)]
pub struct Plugin {
    wire: Wire,
    timers: Timers,
    access: String,
    refresh: String,
}

impl Plugin {
    /// A plugin that is signed in nowhere yet.
    #[must_use]
    pub fn new(base: &str, timers: Timers) -> Self {
        Self {
            wire: Wire::new(base),
            timers,
            access: String::new(),
            refresh: String::new(),
        }
    }

    /// The tokens it holds: access and refresh.
    #[must_use]
    pub fn tokens(&self) -> (&str, &str) {
        (&self.access, &self.refresh)
    }

    /// Asks to be signed in.
    ///
    /// # Errors
    /// When the answer is none that the plugin understands.
    pub fn login(&self) -> anyhow::Result<(Login, Exchange)> {
        let client =
            json!({"platform": "windows", "plugin_version": "0.0.5", "device_name": "STUDIO"});
        let begun = self.anonymous("/auth/plugin/login/start", json!({"client": client}))?;
        let text = |name: &str| {
            let value = begun.body[name].as_str().filter(|it| !it.is_empty());
            value
                .map(str::to_owned)
                .with_context(|| format!("login/start has no {name}"))
        };
        let said = begun.body["poll_interval_seconds"].as_u64();
        ensure!(said == Some(3), "the plugin asks every 3 s, not {said:?}");
        let login = Login {
            id: text("login_attempt_id")?,
            poll_token: text("poll_token")?,
            interval: self.timers.login_poll,
            expires: Instant::now() + self.timers.provisioning_max,
        };
        Ok((login, begun))
    }

    /// One look at a login; keeps the tokens once there are some.
    ///
    /// # Errors
    /// Anything but pending and completed ends the attempt.
    pub fn poll(&mut self, login: &Login) -> anyhow::Result<Exchange> {
        let body = json!({"login_attempt_id": login.id, "poll_token": login.poll_token});
        let looked = self.anonymous("/auth/plugin/login/poll", body)?;
        match looked.status {
            202 => {}
            200 => self.keep(&looked.body)?,
            status => bail!("the login ended with {status}: {}", looked.body),
        }
        Ok(looked)
    }

    /// Looks until it is let in.
    ///
    /// # Errors
    /// As [`poll`](Self::poll), or when nobody lets it in.
    pub fn wait_signed_in(&mut self, login: &Login) -> anyhow::Result<Exchange> {
        while Instant::now() < login.expires {
            let looked = self.poll(login)?;
            if looked.status == 200 {
                return Ok(looked);
            }
            std::thread::sleep(login.interval);
        }
        bail!("nobody let the plugin in")
    }

    /// Exchanges its refresh token for the next pair.
    ///
    /// # Errors
    /// When it is refused: the plugin only reports it.
    pub fn refresh(&mut self) -> anyhow::Result<Exchange> {
        let body = json!({"refresh_token": self.refresh});
        let refreshed = self.anonymous("/auth/refresh", body)?;
        ensure!(
            refreshed.is_good(),
            "session_refresh_failed: {}",
            refreshed.status
        );
        self.keep(&refreshed.body)?;
        Ok(refreshed)
    }

    fn keep(&mut self, body: &Value) -> anyhow::Result<()> {
        let text = |name: &str| {
            let value = body["auth"][name].as_str().filter(|it| !it.is_empty());
            value
                .map(str::to_owned)
                .with_context(|| format!("no {name}"))
        };
        let user = body["user"]["id"].as_str().unwrap_or_default();
        ensure!(!user.is_empty(), "user.id is required");
        self.access = text("cp_access_jwt")?;
        self.refresh = text("refresh_token")?;
        Ok(())
    }

    /// Asks for a session, under a key of its own however often it asked before.
    ///
    /// # Errors
    /// When it is refused.
    pub fn start(&self, connection: &str) -> anyhow::Result<(Session, Exchange)> {
        let body = json!({
            "client_context": {"obs_connected": true, "mode": "auto", "requested_by": "obs-plugin"},
            "region_preference": "local",
            "connection_id": connection,
        });
        let started = self.post("/relay/start", body)?;
        ensure!(
            started.is_good(),
            "relay_start failed: {}: {}",
            started.status,
            started.body
        );
        Ok((Session::read(&started.body)?, started))
    }

    /// Looks at a connection's session; none when nothing is active, or something else.
    ///
    /// # Errors
    /// When it is refused.
    pub fn active(&self, expected: &Session, connection: &str) -> anyhow::Result<Option<Exchange>> {
        let looked = self.get(&format!("/relay/active?connection_id={connection}"))?;
        ensure!(looked.is_good(), "relay/active: {}", looked.status);
        if looked.body.is_null() {
            return Ok(None);
        }
        let found = Session::read(&looked.body)?;
        let is_it = found.id == expected.id || found.stream_token == expected.stream_token;
        Ok(is_it.then_some(looked))
    }

    /// Looks until the session is ready.
    ///
    /// # Errors
    /// When it is not in time.
    pub fn wait_active(&self, session: &Session, connection: &str) -> anyhow::Result<Exchange> {
        let begun = Instant::now();
        while begun.elapsed() < self.timers.provisioning_max {
            let looked = self.active(session, connection)?;
            if let Some(looked) = looked.filter(|it| it.body["session"]["status"] == "active") {
                return Ok(looked);
            }
            std::thread::sleep(self.timers.provisioning_poll);
        }
        bail!("provisioning took too long")
    }

    /// Reports the session's health, with the key of its vault.
    ///
    /// # Errors
    /// When nobody answers.
    pub fn health(&self, session: &Session) -> anyhow::Result<(Verdict, Exchange)> {
        let body = json!({"session_id": session.id, "instance_id": session.instance_id});
        let reported = self.post("/relay/health", body)?;
        let verdict = match reported.status {
            404 => Verdict::Expired,
            _ if reported.is_good() => Verdict::Alive,
            _ => Verdict::Failed,
        };
        Ok((verdict, reported))
    }

    /// Ends a session.
    ///
    /// # Errors
    /// When it is refused.
    pub fn stop(&self, session: &Session) -> anyhow::Result<Exchange> {
        let stopped = self.post("/relay/stop", json!({"session_id": session.id}))?;
        ensure!(stopped.is_good(), "relay_stop failed: {}", stopped.status);
        Ok(stopped)
    }

    /// Signs out.
    ///
    /// # Errors
    /// When nobody answers.
    pub fn logout(&self) -> anyhow::Result<Exchange> {
        self.post("/auth/logout", json!({}))
    }

    /// Asks for any path with its access token.
    ///
    /// # Errors
    /// When nobody answers.
    pub fn get(&self, path: &str) -> anyhow::Result<Exchange> {
        let request = Request::get(format!("{BASE}{path}"));
        self.wire.ask(request.by(&self.access))
    }

    fn post(&self, path: &str, body: Value) -> anyhow::Result<Exchange> {
        let request = Request::post(format!("{BASE}{path}"), body).by(&self.access);
        let request = match path {
            "/relay/start" => request.with("Idempotency-Key", Uuid::new_v4().to_string()),
            "/relay/health" => request.with("X-Relay-Auth", "a key of the user's vault"),
            _ => request,
        };
        self.wire.ask(request)
    }

    fn anonymous(&self, path: &str, body: Value) -> anyhow::Result<Exchange> {
        let request = Request::post(format!("{BASE}{path}"), body)
            .with("X-Telemy-Client-Version", "0.0.5")
            .with("X-Telemy-Client-Platform", "windows");
        self.wire.ask(request)
    }
}
