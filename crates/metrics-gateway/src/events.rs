//! Events of apps: signed batches in, rows in PostgreSQL, and an answer after the commit.
//!
//! ```text
//! head: length ▸ media type ▸ time window ▸ app ▸ address, origin, token
//!   ▸ body, bounded ▸ signature over what was sent ▸ the same again? ▸ inflate, bounded
//!   ▸ take apart ▸ quota, rate ▸ sink ▸ 200
//! ```
//!
//! Whatever is cheap to refuse is refused first, and nothing is believed that is not signed. To
//! refuse for another reason, add it to [`refusal`]; to judge events otherwise, see [`event`].

pub(crate) mod admin;
mod allowance;
mod answer;
pub(crate) mod app;
pub(crate) mod batch;
pub(crate) mod body;
pub(crate) mod days;
pub(crate) mod directory;
mod envelope;
pub(crate) mod event;
mod json;
pub(crate) mod month;
#[cfg(feature = "nats")]
mod nats;
pub(crate) mod nonces;
mod outlet;
mod record;
pub(crate) mod refusal;
mod seen;
pub(crate) mod service;
mod shared;
mod signature;
pub(crate) mod sink;
pub(crate) mod slis;
pub(crate) mod spool;
mod ways;
mod wire;
pub(crate) mod writers;

use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::body::Body;
use axum::response::Response;
use http::{HeaderMap, HeaderValue, header};
use model::UnixMillis;
use model::clock::Clock;

use crate::metrics::events as metrics;
use answer::Taken;
use app::App;
use batch::{Batch, Source};
use body::{Bodies, Encoding};
use directory::{Directory, Entry};
use event::Times;
use nonces::{Nonces, Seen};
use refusal::Refusal;
use signature::Signed;
use sink::{Failure, Sink};

/// A client has given up by then.
const KEEP_TIMEOUT: Duration = Duration::from_secs(25);

/// Takes batches.
pub(crate) struct Intake {
    pub(crate) directory: Arc<Directory>,
    pub(crate) sink: Arc<dyn Sink>,
    pub(crate) nonces: Nonces,
    pub(crate) bodies: Bodies,
    pub(crate) clock: Arc<dyn Clock>,
    /// How far a request's time may be from now.
    pub(crate) window: Duration,
    pub(crate) times: Times,
}

/// Who sends, and to which app.
pub(crate) struct Sender<'a> {
    pub(crate) org: &'a str,
    pub(crate) name: &'a str,
    pub(crate) address: IpAddr,
    /// With whom it counts together; none: with nobody.
    pub(crate) holder: Option<IpAddr>,
}

impl Intake {
    /// Takes a batch, or says why not.
    pub(crate) async fn take(
        &self,
        sender: &Sender<'_>,
        headers: &HeaderMap,
        body: Body,
    ) -> Result<Response, Refusal> {
        let now = self.clock.now();
        body::check_length(headers)?;
        check_media_type(headers)?;
        let encoding = Encoding::of(headers)?;
        let signed = Signed::read(headers, now, self.window)?;
        let app = self.app(sender, headers, now)?;
        let held = self.bodies.read(body, sender.holder).await?;
        if !signed.is_of(&app, &held.bytes, now) {
            return Err(Refusal::Unauthorized);
        }
        if let Some(taken) = self.repeated(&app, &signed)? {
            return Ok(taken.response(None));
        }
        let held = self.bodies.inflate(held, encoding).await?;
        let opened = envelope::open(&held.bytes)?;
        if signed.batch_size.is_some_and(|said| said != opened.len()) {
            return Err(Refusal::BatchSize);
        }
        let accepted = u32::try_from(opened.len()).map_err(|_| Refusal::BatchTooLarge)?;
        if wants_no_tracking(headers) {
            metrics::not_tracked();
            let nothing = Taken {
                accepted,
                quarantined: 0,
            };
            return Ok(nothing.response(None));
        }
        let left = self.allow(&app, accepted.into(), now)?;
        let source = Source {
            org: sender.org.to_owned(),
            name: sender.name.to_owned(),
        };
        let batch = opened.batch((app.id, source), self.times, now)?;
        drop(held);
        let quarantined = u32::try_from(batch.refused.len()).unwrap_or(accepted);
        self.keep(batch).await?;
        let taken = Taken {
            accepted,
            quarantined,
        };
        if let Some(nonce) = &signed.nonce {
            self.nonces
                .remember((app.id, nonce), signed.tag, taken, now);
        }
        Ok(taken.response(left))
    }

