//! Cloudflare's API, version 4
//! (<https://developers.cloudflare.com/api/resources/dns/subresources/records/>).
//!
//! Records carry a comment that says whose they are: one without it is never changed and
//! never removed.

use std::time::Duration;

use anyhow::Context as _;
use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use secrecy::{ExposeSecret, SecretString};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use ureq::Agent;
use ureq::http::header::{AUTHORIZATION, CONTENT_TYPE, RETRY_AFTER};
use ureq::http::{Method, Request, Response};

use super::{Error, Provider, Record};

/// From looking up the name to the answer's last byte, of each of a record's few requests.
const TIMEOUT: Duration = Duration::from_secs(5);
const ANSWER_BYTES_MAX: u64 = 1 << 20;
/// By which records of ours are known; at most 100 characters everywhere.
const COMMENT: &str = "managed by streamhaul";
/// Types of which a name has one of ours.
const TYPES: [&str; 3] = ["A", "AAAA", "CNAME"];
/// When it is not said how long to wait.
const RETRY_AFTER_DEFAULT: Duration = Duration::from_secs(60);
const RETRY_AFTER_MAX: Duration = Duration::from_secs(3600);
/// Error codes of the API: such a record is there, and is not there.
const EXISTS: [u32; 2] = [81_057, 81_058];
const IS_GONE: u32 = 81_044;
const TEXT_LENGTH_MAX: usize = 200;

/// Which zone, and what Cloudflare knows us by.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Where the API is.
    pub api_url: String,
    /// The zone's id: 32 hexadecimal digits.
    pub zone_id: String,
    /// An API token with the permission to edit that zone's DNS.
    pub token: SecretString,
}

/// The provider.
#[derive(Clone)]
pub struct Cloudflare {
    agent: Agent,
    records_url: String,
    bearer: SecretString,
}

/// A record as the API shows it.
#[derive(Debug, Clone, Deserialize)]
struct Shown {
    id: String,
    name: String,
    #[serde(rename = "type")]
    kind: String,
    content: String,
    ttl: u32,
    #[serde(default)]
    proxied: bool,
    comment: Option<String>,
}

/// A record as the API takes it.
#[derive(Debug, Serialize)]
struct Wanted<'a> {
    name: &'a str,
    #[serde(rename = "type")]
    kind: &'static str,
    content: String,
    ttl: u32,
    /// The proxy passes no UDP.
    proxied: bool,
    comment: &'static str,
}

#[derive(Deserialize)]
struct Envelope<T> {
    success: bool,
    #[serde(default)]
    errors: Vec<Complaint>,
    result: Option<T>,
}

#[derive(Debug, Deserialize)]
struct Complaint {
    code: u32,
    message: String,
}

impl Cloudflare {
    /// One that writes into a zone.
    ///
    /// # Errors
    /// When the token cannot stand in a header.
    pub fn new(settings: &Settings) -> anyhow::Result<Self> {
        let token = settings.token.expose_secret().trim();
        let is_token = !token.is_empty() && token.bytes().all(|byte| byte.is_ascii_graphic());
        anyhow::ensure!(
            is_token,
            "dns.cloudflare.token_file: expected an API token, a word of printable characters"
        );
        let config = Agent::config_builder()
            .http_status_as_error(false)
            .max_redirects(0)
            .max_redirects_will_error(false)
            .timeout_global(Some(TIMEOUT))
            .user_agent(concat!("streamhaul/", env!("CARGO_PKG_VERSION")))
            .build();
        let base = settings.api_url.trim_end_matches('/');
        Ok(Self {
            agent: config.into(),
            records_url: format!("{base}/zones/{}/dns_records", settings.zone_id),
            bearer: format!("Bearer {token}").into(),
        })
    }

    /// Blocks.
    fn write(&self, record: &Record) -> Result<(), Error> {
        let found = self.find(&record.name)?;
        let (ours, others): (Vec<_>, Vec<_>) = found
            .into_iter()
            .partition(|shown| shown.comment.as_deref() == Some(COMMENT));
        let Some(wanted) = Wanted::of(record) else {
            return ours.iter().try_for_each(|shown| self.remove(shown));
        };
        if let Some(other) = others.first() {
            return Err(Error::Refused(format!(
                "{} has a record {} that is not ours: its comment is not `{COMMENT}`",
                other.name, other.kind
            )));
        }
        match ours.as_slice() {
            [] => self.create(&wanted),
            [kept, spare @ ..] => {
                spare.iter().try_for_each(|shown| self.remove(shown))?;
                self.overwrite(kept, &wanted)
            }
        }
    }

    fn find(&self, name: &str) -> Result<Vec<Shown>, Error> {
        let url = format!("{}?name.exact={name}&per_page=100", self.records_url);
        let found: Vec<Shown> = self.call(Method::GET, &url, None)?;
        let is_it = |shown: &Shown| {
            shown.name.eq_ignore_ascii_case(name) && TYPES.contains(&shown.kind.as_str())
        };
        Ok(found.into_iter().filter(is_it).collect())
    }

    fn create(&self, wanted: &Wanted<'_>) -> Result<(), Error> {
        self.call::<Shown>(Method::POST, &self.records_url, Some(wanted))?;
        Ok(())
    }

    /// In one step, whatever type it was of: the name is never without a record.
    fn overwrite(&self, kept: &Shown, wanted: &Wanted<'_>) -> Result<(), Error> {
        if wanted.is(kept) {
            return Ok(());
        }
        self.call::<Shown>(Method::PUT, &self.url_of(kept), Some(wanted))?;
        Ok(())
    }

