//! Who may report, and of what, who may watch, and who is an operator: asked at the api, remembered for a while.
//!
//! A yes is fresh for a minute; while the api is away an older one counts for ten.
//! A no is remembered for seconds, so that guessing does not reach the api. Tokens
//! are kept as their SHA-256 only.

mod cache;

use std::collections::HashSet;
use std::hash::Hash;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use model::{NodeId, SessionId};
use sha2::{Digest, Sha256};
use tokio::sync::Semaphore;
use tonic::Status;

use crate::control::{self, Control};
use cache::{Cache, Known};

/// How long a yes counts while the api is away.
pub(crate) const AWAY_MAX: Duration = Duration::from_secs(600);
/// Questions to the api at the same time.
const QUESTIONS_MAX: usize = 32;
/// Sessions in one question; the api answers no more.
const SESSIONS_ASKED_MAX: usize = 1000;
/// Operators, and tokens of nobody, that are remembered.
const OPERATORS_MAX: usize = 1000;
/// A longer token is none of ours.
const TOKEN_LENGTH_MAX: usize = 512;

type Secret = [u8; 32];

/// What the api says, or said.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Verdict<T> {
    Yes(T),
    No,
    /// The api is away, and there is no recent yes.
    Unknown,
}

pub(crate) struct Access {
    control: Control,
    nodes: Mutex<Cache<Secret, NodeId>>,
    viewers: Mutex<Cache<(Secret, SessionId), ()>>,
    operators: Mutex<Cache<Secret, ()>>,
    sessions: Mutex<Cache<(NodeId, SessionId), ()>>,
    questions: Semaphore,
}

impl Access {
    pub(crate) fn new(
        control: Control,
        nodes_max: usize,
        viewers_max: usize,
        sessions_max: usize,
    ) -> Self {
        Self {
            control,
            // Twice what may be connected: those who come again find their place.
            nodes: Mutex::new(Cache::new(2 * nodes_max)),
            viewers: Mutex::new(Cache::new(2 * viewers_max)),
            operators: Mutex::new(Cache::new(OPERATORS_MAX)),
            sessions: Mutex::new(Cache::new(2 * sessions_max)),
            questions: Semaphore::new(QUESTIONS_MAX),
        }
    }

    /// Which node a credential belongs to.
    pub(crate) async fn node(&self, credential: &str) -> Verdict<NodeId> {
        let Some(secret) = digest(credential) else {
            return Verdict::No;
        };
        let ask = async { self.control.node(credential).await };
        self.verdict(&self.nodes, secret, ask).await
    }

    /// Whether the holder of a token may watch a session.
    pub(crate) async fn viewer(&self, token: &str, session: &SessionId) -> Verdict<()> {
        let Some(secret) = digest(token) else {
            return Verdict::No;
        };
        let ask = async {
            let allowed = self.control.viewer(token, session).await?;
            Ok(allowed.then_some(()))
        };
        self.verdict(&self.viewers, (secret, session.clone()), ask)
            .await
    }

    /// Whether the holder of a token may see what belongs to anybody.
    pub(crate) async fn operator(&self, token: &str) -> Verdict<()> {
        let Some(secret) = digest(token) else {
            return Verdict::No;
        };
        let ask = async { Ok(self.control.operator(token).await?.then_some(())) };
        self.verdict(&self.operators, secret, ask).await
    }

    /// Which of the sessions that a node tells of it was given, in their order. With more
    /// new ones than fit into a question, the rest is asked about next time.
    pub(crate) async fn sessions(&self, node: &NodeId, told: &[SessionId]) -> Vec<bool> {
        let asked = self.to_ask(node, told);
        if !asked.is_empty() {
            // Never closed, so there is always a permit in the end.
            let _permit = self.questions.acquire().await;
            let given = self.control.sessions(node, &asked).await;
            self.remember(node, asked, given);
        }
        let (cache, now) = (self.known_sessions(), Instant::now());
        let is_given = |session: &SessionId| {
            let known = cache.look_up(&(node.clone(), session.clone()), now);
            matches!(known, Known::Fresh(Some(())) | Known::Old(()))
        };
        told.iter().map(is_given).collect()
    }

    fn to_ask(&self, node: &NodeId, told: &[SessionId]) -> Vec<SessionId> {
        let (cache, now) = (self.known_sessions(), Instant::now());
        if cache.is_away(now) {
            return Vec::new();
        }
        let is_due = |session: &&SessionId| {
            let known = cache.look_up(&(node.clone(), (*session).clone()), now);
            !matches!(known, Known::Fresh(_))
        };
        let due = told.iter().filter(is_due).cloned();
        due.take(SESSIONS_ASKED_MAX).collect()
    }

    fn remember(
        &self,
        node: &NodeId,
        asked: Vec<SessionId>,
        given: Result<HashSet<String>, Status>,
    ) {
        let (mut cache, now) = (self.known_sessions(), Instant::now());
        let given = match given {
            Ok(given) => given,
            Err(status) if control::is_answer(&status) => HashSet::new(),
            Err(status) => {
                tracing::debug!(%status, "the api does not answer whose sessions are");
                return cache.remember_silence(now);
            }
        };
        for session in asked {
            let is_given = given.contains(session.as_str());
            let key = (node.clone(), session);
            if is_given {
                cache.remember_yes(key, (), now);
            } else {
                cache.remember_no(key, now);
            }
        }
    }

    fn known_sessions(&self) -> MutexGuard<'_, Cache<(NodeId, SessionId), ()>> {
        self.sessions.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn verdict<K: Hash + Eq, V: Clone>(
        &self,
        cache: &Mutex<Cache<K, V>>,
        key: K,
        ask: impl Future<Output = Result<Option<V>, Status>>,
    ) -> Verdict<V> {
        let lock = || cache.lock().unwrap_or_else(PoisonError::into_inner);
        if let Known::Fresh(known) = lock().look_up(&key, Instant::now()) {
            return known.map_or(Verdict::No, Verdict::Yes);
        }
        // Never closed, so there is always a permit in the end.
        let _permit = self.questions.acquire().await;
        // Others were answered, or were not, while this one waited for its turn.
        let known = lock().look_up(&key, Instant::now());
        let old = match known {
            Known::Fresh(known) => return known.map_or(Verdict::No, Verdict::Yes),
            Known::Old(value) => Some(value),
            Known::Nothing => None,
        };
        match ask.await {
            Ok(Some(value)) => {
                lock().remember_yes(key, value.clone(), Instant::now());
                Verdict::Yes(value)
            }
            Ok(None) => {
                lock().remember_no(key, Instant::now());
                Verdict::No
            }
            Err(status) if control::is_answer(&status) => {
                lock().remember_no(key, Instant::now());
                Verdict::No
            }
            Err(status) => {
                tracing::debug!(%status, "the api does not answer who may");
                lock().remember_silence(Instant::now());
                old.map_or(Verdict::Unknown, Verdict::Yes)
            }
        }
    }
}

fn digest(token: &str) -> Option<Secret> {
    let plausible = !token.is_empty() && token.len() <= TOKEN_LENGTH_MAX;
    plausible.then(|| Sha256::digest(token.as_bytes()).into())
}
