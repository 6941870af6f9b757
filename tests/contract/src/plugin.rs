//! The plugin: its calls.

use std::time::{Duration, Instant};

use anyhow::{Context, bail, ensure};
use serde_json::{Value, json};
use uuid::Uuid;

use crate::clock::Clock;
use crate::exchange::{Exchange, Request};
use crate::session::Session;
use crate::timers::{PROVISIONING_MAX, PROVISIONING_POLL, REFRESH, Verdict};
use crate::wire::Wire;

const BASE: &str = "/api/v1";

/// The OBS plugin.
#[derive(Debug)]
pub struct Plugin {
    wire: Wire,
    clock: Clock,
    access: String,
    refresh: String,
    /// By its clock.
    refresh_at: Duration,
}

impl Plugin {
    /// A plugin that is signed in nowhere yet.
    #[must_use]
    pub fn new(base: &str, clock: Clock) -> Self {
        Self {
            wire: Wire::new(base),
            clock,
            access: String::new(),
            refresh: String::new(),
            refresh_at: Duration::MAX,
        }
    }

    pub(crate) const fn clock(&self) -> &Clock {
        &self.clock
    }

    /// When its clock shows this, the access token wants to be exchanged.
    pub(crate) const fn refresh_at(&self) -> Duration {
        self.refresh_at
    }

    /// The tokens it holds: access and refresh.
    #[must_use]
    pub fn tokens(&self) -> (&str, &str) {
        (&self.access, &self.refresh)
    }

    /// Exchanges its refresh token for the next pair; after a failure it tries again soon.
    ///
    /// # Errors
    /// When it is refused: the plugin only reports it.
    pub fn refresh(&mut self) -> anyhow::Result<Exchange> {
        self.refresh_at = self.clock.now() + PROVISIONING_POLL;
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

    pub(crate) fn keep(&mut self, body: &Value) -> anyhow::Result<()> {
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
        self.refresh_at = self.clock.now() + REFRESH;
        Ok(())
    }

    /// Asks for a session until there is an answer to go by, under a key of its own each
    /// time; says what was asked.
    ///
    /// # Errors
    /// When it is refused.
    pub fn start(&self, connection: &str) -> anyhow::Result<(Session, Vec<Exchange>)> {
        let body = json!({
            "client_context": {"obs_connected": true, "mode": "auto", "requested_by": "obs-plugin"},
            "region_preference": "local",
            "connection_id": connection,
        });
        let asked = self.persist(|| self.post("/relay/start", body.clone()))?;
        let started = asked.last().context("it was asked once")?;
        ensure!(
            started.is_good(),
            "relay_start failed: {}: {}",
            started.status,
            started.body
        );
        Ok((Session::read(&started.body)?, asked))
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
        let seen = Session::read(&looked.body)?;
        let is_it = seen.id == expected.id || seen.stream_token == expected.stream_token;
        Ok(is_it.then_some(looked))
    }

    /// Looks until the session's node has it, whatever else it is told meanwhile.
    ///
    /// # Errors
    /// When it takes too long.
    pub fn wait_active(&self, expected: &Session, connection: &str) -> anyhow::Result<Exchange> {
        let deadline = Instant::now() + PROVISIONING_MAX;
        while Instant::now() < deadline {
            let looked = self.active(expected, connection).ok().flatten();
            let is_active = |looked: &Exchange| {
                Session::read(&looked.body).is_ok_and(|session| session.status == "active")
            };
            if let Some(looked) = looked.filter(is_active) {
                return Ok(looked);
            }
            self.clock.sleep(PROVISIONING_POLL);
        }
        bail!("provisioning took too long")
    }

    /// Reports the session's health, with the key of its vault. No answer is a failure as
    /// any other.
    #[must_use]
    pub fn health(&self, session: &Session) -> Verdict {
        let body = json!({"session_id": session.id, "instance_id": session.instance_id});
        match self.post("/relay/health", body) {
            Ok(reported) if reported.status == 404 => Verdict::Expired,
            Ok(reported) if reported.is_good() => Verdict::Alive,
            _ => Verdict::Failed,
        }
    }

    /// Ends a session.
    ///
    /// # Errors
    /// When it is refused.
    pub fn stop(&self, session: &Session) -> anyhow::Result<Exchange> {
        let body = json!({"session_id": session.id});
        let mut asked = self.persist(|| self.post("/relay/stop", body.clone()))?;
        let stopped = asked.pop().context("it was asked once")?;
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

    /// Asks until the answer is not about trouble on the way (5xx) or there; the last one
    /// is the answer.
    fn persist(
        &self,
        mut ask: impl FnMut() -> anyhow::Result<Exchange>,
    ) -> anyhow::Result<Vec<Exchange>> {
        let deadline = Instant::now() + PROVISIONING_MAX;
        let mut asked = Vec::new();
        loop {
            let outcome = ask();
            let is_over = Instant::now() >= deadline;
            match outcome {
                Ok(exchange) => {
                    let is_trouble = exchange.status >= 500;
                    asked.push(exchange);
                    if !is_trouble || is_over {
                        return Ok(asked);
                    }
                }
                Err(error) if is_over => return Err(error),
                Err(_) => {}
            }
            self.clock.sleep(PROVISIONING_POLL);
        }
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

    pub(crate) fn anonymous(&self, path: &str, body: Value) -> anyhow::Result<Exchange> {
        let request = Request::post(format!("{BASE}{path}"), body)
            .with("X-Telemy-Client-Version", "0.0.5")
            .with("X-Telemy-Client-Platform", "windows");
        self.wire.ask(request)
    }
}
