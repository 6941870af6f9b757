//! A session as its user sees it.

use model::node::NodeAddress;
use model::session::{Role, SessionState};
use serde::Serialize;
use storage::control::sessions::Record;
use utoipa::ToSchema;

use super::names;
use crate::state::App;
use crate::time::rfc3339;

/// The session object of every relay endpoint. Field names are the plugin's contract.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = relay::SessionView)]
pub(crate) struct SessionView {
    session_id: String,
    #[schema(schema_with = crate::openapi::schema::session_state)]
    status: SessionState,
    region: String,
    region_requested: Option<String>,
    /// Whether the session is not in the region that was asked for.
    region_fallback: bool,
    connection_id: Option<String>,
    provision_step: &'static str,
    instance_id: String,
    publishing: bool,
    started_at: String,
    lease_expires_at: String,
    relay: Relay,
    credentials: Credentials,
    timers: Timers,
    sender_url: String,
    srt_publish_url: String,
    media_source_url: String,
    /// The same at the node's own address, which need not wait until the DNS says where
    /// the stream is; absent when the URLs are at that address.
    #[serde(skip_serializing_if = "Option::is_none")]
    direct: Option<Urls>,
    /// The session that its stream comes from, while it is pulled from there: the sender
    /// is to come here.
    #[serde(skip_serializing_if = "Option::is_none")]
    moving_from: Option<String>,
}

#[derive(Debug, Serialize, ToSchema)]
#[schema(as = relay::Relay)]
struct Relay {
    /// The node's own address.
    public_ip: String,
    srt_port: u16,
    /// The name of the stream, wherever it is; the node's address while the DNS does not
    /// have it.
    relay_hostname: String,
}

#[derive(Debug, Serialize, ToSchema)]
#[schema(as = relay::Credentials)]
struct Credentials {
    /// Left over from a channel that no client uses; always empty.
    pair_token: &'static str,
    /// Likewise.
    relay_ws_token: &'static str,
    stream_token: String,
    play_token: String,
    /// What a publisher encrypts with; null when the stream is not set to be encrypted.
    stream_passphrase: Option<String>,
    /// What a player encrypts with.
    play_passphrase: Option<String>,
}

#[derive(Debug, Serialize, ToSchema)]
#[schema(as = relay::Timers)]
struct Timers {
    grace_window_seconds: u32,
    max_session_seconds: u32,
}

/// Where to send to and where to play from. Each holds a stream key.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
#[schema(as = relay::Urls)]
pub(crate) struct Urls {
    sender_srtla_url: String,
    sender_srt_url: String,
    media_source_url: String,
}

impl SessionView {
    pub(crate) fn into_urls(self) -> Urls {
        Urls {
            sender_srtla_url: self.sender_url,
            sender_srt_url: self.srt_publish_url,
            media_source_url: self.media_source_url,
        }
    }

    /// At the node's own address, for those who go there before the DNS does.
    pub(crate) fn into_direct_urls(self) -> Urls {
        match self.direct {
            Some(direct) => direct,
            None => self.into_urls(),
        }
    }
}

/// What is sent to, and played from, at any host.
struct Queries {
    publish: String,
    play: String,
}

impl Queries {
    fn at(&self, host: &str, port: u16) -> Urls {
        let authority = format!("{}:{port}", bracketed(host));
        let Self { publish, play } = self;
        Urls {
            sender_srtla_url: format!("srtla://{authority}?{publish}"),
            sender_srt_url: format!("srt://{authority}?{publish}&mode=caller"),
            media_source_url: format!("srt://{authority}?{play}&mode=caller"),
        }
    }
}

/// Shows sessions.
pub(crate) struct View<'a>(&'a App);

impl<'a> View<'a> {
    pub(crate) const fn new(app: &'a App) -> Self {
        Self(app)
    }

