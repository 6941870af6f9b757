//! Users who start and stop sessions all the time, at whichever replica answers.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use anyhow::{Context, bail};
use serde_json::{Value, json};

use super::REPLICAS;
use crate::house::House;
use crate::http::{Answer, Client};

/// Between two sessions of a caller.
const PAUSE: Duration = Duration::from_millis(50);
/// Before another replica is asked.
const RETRY: Duration = Duration::from_millis(50);
/// Sessions of a caller that are not stopped again.
const KEPT_MAX: usize = 100;
/// Times that one request is sent at most.
const TRIES_MAX: usize = 200;

/// They call until they are stopped.
pub(super) struct Callers {
    over: Arc<AtomicBool>,
    threads: Vec<JoinHandle<anyhow::Result<Calls>>>,
}

/// What they did.
#[derive(Default)]
pub(super) struct Calls {
    /// Sessions started.
    pub(super) started: usize,
    /// Requests that were sent again, because a replica did not answer.
    pub(super) repeated: usize,
    /// Those that should be live.
    pub(super) live: BTreeSet<String>,
    tokens: Vec<String>,
}

impl Callers {
    pub(super) fn start(house: &House, callers: u32) -> anyhow::Result<Self> {
        let over = Arc::new(AtomicBool::new(false));
        let mut threads = Vec::new();
        for number in 0..callers {
            let user = json!({"name": format!("caller{number}")});
            let made = house.api().post("/api/v1/ops/users", &user)?.success()?;
            let token = made["token"].as_str().context("no token")?.to_owned();
            let caller = Caller {
                replicas: REPLICAS.map(|replica| house.replica(replica).with_token(&token)),
                turn: number as usize,
                calls: Calls {
                    tokens: vec![token],
                    ..Calls::default()
                },
            };
            let over = over.clone();
            threads.push(thread::spawn(move || caller.call(&over)));
        }
        Ok(Self { over, threads })
    }

    pub(super) fn stop(self) -> anyhow::Result<Calls> {
        self.over.store(true, Ordering::Relaxed);
        let mut all = Calls::default();
        for thread in self.threads {
            let calls = thread.join().ok().context("a caller died")??;
            all.started += calls.started;
            all.repeated += calls.repeated;
            all.live.extend(calls.live);
            all.tokens.extend(calls.tokens);
        }
        Ok(all)
    }
}

impl Calls {
    /// What the control plane says is live: sessions of the callers, and `other` if it is.
    pub(super) fn listed(&self, api: &Client, other: &str) -> anyhow::Result<BTreeSet<String>> {
        let mut listed = BTreeSet::new();
        for token in &self.tokens {
            listed.extend(live(&api.with_token(token))?);
        }
        listed.extend(live(api)?.into_iter().filter(|id| id == other));
        Ok(listed)
    }
}

fn live(api: &Client) -> anyhow::Result<Vec<String>> {
    let listed = api.fetch("/api/v1/relay/sessions")?.success()?;
    let sessions = listed["sessions"].as_array().context("no list")?;
    let ids = sessions.iter().map(|it| it["session_id"].as_str());
    ids.map(|id| Ok(id.context("no id")?.to_owned())).collect()
}

struct Caller {
    replicas: [Client; 2],
    /// Which replica is asked next.
    turn: usize,
    calls: Calls,
}

impl Caller {
    /// Every second session is stopped again.
    fn call(mut self, over: &AtomicBool) -> anyhow::Result<Calls> {
        while !over.load(Ordering::Relaxed) {
            let session = self.start()?;
            let is_kept = self.calls.started.is_multiple_of(2) && self.calls.live.len() < KEPT_MAX;
            if is_kept {
                self.calls.live.insert(session);
            } else {
                self.insist("/api/v1/relay/stop", &json!({"session_id": session}))?;
            }
            thread::sleep(PAUSE);
        }
        Ok(self.calls)
    }

    fn start(&mut self) -> anyhow::Result<String> {
        let name = format!("cam{}", self.calls.started);
        let answer = self.insist("/api/v1/relay/start", &json!({"connection_id": name}))?;
        self.calls.started += 1;
        let session = answer.body["session"]["session_id"].as_str();
        Ok(session.context("no session")?.to_owned())
    }

    /// Asks the replicas in turns, under one key, until one of them does it.
    fn insist(&mut self, path: &str, body: &Value) -> anyhow::Result<Answer> {
        let key = format!("{path} {} {}", self.calls.started, self.calls.repeated);
        for _ in 0..TRIES_MAX {
            let replica = &self.replicas[self.turn % self.replicas.len()];
            self.turn += 1;
            match replica.post_with_key(path, &key, body) {
                Ok(answer) if answer.status < 300 => return Ok(answer),
                Ok(answer) if answer.status < 500 => bail!("{path}: {answer:?}"),
                Ok(_) | Err(_) => self.calls.repeated += 1,
            }
            thread::sleep(RETRY);
        }
        bail!("{path}: no replica answers")
    }
}
