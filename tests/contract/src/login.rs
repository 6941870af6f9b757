//! The plugin is signed in by somebody at a browser.

use std::time::Duration;

use anyhow::{Context, bail};
use jiff::Timestamp;
use serde_json::{Value, json};

use crate::exchange::Exchange;
use crate::plugin::Plugin;
use crate::timers::LOGIN_POLL;

/// How long an attempt lives that does not say so.
const ATTEMPT: Duration = Duration::from_secs(600);

/// A login that waits for somebody to let the plugin in.
#[derive(Debug, Clone, PartialEq)]
pub struct Login {
    /// Its identifier.
    pub id: String,
    poll_token: String,
    interval: Duration,
    expires_at: Timestamp,
}

impl Login {
    fn read(body: &Value, now: Timestamp) -> anyhow::Result<Self> {
        let text = |name: &str| {
            let value = body[name].as_str().filter(|it| !it.is_empty());
            value
                .map(str::to_owned)
                .with_context(|| format!("login/start has no {name}"))
        };
        let interval = body["poll_interval_seconds"].as_u64();
        let expires_at = body["expires_at"].as_str();
        Ok(Self {
            id: text("login_attempt_id")?,
            poll_token: text("poll_token")?,
            interval: interval.map_or(LOGIN_POLL, Duration::from_secs),
            expires_at: match expires_at {
                Some(time) => time.parse().context("expires_at")?,
                None => now + ATTEMPT,
            },
        })
    }

    /// Whether nobody needs to ask any more.
    #[must_use]
    pub fn is_over(&self, now: Timestamp) -> bool {
        self.expires_at <= now
    }
}

impl Plugin {
    /// Asks to be signed in.
    ///
    /// # Errors
    /// When the answer is none that the plugin understands.
    pub fn login(&self) -> anyhow::Result<Login> {
        let client =
            json!({"platform": "windows", "plugin_version": "0.0.5", "device_name": "STUDIO"});
        let begun = self.anonymous("/auth/plugin/login/start", json!({"client": client}))?;
        Login::read(&begun.body, Timestamp::now())
    }

    /// One look at a login; keeps the tokens once there are some.
    ///
    /// # Errors
    /// Anything but pending and completed ends the attempt.
    pub fn poll(&mut self, login: &Login) -> anyhow::Result<Exchange> {
        let body = json!({"login_attempt_id": login.id, "poll_token": login.poll_token});
        let looked = self.anonymous("/auth/plugin/login/poll", body)?;
        match looked.status {
            202 => {}
            200 => self.keep(&looked.body)?,
            status => bail!("the login ended with {status}: {}", looked.body),
        }
        Ok(looked)
    }

    /// Looks until it is let in, or the attempt is over by its own word.
    ///
    /// # Errors
    /// As [`poll`](Self::poll), or when nobody lets it in.
    pub fn wait_signed_in(&mut self, login: &Login) -> anyhow::Result<Exchange> {
        while !login.is_over(Timestamp::now()) {
            let looked = self.poll(login)?;
            if looked.status == 200 {
                return Ok(looked);
            }
            self.clock().sleep(login.interval);
        }
        bail!("nobody let the plugin in")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Timestamp = Timestamp::UNIX_EPOCH;

    #[test]
    fn the_attempt_says_how_often_and_until_when_it_is_asked_about() {
        let body = json!({
            "login_attempt_id": "pla_1", "poll_token": "secret", "poll_interval_seconds": 5,
            "expires_at": "1970-01-01T00:02:00Z", "user_code": "BCDF-GHJK",
        });
        let login = Login::read(&body, NOW).unwrap();
        assert_eq!(login.interval.as_secs(), 5);
        assert!(!login.is_over(NOW + Duration::from_secs(119)));
        assert!(login.is_over(NOW + Duration::from_secs(120)));
    }

    #[test]
    fn an_attempt_without_times_has_the_usual_ones() {
        let body = json!({"login_attempt_id": "pla_1", "poll_token": "secret"});
        let login = Login::read(&body, NOW).unwrap();
        assert_eq!(login.interval, LOGIN_POLL);
        assert!(!login.is_over(NOW + Duration::from_secs(599)));
        assert!(login.is_over(NOW + ATTEMPT));
        assert!(Login::read(&json!({"poll_token": "secret"}), NOW).is_err());
    }
}
