//! The HTTP of the services, as a client program sees it.

use std::io::{BufRead, BufReader, Lines};
use std::time::Duration;

use anyhow::{Context, bail, ensure};
use serde_json::Value;
use ureq::{Agent, BodyReader};

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

    /// The same as the holder of another token.
    #[must_use]
    pub fn with_token(&self, token: &str) -> Self {
        Self {
            token: Some(token.to_owned()),
            ..self.clone()
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

    /// Follows a path's server-sent events, after the one with an id if there is one;
    /// for a minute at most.
    ///
    /// # Errors
    /// When nobody answers, or without events.
    pub fn events(&self, path: &str, last_id: Option<i64>) -> anyhow::Result<Events> {
        let mut request = self.agent.get(format!("{}{path}", self.base));
        if let Some(token) = &self.token {
            request = request.header("Authorization", format!("Bearer {token}"));
        }
        if let Some(id) = last_id {
            request = request.header("Last-Event-ID", id.to_string());
        }
        let request = request
            .config()
            .timeout_global(Some(Duration::from_secs(60)));
        let (parts, body) = request.build().call()?.into_parts();
        ensure!(parts.status == 200, "status {}", parts.status);
        Ok(Events(BufReader::new(body.into_reader()).lines()))
    }

    /// Deletes what is at a path.
    ///
    /// # Errors
    /// When nobody answers.
    pub fn delete(&self, path: &str) -> anyhow::Result<Answer> {
        let mut request = self.agent.delete(format!("{}{path}", self.base));
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
        self.post_with_key(path, &random_key()?, body)
    }

    /// Posts JSON under a given idempotency key.
    ///
    /// # Errors
    /// When nobody answers.
    pub fn post_with_key(&self, path: &str, key: &str, body: &Value) -> anyhow::Result<Answer> {
        let mut request = self.agent.post(format!("{}{path}", self.base));
        if let Some(token) = &self.token {
            request = request.header("Authorization", format!("Bearer {token}"));
        }
        answer(request.header("Idempotency-Key", key).send_json(body)?)
    }

    /// Puts JSON at a path.
    ///
    /// # Errors
    /// When nobody answers.
    pub fn put(&self, path: &str, body: &Value) -> anyhow::Result<Answer> {
        let mut request = self.agent.put(format!("{}{path}", self.base));
        if let Some(token) = &self.token {
            request = request.header("Authorization", format!("Bearer {token}"));
        }
        answer(request.send_json(body)?)
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

/// The events of a stream, until it ends.
pub struct Events(Lines<BufReader<BodyReader<'static>>>);

/// A server-sent event.
#[derive(Debug, Clone, PartialEq)]
pub struct Event {
    /// What it is.
    pub name: String,
    /// What to come back with.
    pub id: Option<i64>,
    /// Its JSON.
    pub data: Value,
}

impl Iterator for Events {
    type Item = Event;

    fn next(&mut self) -> Option<Event> {
        let (mut name, mut id) = (String::new(), None);
        loop {
            let line = self.0.next()?.ok()?;
            match line.split_once(": ") {
                Some(("event", word)) => name = word.to_owned(),
                Some(("id", number)) => id = number.parse().ok(),
                Some(("data", json)) => {
                    let data = serde_json::from_str(json).ok()?;
                    return Some(Event { name, id, data });
                }
                _ => {}
            }
        }
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
