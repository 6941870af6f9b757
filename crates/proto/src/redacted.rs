//! `Debug` of messages that hold secrets.

use std::fmt;

use crate::fleet::{KeyedLease, Remote};
use crate::telemetry::AppCredential;

/// The lease admits whoever has it, so it is not shown either.
impl fmt::Debug for KeyedLease {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KeyedLease").finish_non_exhaustive()
    }
}

/// Whoever has it sends as the app.
impl fmt::Debug for AppCredential {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AppCredential")
            .field("app", &self.app)
            .finish_non_exhaustive()
    }
}

/// A stream id usually is a key, and a passphrase always is one.
impl fmt::Debug for Remote {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Remote")
            .field("host", &self.host)
            .field("port", &self.port)
            .field("latency_ms", &self.latency_ms)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fleet::AssignLease;

    #[test]
    fn a_credential_shows_no_secret() {
        let credential = AppCredential {
            token: "hidden".into(),
            secret: "hidden".into(),
            ..AppCredential::default()
        };
        assert!(!format!("{credential:?}").contains("hidden"));
    }

    #[test]
    fn an_assignment_shows_no_secret() {
        let keyed = KeyedLease {
            stream_key: "secret".into(),
            lease: "secret".into(),
            passphrase: "secret".into(),
        };
        let remote = Remote {
            host: "relay.example".into(),
            port: 9000,
            stream_id: "secret".into(),
            latency_ms: 120,
            passphrase: "secret".into(),
            key_length: 32,
        };
        let assign = AssignLease {
            session_id: "ses_1".into(),
            publish: Some(keyed),
            play: None,
            pull: Some(remote.clone()),
            push: vec![remote],
        };
        let shown = format!("{assign:?}");
        assert!(
            shown.contains("ses_1") && !shown.contains("secret"),
            "{shown}"
        );
    }
}
