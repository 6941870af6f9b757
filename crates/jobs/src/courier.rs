//! Calls URLs that strangers chose: no redirects, no proxy, no private address, little time.

use std::time::Duration;

use model::reach::{Reach, reach};
use ureq::config::Config;
use ureq::http::Uri;
use ureq::unversioned::resolver::{DefaultResolver, ResolvedSocketAddrs, Resolver};
use ureq::unversioned::transport::{DefaultConnector, NextTimeout};
use ureq::{Agent, Error};

/// From looking up the name to the answer's head.
const TIMEOUT: Duration = Duration::from_secs(10);

/// What to send.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Message {
    pub(crate) url: String,
    pub(crate) id: String,
    pub(crate) timestamp_unix: i64,
    pub(crate) signature: String,
    pub(crate) body: String,
}

/// Sends messages; blocks.
#[derive(Debug, Clone)]
pub struct Courier(Agent);

impl Courier {
    /// One that calls private addresses only if they are allowed.
    #[must_use]
    pub fn new(private_allowed: bool) -> Self {
        let config = Agent::config_builder()
            .http_status_as_error(false)
            .max_redirects(0)
            .max_redirects_will_error(false)
            .proxy(None)
            .max_idle_connections(0)
            .timeout_global(Some(TIMEOUT))
            .user_agent(concat!("streamhaul/", env!("CARGO_PKG_VERSION")))
            .build();
        let resolver = Guarded {
            names: DefaultResolver::default(),
            private_allowed,
        };
        Self(Agent::with_parts(config, DefaultConnector::new(), resolver))
    }

    /// The status of the answer, whose body nobody reads.
    pub(crate) fn send(&self, message: &Message) -> Result<u16, Error> {
        let answer = self
            .0
            .post(&message.url)
            .header("content-type", "application/json")
            .header("webhook-id", &message.id)
            .header("webhook-timestamp", message.timestamp_unix.to_string())
            .header("webhook-signature", &message.signature)
            .send(&message.body)?;
        Ok(answer.status().as_u16())
    }
}

/// Finds addresses, and looks at those that are called: a name cannot pass the check and
/// then lead elsewhere.
#[derive(Debug)]
struct Guarded {
    names: DefaultResolver,
    private_allowed: bool,
}

impl Resolver for Guarded {
    fn resolve(
        &self,
        uri: &Uri,
        config: &Config,
        timeout: NextTimeout,
    ) -> Result<ResolvedSocketAddrs, Error> {
        let found = self.names.resolve(uri, config, timeout)?;
        let mut allowed = self.empty();
        for address in found.iter() {
            let may_call = match reach(address.ip()) {
                Reach::Public => true,
                Reach::Private => self.private_allowed,
                Reach::Nobody => false,
            };
            if may_call {
                allowed.push(*address);
            }
        }
        if allowed.is_empty() {
            let forbidden = std::io::Error::new(
                std::io::ErrorKind::PermissionDenied,
                "the address is private; webhooks.private_allowed lets it be called",
            );
            return Err(Error::Io(forbidden));
        }
        Ok(allowed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(url: &str) -> Message {
        Message {
            url: url.to_owned(),
            id: "msg_1".to_owned(),
            timestamp_unix: 1,
            signature: "v1,x".to_owned(),
            body: "{}".to_owned(),
        }
    }

    #[test]
    fn private_addresses_are_not_called() {
        let courier = Courier::new(false);
        for url in [
            "http://127.0.0.1:9/",
            "http://localhost:9/",
            "http://[::1]:9/",
            "http://169.254.169.254/latest/meta-data/",
            "http://[::ffff:10.0.0.1]/",
            "http://2130706433/",
        ] {
            let error = courier.send(&message(url)).unwrap_err();
            let is_refused = match &error {
                Error::Io(error) => error.kind() == std::io::ErrorKind::PermissionDenied,
                Error::HostNotFound | Error::BadUri(_) => true,
                _ => false,
            };
            assert!(is_refused, "{url}: {error}");
        }
    }
}
