//! Statistics over HTTP, in the languages that people's tools speak.
//!
//! ```text
//!  control ── play keys of the leases ──▶ keys ─────┐
//!  sampler ── a snapshot each second ──▶ board ─────┤
//!                                                   ▼
//!  TCP ──▶ accept (bounded) ──▶ routes (rate-limited) ──▶ dialect ──▶ answer
//!                                      └──▶ push (WebSocket, each second)
//! ```
//!
//! The play key is the permission: who has it may play the stream, and so may see
//! how it fares. It is unguessable, so there are no accounts and no cookies here,
//! and pages from anywhere may ask (CORS). Nothing else finds a stream: not its
//! publish key, and no list. A caller that brings its lease itself has no key, and
//! its stream no statistics here.
//!
//! The data threads are asked once a second for everybody (`sampler`): a request
//! costs them nothing.

mod accept;
mod board;
mod dialect;
mod keys;
mod limits;
mod metrics;
mod push;
mod routes;
mod source;

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use tokio::net::TcpListener;
use tokio::sync::{Semaphore, watch};

use self::accept::Times;
use self::board::{Board, Stream};
use self::keys::KeyDigest;
use self::source::{Places, RateLimiter, Source};
use crate::sampler::Sampled;

pub(crate) use accept::bind;
pub(crate) use keys::PlayKeys;
pub use limits::StatsLimits;
pub(crate) use metrics::register;

/// What the listener is made of.
pub(crate) struct Parts {
    pub(crate) listener: TcpListener,
    pub(crate) limits: StatsLimits,
    pub(crate) keys: PlayKeys,
    pub(crate) samples: watch::Receiver<Sampled>,
    pub(crate) draining: watch::Receiver<bool>,
}

/// What every request needs.
#[derive(Clone)]
struct Stats {
    keys: PlayKeys,
    boards: watch::Receiver<Arc<Board>>,
    draining: watch::Receiver<bool>,
    limiter: Arc<Mutex<RateLimiter>>,
    sockets: Arc<Semaphore>,
}

/// Serves until the sampler ends.
pub(crate) async fn serve(parts: Parts) {
    let now = Instant::now();
    let observed_at = parts.samples.borrow().observed_at;
    let (sender, boards) = watch::channel(Arc::new(Board::empty(now, observed_at)));
    let limiter = RateLimiter::new(parts.limits.requests_per_minute_max, now);
    let stats = Stats {
        keys: parts.keys.clone(),
        boards,
        draining: parts.draining,
        limiter: Arc::new(Mutex::new(limiter)),
        sockets: Arc::new(Semaphore::new(parts.limits.sockets_max as usize)),
    };
    let places = Places::new(&parts.limits);
    tokio::select! {
        () = board::follow(parts.samples, parts.keys, sender) => {}
        () = accept::serve(parts.listener, places, routes::router(stats), Times::default()) => {}
    }
}

/// Why there are no figures.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Missing {
    /// No session here has this play key.
    UnknownKey,
    /// There are no figures of the last seconds.
    Frozen,
}

/// A key's stream, when it has a publisher, and when that was seen.
struct Found {
    stream: Option<Arc<Stream>>,
    observed_at: model::UnixMillis,
}

impl Stats {
    fn find(&self, digest: &KeyDigest) -> Result<Found, Missing> {
        let session = self.keys.find(digest).ok_or(Missing::UnknownKey)?;
        let board = Arc::clone(&self.boards.borrow());
        if board.is_frozen(Instant::now()) {
            return Err(Missing::Frozen);
        }
        Ok(Found {
            stream: board.stream(&session),
            observed_at: board.observed_at,
        })
    }

    fn take_request(&self, source: Source) -> Result<(), Duration> {
        let mut limiter = self.limiter.lock().unwrap_or_else(PoisonError::into_inner);
        limiter.take(source, Instant::now())
    }
}
