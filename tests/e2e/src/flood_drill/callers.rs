//! Players that want in while the node is flooded.

use std::net::SocketAddr;
use std::thread;
use std::time::{Duration, Instant};

use model::session::Role as KeyRole;
use testkit::srt_caller::{Caller, Role, Traffic};

use super::stream::leave;
use crate::plane;

/// How a caller fared.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Called {
    /// How long it took to be let in; `None` when libsrt would have given up.
    pub let_in_after: Option<Duration>,
    pub(super) traffic: Traffic,
}

const CALLERS: u32 = 10;
const LATENCY: Duration = Duration::from_millis(120);
/// How long one stays.
const STAY: Duration = Duration::from_millis(50);

/// Calls from ports of their own, spread over `length`; each tries as long as
/// libsrt does.
///
/// # Errors
/// When a thread panicked.
pub(super) fn call(node: SocketAddr, length: Duration) -> anyhow::Result<Vec<Called>> {
    let spacing = length / CALLERS;
    let mut calls = Vec::new();
    for _ in 0..CALLERS {
        calls.push(thread::spawn(move || call_once(node)));
        thread::sleep(spacing);
    }
    let joined = calls.into_iter().map(thread::JoinHandle::join);
    let called: Result<_, _> = joined.collect();
    called.map_err(|_| anyhow::anyhow!("a caller's thread panicked"))
}

fn call_once(node: SocketAddr) -> Called {
    let stream_id = plane::stream_id(0, KeyRole::Play);
    let called_at = Instant::now();
    let caller = Caller::connect(node, &stream_id, Role::Player, LATENCY);
    let elapsed = called_at.elapsed();
    let stayed = caller.map_err(anyhow::Error::from).and_then(|mut caller| {
        let until = Instant::now() + STAY;
        while Instant::now() < until {
            caller.receive(STAY)?;
        }
        leave(caller)
    });
    Called {
        let_in_after: stayed.is_ok().then_some(elapsed),
        traffic: stayed.unwrap_or_default(),
    }
}
