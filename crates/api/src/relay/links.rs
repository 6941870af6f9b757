//! The newest links of a session, asked of the metrics-gateway.
//!
//! They are an extra: a gateway that is away or slow costs an empty list, never an
//! error, and is left alone for a second. What it says is remembered for a second,
//! so that many who ask are one who asks.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use model::SessionId;
use model::live::NewestLinks;
use proto::telemetry::NewestLinksRequest;
use proto::telemetry::live_client::LiveClient;
use secrecy::SecretString;
use service_kit::GrpcConfig;
use service_kit::grpc::{AuthorizedChannel, Patience};

/// Within this the next request shows the same report.
const REMEMBERED: Duration = Duration::from_secs(1);
/// Sessions remembered; those over it are asked for each time.
const SESSIONS_MAX: usize = 4096;
/// Whoever waits for the whole answer has little time.
const PATIENCE: Patience = Patience {
    connect: Duration::from_millis(500),
    call: Duration::from_millis(500),
};
/// The largest answer: 64 links.
const ANSWER_BYTES_MAX: usize = 64 * 1024;

/// A client of the gateway that connects on first use.
pub(crate) struct Links {
    client: LiveClient<AuthorizedChannel>,
    memory: Mutex<Memory>,
}

#[derive(Default)]
struct Memory {
    sessions: HashMap<SessionId, (Instant, NewestLinks)>,
    /// When the gateway last did not answer.
    away_at: Option<Instant>,
}

impl Links {
    pub(crate) fn new(gateway: (&GrpcConfig, &str), token: &SecretString) -> anyhow::Result<Self> {
        let channel = service_kit::grpc::channel("gateway_grpc", gateway, token, PATIENCE)?;
        Ok(Self {
            client: LiveClient::new(channel).max_decoding_message_size(ANSWER_BYTES_MAX),
            memory: Mutex::default(),
        })
    }

    /// The links of a session as its node last reported them, aged by what has passed
    /// since. For the eyes of the session's own user: they have addresses.
    pub(crate) async fn newest(&self, session: &SessionId) -> NewestLinks {
        if let Some(known) = self.memory().recall(session, Instant::now()) {
            return known;
        }
        match self.ask(session).await {
            Ok(newest) => {
                let now = Instant::now();
                self.memory().remember(session.clone(), &newest, now);
                newest
            }
            Err(error) => {
                tracing::debug!(
                    error = format!("{error:#}"),
                    "The metrics-gateway does not say what the links are"
                );
                self.memory().away_at = Some(Instant::now());
                NewestLinks::default()
            }
        }
    }

    async fn ask(&self, session: &SessionId) -> anyhow::Result<NewestLinks> {
        let session_id = session.to_string();
        let request = NewestLinksRequest { session_id };
        // The channel's own limit does not count the wait for a connection.
        let limit = PATIENCE.connect + PATIENCE.call;
        let mut client = self.client.clone();
        let answer = tokio::time::timeout(limit, client.newest_links(request)).await??;
        Ok(answer.into_inner().try_into()?)
    }

    fn memory(&self) -> MutexGuard<'_, Memory> {
        self.memory.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Memory {
    fn recall(&self, session: &SessionId, now: Instant) -> Option<NewestLinks> {
        let is_recent = |at: Instant| now.saturating_duration_since(at) < REMEMBERED;
        if self.away_at.is_some_and(is_recent) {
            return Some(NewestLinks::default());
        }
        let (at, newest) = self.sessions.get(session)?;
        is_recent(*at).then(|| NewestLinks {
            age: newest.age + now.saturating_duration_since(*at),
            ..newest.clone()
        })
    }

    fn remember(&mut self, session: SessionId, newest: &NewestLinks, now: Instant) {
        self.away_at = None;
        if self.sessions.len() >= SESSIONS_MAX {
            let is_recent = |at: Instant| now.saturating_duration_since(at) < REMEMBERED;
            self.sessions.retain(|_, (at, _)| is_recent(*at));
        }
        if self.sessions.len() < SESSIONS_MAX {
            self.sessions.insert(session, (now, newest.clone()));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn newest() -> NewestLinks {
        NewestLinks {
            age: Duration::from_millis(300),
            ..NewestLinks::default()
        }
    }

    #[test]
    fn what_is_remembered_ages_and_is_forgotten() {
        let (mut memory, now) = (Memory::default(), Instant::now());
        let session = SessionId::from_u128(1);
        memory.remember(session.clone(), &newest(), now);
        let later = now + Duration::from_millis(700);
        let aged = memory.recall(&session, later).unwrap();
        assert_eq!(aged.age, Duration::from_secs(1));
        assert_eq!(memory.recall(&session, now + REMEMBERED), None);
        assert_eq!(memory.recall(&SessionId::from_u128(2), now), None);
    }

    #[test]
    fn a_gateway_that_is_away_is_left_alone_for_a_while() {
        let (mut memory, now) = (Memory::default(), Instant::now());
        memory.away_at = Some(now);
        let session = SessionId::from_u128(1);
        assert_eq!(memory.recall(&session, now), Some(NewestLinks::default()));
        assert_eq!(memory.recall(&session, now + REMEMBERED), None);
        memory.remember(session.clone(), &newest(), now);
        assert_eq!(memory.recall(&session, now), Some(newest()));
    }

    #[test]
    fn memory_is_bounded() {
        let (mut memory, now) = (Memory::default(), Instant::now());
        for session in 0..=SESSIONS_MAX as u128 {
            memory.remember(SessionId::from_u128(session), &newest(), now);
        }
        assert_eq!(memory.sessions.len(), SESSIONS_MAX);
        memory.remember(SessionId::from_u128(u128::MAX), &newest(), now + REMEMBERED);
        assert_eq!(memory.sessions.len(), 1);
    }
}
