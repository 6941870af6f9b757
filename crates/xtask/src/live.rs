//! The live view of a session: server-sent events, followed by a thread.

use std::io::{BufRead, BufReader};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

use serde_json::Value;
use ureq::Agent;

/// Between two attempts to connect.
const RETRY: Duration = Duration::from_millis(500);

/// The newest event of one session; dropping it ends the thread.
#[derive(Debug)]
pub(crate) struct LiveView {
    latest: Arc<Mutex<Option<Value>>>,
}

impl LiveView {
    /// Follows `GET /v1/sessions/{id}/live` of the gateway at `base`.
    pub(crate) fn follow(base: &str, session_id: &str, token: &str) -> anyhow::Result<Self> {
        let latest = Arc::<Mutex<Option<Value>>>::default();
        let follower = Follower {
            agent: Agent::new_with_defaults(),
            url: format!("{base}/v1/sessions/{session_id}/live"),
            token: format!("Bearer {token}"),
            latest: Arc::downgrade(&latest),
        };
        std::thread::Builder::new()
            .name("live view".into())
            .spawn(move || follower.run())?;
        Ok(Self { latest })
    }

    /// Takes the newest event, if there is one since the last time.
    pub(crate) fn take(&self) -> Option<Value> {
        let mut latest = self.latest.lock().unwrap_or_else(PoisonError::into_inner);
        latest.take()
    }
}

struct Follower {
    agent: Agent,
    url: String,
    token: String,
    latest: Weak<Mutex<Option<Value>>>,
}

impl Follower {
    fn run(self) {
        while self.latest.strong_count() > 0 {
            // The gateway may not know the session yet, or be restarted.
            let _lost = self.read_events();
            std::thread::sleep(RETRY);
        }
    }

    fn read_events(&self) -> anyhow::Result<()> {
        let request = self.agent.get(&self.url);
        let mut response = request.header("Authorization", &self.token).call()?;
        for line in BufReader::new(response.body_mut().as_reader()).lines() {
            let line = line?;
            let Some(data) = line.strip_prefix("data:") else {
                continue;
            };
            let event: Value = serde_json::from_str(data.trim())?;
            let Some(latest) = self.latest.upgrade() else {
                break;
            };
            // A snapshot of the past and word of silence are no samples.
            if event.get("publisher").is_none() {
                continue;
            }
            *latest.lock().unwrap_or_else(PoisonError::into_inner) = Some(event);
        }
        Ok(())
    }
}
