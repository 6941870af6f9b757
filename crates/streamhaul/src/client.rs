//! HTTP to a running instance.

use std::time::Duration;

use secrecy::{ExposeSecret as _, SecretString};
use serde_json::Value;
use ureq::Agent;
use ureq::http::Response;

use crate::cli::Target;
use crate::run_file::RunFile;
use crate::state_dir::StateDir;

const TIMEOUT: Duration = Duration::from_secs(10);
const BODY_BYTES_MAX: u64 = 8 * 1024 * 1024;

/// Why a request came to nothing.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Nobody answers.
    #[error(
        "{url} does not answer ({reason}); is the instance running? `streamhaul up` starts one"
    )]
    Unreachable {
        /// Who was asked.
        url: String,
        /// What the system said.
        reason: String,
    },
    /// The instance refused.
    #[error("{message}{}", hint(*status))]
    Refused {
        /// The HTTP status.
        status: u16,
        /// The contract's error code.
        code: String,
        /// What the instance said.
        message: String,
    },
    /// The answer is not what was expected.
    #[error("{url} gave an answer that is not Streamhaul's: {reason}")]
    Strange {
        /// Who was asked.
        url: String,
        /// What is wrong with it.
        reason: String,
    },
}

const fn hint(status: u16) -> &'static str {
    match status {
        401 => " (the token is not known there: check --token)",
        403 => " (the token may not do this: use an administrator's)",
        _ => "",
    }
}

/// A running instance's HTTP API.
#[derive(Debug)]
pub struct Client {
    agent: Agent,
    base: String,
    token: SecretString,
}

impl Client {
    /// The instance that the command line names, else the running one.
    ///
    /// # Errors
    /// When none runs.
    pub fn of(target: &Target) -> anyhow::Result<Self> {
        if let Some(api) = &target.api {
            let token = target.token.clone().unwrap_or_default();
            return Ok(Self::new(api, token.into()));
        }
        let run = RunFile::read(&StateDir::choose(target.state_dir.as_deref())?.run_file())?;
        let token = target.token.clone().unwrap_or(run.admin_token);
        Ok(Self::new(&run.api_http, token.into()))
    }

    /// An instance at `base`, such as `http://127.0.0.1:8080`.
    #[must_use]
    pub fn new(base: &str, token: SecretString) -> Self {
        let config = Agent::config_builder()
            .timeout_global(Some(TIMEOUT))
            .http_status_as_error(false)
            .build();
        Self {
            agent: config.into(),
            base: base.trim_end_matches('/').to_owned(),
            token,
        }
    }

    /// Where the instance is.
    #[must_use]
    pub fn base(&self) -> &str {
        &self.base
    }

    /// Asks for `path`.
    ///
    /// # Errors
    /// See [`enum@Error`].
    pub fn get(&self, path: &str) -> Result<Value, Error> {
        let url = format!("{}{path}", self.base);
        let request = self.agent.get(&url).header("authorization", self.bearer());
        answer(&url, request.call())
    }

    /// Asks for `path`, which is no JSON.
    ///
    /// # Errors
    /// See [`enum@Error`].
    pub fn text(&self, path: &str) -> Result<String, Error> {
        let url = format!("{}{path}", self.base);
        let request = self.agent.get(&url).header("authorization", self.bearer());
        match read(&url, request.call())? {
            (200..=299, text) => Ok(text),
            (status, text) => Err(refusal(&url, status, &text)),
        }
    }

    /// Posts `body` to `path`; `idempotency_key` makes a repetition harmless.
    ///
    /// # Errors
    /// See [`enum@Error`].
    pub fn post(
        &self,
        path: &str,
        body: &Value,
        idempotency_key: Option<&str>,
    ) -> Result<Value, Error> {
        let url = format!("{}{path}", self.base);
        let mut request = self.agent.post(&url).header("authorization", self.bearer());
        if let Some(key) = idempotency_key {
            request = request.header("idempotency-key", key);
        }
        answer(&url, request.send_json(body))
    }

    /// Changes what `path` stands for.
    ///
    /// # Errors
    /// See [`enum@Error`].
    pub fn patch(&self, path: &str, body: &Value) -> Result<Value, Error> {
        let url = format!("{}{path}", self.base);
        let request = self.agent.patch(&url);
        let request = request.header("authorization", self.bearer());
        answer(&url, request.send_json(body))
    }

    /// Sets what `path` stands for.
    ///
    /// # Errors
    /// See [`enum@Error`].
    pub fn put(&self, path: &str, body: &Value) -> Result<Value, Error> {
        let url = format!("{}{path}", self.base);
        let request = self.agent.put(&url);
        let request = request.header("authorization", self.bearer());
        answer(&url, request.send_json(body))
    }

    /// Removes what `path` stands for.
    ///
    /// # Errors
    /// See [`enum@Error`].
    pub fn delete(&self, path: &str) -> Result<Value, Error> {
        let url = format!("{}{path}", self.base);
        let request = self.agent.delete(&url);
        answer(&url, request.header("authorization", self.bearer()).call())
    }

    fn bearer(&self) -> String {
        format!("Bearer {}", self.token.expose_secret())
    }
}

fn answer(url: &str, outcome: Result<Response<ureq::Body>, ureq::Error>) -> Result<Value, Error> {
    let (status, text) = read(url, outcome)?;
    if !(200..300).contains(&status) {
        return Err(refusal(url, status, &text));
    }
    parse(url, status, &text)
}

/// The status of an answer, and its text.
fn read(
    url: &str,
    outcome: Result<Response<ureq::Body>, ureq::Error>,
) -> Result<(u16, String), Error> {
    let mut response = outcome.map_err(|error| Error::Unreachable {
        url: url.to_owned(),
        reason: error.to_string(),
    })?;
    let text = response
        .body_mut()
        .with_config()
        .limit(BODY_BYTES_MAX)
        .read_to_string();
    let text = text.map_err(|error| Error::Strange {
        url: url.to_owned(),
        reason: error.to_string(),
    })?;
    Ok((response.status().as_u16(), text))
}

fn parse(url: &str, status: u16, text: &str) -> Result<Value, Error> {
    match text.trim() {
        "" => Ok(Value::Null),
        text => serde_json::from_str(text).map_err(|_| Error::Strange {
            url: url.to_owned(),
            reason: format!("status {status}"),
        }),
    }
}

fn refusal(url: &str, status: u16, text: &str) -> Error {
    let json = match parse(url, status, text) {
        Ok(json) => json,
        Err(strange) => return strange,
    };
    let said = |name: &str| json["error"][name].as_str().map(str::to_owned);
    Error::Refused {
        status,
        code: said("code").unwrap_or_default(),
        message: said("message").unwrap_or_else(|| format!("{url} answered {status}")),
    }
}

/// Fetches a path of an admin listener: its status and its text.
///
/// # Errors
/// When nobody answers.
pub fn fetch(url: &str) -> Result<(u16, String), Error> {
    let config = Agent::config_builder()
        .timeout_global(Some(Duration::from_secs(3)))
        .http_status_as_error(false)
        .build();
    let unreachable = |error: ureq::Error| Error::Unreachable {
        url: url.to_owned(),
        reason: error.to_string(),
    };
    let mut response = Agent::from(config).get(url).call().map_err(unreachable)?;
    let text = response.body_mut().read_to_string().map_err(unreachable)?;
    Ok((response.status().as_u16(), text))
}