    /// The app, if the sender may speak for it as far as the head says.
    fn app(
        &self,
        sender: &Sender<'_>,
        headers: &HeaderMap,
        now: UnixMillis,
    ) -> Result<Arc<App>, Refusal> {
        let app = match self.directory.find(sender.org, sender.name) {
            Entry::App(app) => app,
            Entry::Nobody => return Err(Refusal::Unauthorized),
            Entry::Unread => return Err(Refusal::Unavailable),
        };
        if app.is_disabled {
            return Err(Refusal::Disabled);
        }
        if !app.admits(sender.address) {
            return Err(Refusal::Address);
        }
        if let Some(origin) = headers.get(header::ORIGIN)
            && !origin.to_str().is_ok_and(|origin| app.shares_with(origin))
        {
            return Err(Refusal::Origin);
        }
        match signature::token(headers)? {
            Some(token) if !app.knows(token, now) => Err(Refusal::Unauthorized),
            _ => Ok(app),
        }
    }

    /// The answer that these very bytes got before.
    fn repeated(&self, app: &App, signed: &Signed) -> Result<Option<Taken>, Refusal> {
        let Some(nonce) = &signed.nonce else {
            return Ok(None);
        };
        match self.nonces.look_up(app.id, nonce, &signed.tag) {
            Seen::Never => Ok(None),
            Seen::Answered(taken) => {
                metrics::repeated();
                Ok(Some(taken))
            }
            Seen::Otherwise => Err(Refusal::NonceReused),
        }
    }

    fn allow(
        &self,
        app: &App,
        events: u64,
        now: UnixMillis,
    ) -> Result<Option<allowance::Left>, Refusal> {
        if self.directory.has_spent(app.id) {
            return Err(Refusal::Quota(month::left(now)));
        }
        let Some(allowance) = &app.allowance else {
            return Ok(None);
        };
        let left = allowance.take(events, Instant::now());
        left.map(Some).map_err(Refusal::Rate)
    }

    async fn keep(&self, batch: Batch) -> Result<(), Refusal> {
        for refused in &batch.refused {
            metrics::failed(refused.reason, 1);
        }
        let events = batch.events.len();
        let kept = tokio::time::timeout(KEEP_TIMEOUT, self.sink.keep(Arc::new(batch))).await;
        let refusal = match kept {
            Ok(Ok(())) => return Ok(()),
            Ok(Err(Failure::Full)) => Refusal::Full,
            Ok(Err(Failure::Unavailable)) | Err(_) => Refusal::Unavailable,
        };
        metrics::failed(refusal.code(), events as u64);
        Err(refusal)
    }

    /// What a browser is told that asks whether a page may send.
    pub(crate) fn origin(&self, org: &str, name: &str, headers: &HeaderMap) -> Option<HeaderValue> {
        let origin = headers.get(header::ORIGIN)?;
        let Entry::App(app) = self.directory.find(org, name) else {
            return None;
        };
        let is_allowed = origin.to_str().is_ok_and(|origin| app.shares_with(origin));
        is_allowed.then(|| origin.clone())
    }
}

fn check_media_type(headers: &HeaderMap) -> Result<(), Refusal> {
    let said = headers.get(header::CONTENT_TYPE);
    let said = said.and_then(|said| said.to_str().ok()).unwrap_or_default();
    let essence = said.split(';').next().unwrap_or_default().trim();
    if essence.eq_ignore_ascii_case("application/json") {
        Ok(())
    } else {
        Err(Refusal::MediaType)
    }
}

/// `DNT: 1`, or its successor `Sec-GPC: 1`.
fn wants_no_tracking(headers: &HeaderMap) -> bool {
    let says = |name: &str| headers.get(name).is_some_and(|value| value == "1");
    says("dnt") || says("sec-gpc")
}