    pub(crate) fn session(&self, record: &Record) -> SessionView {
        let session = &record.session;
        let publish = self.stream_key(Role::Publish, record);
        let play = self.stream_key(Role::Play, record);
        let publish_passphrase = self.passphrase(Role::Publish, record);
        let play_passphrase = self.passphrase(Role::Play, record);
        let queries = Queries {
            publish: query("live_", &publish, publish_passphrase.as_deref()),
            play: query("play_", &play, play_passphrase.as_deref()),
        };
        let (host, port) = address(record.address.as_ref());
        let name = names::shown(&self.0.config, record.dns_name.as_deref());
        let urls = queries.at(name.unwrap_or(host), port);
        let requested = record.region_requested.as_ref();
        SessionView {
            session_id: session.id.to_string(),
            status: session.state,
            region: session.region.to_string(),
            region_requested: requested.map(ToString::to_string),
            region_fallback: requested.is_some_and(|requested| *requested != session.region),
            connection_id: session.connection_id.clone(),
            provision_step: step(session.state),
            instance_id: session.node_id.to_string(),
            publishing: session.publishing,
            started_at: rfc3339(session.started_at),
            lease_expires_at: rfc3339(session.lease_expires_at),
            sender_url: urls.sender_srtla_url,
            srt_publish_url: urls.sender_srt_url,
            media_source_url: urls.media_source_url,
            direct: name.map(|_| queries.at(host, port)),
            moving_from: record
                .pulls_from
                .as_ref()
                .and(session.supersedes.as_ref())
                .map(ToString::to_string),
            relay: Relay {
                public_ip: host.to_owned(),
                srt_port: port,
                relay_hostname: name.unwrap_or(host).to_owned(),
            },
            credentials: Credentials {
                pair_token: "",
                relay_ws_token: "",
                stream_token: publish,
                play_token: play,
                stream_passphrase: publish_passphrase,
                play_passphrase,
            },
            timers: Timers {
                grace_window_seconds: self.0.config.sessions.grace_seconds,
                max_session_seconds: self.0.config.sessions.max_session_seconds,
            },
        }
    }

    /// The stream id that a publisher sends.
    pub(crate) fn publish_stream_id(&self, record: &Record) -> String {
        format!("live_{}", self.stream_key(Role::Publish, record))
    }

    fn stream_key(&self, role: Role, record: &Record) -> String {
        let key = self
            .0
            .stream_keys
            .derive(role, &record.session.stream_id, record.generation);
        key.expose().to_owned()
    }

    fn passphrase(&self, role: Role, record: &Record) -> Option<String> {
        let passphrase = self.0.stream_keys.passphrase_of(role, record)?;
        Some(passphrase.expose().to_owned())
    }
}

/// What ffmpeg and OBS read from a URL. AES-128 (`pbkeylen` 16 bytes) is libsrt's own
/// choice; the node takes the key length that the caller announces.
fn query(prefix: &str, key: &str, passphrase: Option<&str>) -> String {
    let mut query = format!("streamid={prefix}{key}");
    if let Some(passphrase) = passphrase {
        query.push_str("&passphrase=");
        query.push_str(passphrase);
        query.push_str("&pbkeylen=16");
    }
    query
}

/// A session is only placed on a node whose address is known.
fn address(address: Option<&NodeAddress>) -> (&str, u16) {
    address.map_or(("", 0), |address| (&address.public_host, address.udp_port))
}

/// An IPv6 address as a URL wants it.
fn bracketed(host: &str) -> String {
    if host.contains(':') {
        format!("[{host}]")
    } else {
        host.to_owned()
    }
}

const fn step(state: SessionState) -> &'static str {
    match state {
        SessionState::Provisioning => "waiting_for_node",
        SessionState::Active | SessionState::Grace => "ready",
        SessionState::Draining => "moving",
        SessionState::Stopped => "stopped",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ipv6_hosts_get_brackets() {
        assert_eq!(bracketed("2001:db8::1"), "[2001:db8::1]");
        assert_eq!(bracketed("relay.example"), "relay.example");
    }

    #[test]
    fn a_passphrase_is_part_of_the_url_when_there_is_one() {
        assert_eq!(query("live_", "ab", None), "streamid=live_ab");
        assert_eq!(
            query("play_", "ab", Some("cd")),
            "streamid=play_ab&passphrase=cd&pbkeylen=16"
        );
    }
}
