//! How the plugin speaks HTTP.

use std::time::Duration;

use serde_json::Value;
use ureq::Agent;
use ureq::http::{self, header::HeaderMap};

use crate::exchange::{Exchange, Request};

const USER_AGENT: &str = "Telemy/0.0.5";
/// The plugin reads no longer answers.
const ANSWER_BYTES_MAX: u64 = 1 << 20;
/// It bears no slower ones either.
const RECEIVE_MAX: Duration = Duration::from_secs(30);
/// Headers of answers that the contract speaks of.
const NOTED: [&str; 3] = ["cache-control", "ratelimit-policy", "retry-after"];

/// Speaks to one base address; tries nothing twice.
#[derive(Debug, Clone)]
pub struct Wire {
    agent: Agent,
    base: String,
}

impl Wire {
    /// To a base address, such as `http://127.0.0.1:8080`.
    #[must_use]
    pub fn new(base: &str) -> Self {
        let config = Agent::config_builder()
            .http_status_as_error(false)
            .timeout_global(Some(RECEIVE_MAX))
            .build();
        Self {
            agent: config.into(),
            base: base.to_owned(),
        }
    }

    /// Asks once.
    ///
    /// # Errors
    /// When nobody answers.
    pub fn ask(&self, request: Request) -> anyhow::Result<Exchange> {
        let mut head = http::Request::builder()
            .method(request.method)
            .uri(format!("{}{}", self.base, request.path))
            .header("User-Agent", USER_AGENT);
        for (name, value) in &request.headers {
            head = head.header(*name, value);
        }
        let answer = match &request.body {
            Some(body) => {
                let head = head.header("Content-Type", "application/json");
                self.agent.run(head.body(body.to_string())?)?
            }
            None => self.agent.run(head.body(())?)?,
        };
        exchange(request, answer)
    }
}

fn exchange(request: Request, answer: http::Response<ureq::Body>) -> anyhow::Result<Exchange> {
    let (parts, body) = answer.into_parts();
    let text = body
        .into_with_config()
        .limit(ANSWER_BYTES_MAX)
        .read_to_string()?;
    let body = match text.as_str() {
        "" => Value::Null,
        _ => serde_json::from_str(&text).unwrap_or(Value::String(text)),
    };
    Ok(Exchange {
        request,
        status: parts.status.as_u16(),
        headers: noted(&parts.headers),
        body,
    })
}

fn noted(headers: &HeaderMap) -> Vec<(&'static str, String)> {
    let value = |name| headers.get(name)?.to_str().ok().map(str::to_owned);
    let noted = NOTED.into_iter();
    noted
        .filter_map(|name| Some((name, value(name)?)))
        .collect()
}
