//! The HTTP of the services, as a client program sees it.

use std::time::Duration;

use anyhow::{Context, bail};
use serde_json::Value;
use ureq::Agent;

/// Speaks to one base address with one token.
#[derive(Debug, Clone)]
pub struct Client {
    agent: Agent,
    base: String,
    token: Option<String>,
}

/// An answer: its status and, when it has one, its JSON.
#[derive(Debug, Clone, PartialEq)]
pub struct Answer {
    /// The status code.
    pub status: u16,
    /// The body; null when it is not JSON.
    pub body: Value,
    /// The body as it stands.
    pub text: String,
}

impl Client {
    /// A client of `http://127.0.0.1:<port>`.
    #[must_use]
    pub fn new(port: u16, token: Option<&str>) -> Self {
        Self::at(&format!("http://127.0.0.1:{port}"), token)
    }

    /// A client of a base address, such as `http://127.0.0.1:8080`.
    #[must_use]
    pub fn at(base: &str, token: Option<&str>) -> Self {
        let config = Agent::config_builder()
            .http_status_as_error(false)
            .timeout_global(Some(Duration::from_secs(5)))
            .build();
        Self {
            agent: config.into(),
            base: base.to_owned(),
            token: token.map(str::to_owned),
        }
    }

    /// Asks for a path.
    ///
    /// # Errors
    /// When nobody answers.
    pub fn fetch(&self, path: &str) -> anyhow::Result<Answer> {
        let mut request = self.agent.get(format!("{}{path}", self.base));
        if let Some(token) = &self.token {
            request = request.header("Authorization", format!("Bearer {token}"));
        }
        answer(request.call()?)
    }

    /// Posts JSON under an idempotency key of its own.
    ///
    /// # Errors
    /// When nobody answers.
    pub fn post(&self, path: &str, body: &Value) -> anyhow::Result<Answer> {
        let mut request = self.agent.post(format!("{}{path}", self.base));
        if let Some(token) = &self.token {
            request = request.header("Authorization", format!("Bearer {token}"));
        }
        answer(
            request
                .header("Idempotency-Key", random_key()?)
                .send_json(body)?,
        )
    }

    /// Changes what a path stands for.
    ///
    /// # Errors
    /// When nobody answers.
    pub fn patch(&self, path: &str, body: &Value) -> anyhow::Result<Answer> {
        let mut request = self.agent.patch(format!("{}{path}", self.base));
        if let Some(token) = &self.token {
            request = request.header("Authorization", format!("Bearer {token}"));
        }
        answer(request.send_json(body)?)
    }
}

impl Answer {
    /// The body, when the status says that it went well.
    ///
    /// # Errors
    /// When it does not.
    pub fn success(self) -> anyhow::Result<Value> {
        if (200..300).contains(&self.status) {
            return Ok(self.body);
        }
        bail!("status {}: {}", self.status, self.text)
    }
}

fn answer(mut response: ureq::http::Response<ureq::Body>) -> anyhow::Result<Answer> {
    let text = response
        .body_mut()
        .read_to_string()
        .context("read the body")?;
    let body = serde_json::from_str(&text).unwrap_or(Value::Null);
    Ok(Answer {
        status: response.status().as_u16(),
        body,
        text,
    })
}

fn random_key() -> anyhow::Result<String> {
    let mut bytes = [0; 16];
    getrandom::fill(&mut bytes).map_err(|error| anyhow::anyhow!("{error}"))?;
    Ok(hex::encode(bytes))
}