    fn remove(&self, shown: &Shown) -> Result<(), Error> {
        let url = self.url_of(shown);
        let answer = self.send(Method::DELETE, &url, None)?;
        let (status, body) = read(answer)?;
        let is_gone = |envelope: &Envelope<serde_json::Value>| {
            envelope.success || envelope.errors.iter().any(|it| it.code == IS_GONE)
        };
        let envelope = serde_json::from_slice(&body);
        if status == 404 || envelope.is_ok_and(|envelope| is_gone(&envelope)) {
            return Ok(());
        }
        Err(complaint(status, &body))
    }

    fn url_of(&self, shown: &Shown) -> String {
        let id: String = shown
            .id
            .chars()
            .filter(char::is_ascii_alphanumeric)
            .collect();
        format!("{}/{id}", self.records_url)
    }

    fn call<T: DeserializeOwned>(
        &self,
        method: Method,
        url: &str,
        wanted: Option<&Wanted<'_>>,
    ) -> Result<T, Error> {
        let (status, body) = read(self.send(method, url, wanted)?)?;
        let envelope: Option<Envelope<T>> = serde_json::from_slice(&body).ok();
        let result = envelope
            .filter(|envelope| envelope.success)
            .and_then(|envelope| envelope.result);
        result
            .filter(|_| (200..300).contains(&status))
            .ok_or_else(|| complaint(status, &body))
    }

    fn send(
        &self,
        method: Method,
        url: &str,
        wanted: Option<&Wanted<'_>>,
    ) -> Result<Response<ureq::Body>, Error> {
        let body = wanted.map(serde_json::to_vec).transpose();
        let body = body.map_err(|error| Error::Refused(error.to_string()))?;
        let request = Request::builder()
            .method(method)
            .uri(url)
            .header(AUTHORIZATION, self.bearer.expose_secret())
            .header(CONTENT_TYPE, "application/json");
        let sent = match body {
            Some(body) => self
                .agent
                .run(request.body(body).map_err(|error| unsent(&error))?),
            None => self
                .agent
                .run(request.body(()).map_err(|error| unsent(&error))?),
        };
        let answer = sent.map_err(|error| Error::Unavailable(error.to_string()))?;
        if answer.status() == 429 {
            return Err(Error::RateLimited(retry_after(&answer)));
        }
        Ok(answer)
    }
}

impl Provider for Cloudflare {
    fn apply<'a>(&'a self, record: &'a Record) -> BoxFuture<'a, Result<(), Error>> {
        let (provider, record) = (self.clone(), record.clone());
        async move {
            tokio::task::spawn_blocking(move || provider.write(&record))
                .await
                .context("the request's thread")
                .map_err(|error| Error::Unavailable(format!("{error:#}")))?
        }
        .boxed()
    }
}

impl<'a> Wanted<'a> {
    fn of(record: &'a Record) -> Option<Self> {
        let target = record.target.as_ref()?;
        Some(Self {
            name: &record.name,
            kind: target.record_type(),
            content: target.to_string(),
            ttl: record.ttl_seconds,
            proxied: false,
            comment: COMMENT,
        })
    }

    fn is(&self, shown: &Shown) -> bool {
        self.kind == shown.kind
            && self.content.eq_ignore_ascii_case(&shown.content)
            && self.ttl == shown.ttl
            && self.proxied == shown.proxied
    }
}

fn unsent(error: &ureq::http::Error) -> Error {
    Error::Refused(error.to_string())
}

fn read(answer: Response<ureq::Body>) -> Result<(u16, Vec<u8>), Error> {
    let status = answer.status().as_u16();
    let body = answer
        .into_body()
        .into_with_config()
        .limit(ANSWER_BYTES_MAX)
        .read_to_vec()
        .map_err(|error| Error::Unavailable(error.to_string()))?;
    Ok((status, body))
}

/// In seconds; a date is no way in which Cloudflare says it.
fn retry_after<T>(answer: &Response<T>) -> Duration {
    let value = answer.headers().get(RETRY_AFTER);
    let seconds = value.and_then(|value| value.to_str().ok()?.trim().parse().ok());
    let asked = seconds.map_or(RETRY_AFTER_DEFAULT, Duration::from_secs);
    asked.clamp(Duration::from_secs(1), RETRY_AFTER_MAX)
}

/// What an answer without a result means for us.
fn complaint(status: u16, body: &[u8]) -> Error {
    let envelope = serde_json::from_slice::<Envelope<serde_json::Value>>(body).ok();
    let first = envelope.and_then(|envelope| envelope.errors.into_iter().next());
    let text = first.as_ref().map_or_else(
        || format!("status {status}"),
        |complaint| {
            let message: String = complaint.message.chars().take(TEXT_LENGTH_MAX).collect();
            format!("{message} (status {status}, code {})", complaint.code)
        },
    );
    match (status, first.map(|complaint| complaint.code)) {
        (401 | 403, _) => Error::Unauthorized(format!(
            "{text}; the token needs the permission Zone / DNS / Edit for the zone"
        )),
        (404, _) => Error::Unauthorized(format!("{text}; check dns.cloudflare.zone_id")),
        // Somebody made it since we looked: the next look finds whose it is.
        (_, Some(code)) if EXISTS.contains(&code) => Error::Refused(text),
        (400..500, _) => Error::Refused(text),
        _ => Error::Unavailable(text),
    }
}
