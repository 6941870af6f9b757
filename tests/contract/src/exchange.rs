//! One request and its answer, as they are recorded.

use serde_json::{Map, Value, json};

use crate::mask::{masked, masked_header};

/// What is asked.
#[derive(Debug, Clone, PartialEq)]
pub struct Request {
    /// `GET`, `POST` or `PUT`.
    pub method: &'static str,
    /// From the host on.
    pub path: String,
    /// Those that mean something, in the order in which they are sent.
    pub headers: Vec<(&'static str, String)>,
    /// Its JSON, if there is any.
    pub body: Option<Value>,
}

impl Request {
    /// A request without a body.
    #[must_use]
    pub fn get(path: impl Into<String>) -> Self {
        Self {
            method: "GET",
            path: path.into(),
            headers: Vec::new(),
            body: None,
        }
    }

    /// A request with one.
    #[must_use]
    pub fn post(path: impl Into<String>, body: Value) -> Self {
        Self {
            method: "POST",
            body: Some(body),
            ..Self::get(path)
        }
    }

    /// The same with one header more.
    #[must_use]
    pub fn with(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.headers.push((name, value.into()));
        self
    }

    /// The same as the holder of a token.
    #[must_use]
    pub fn by(self, token: &str) -> Self {
        self.with("Authorization", format!("Bearer {token}"))
    }
}

/// One request and its answer.
#[derive(Debug, Clone, PartialEq)]
pub struct Exchange {
    /// What was asked.
    pub request: Request,
    /// The answer's status.
    pub status: u16,
    /// Those of its headers that the contract speaks of.
    pub headers: Vec<(&'static str, String)>,
    /// Its JSON; a text when it is none, and null when there is nothing.
    pub body: Value,
}

impl Exchange {
    /// Any 2xx, as the plugin has it.
    #[must_use]
    pub const fn is_good(&self) -> bool {
        self.status / 100 == 2
    }

    /// Without what differs from run to run.
    #[must_use]
    pub fn recorded(&self) -> Value {
        let Request {
            method,
            path,
            headers,
            body,
        } = &self.request;
        json!({
            "request": {
                "line": format!("{method} {path}"),
                "headers": recorded_headers(headers),
                "body": body.as_ref().map(masked),
            },
            "answer": {
                "status": self.status,
                "headers": recorded_headers(&self.headers),
                "body": masked(&self.body),
            },
        })
    }
}

fn recorded_headers(headers: &[(&'static str, String)]) -> Map<String, Value> {
    let shown = |(name, value): &(&'static str, String)| {
        let name = name.to_ascii_lowercase();
        let value = masked_header(&name, value);
        (name, value.into())
    };
    headers.iter().map(shown).collect()
}
