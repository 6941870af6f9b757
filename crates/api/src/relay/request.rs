//! What callers send, checked.

use model::{Region, SessionId, StreamKey};
use serde::Deserialize;
use serde::de::IgnoredAny;
use utoipa::ToSchema;

use crate::error::ApiError;

const CONNECTION_LENGTH_MAX: usize = 64;
const REASON_LENGTH_MAX: usize = 256;

/// A session wanted.
#[derive(Debug)]
pub(crate) struct StartRequest {
    pub(crate) region: Option<Region>,
    pub(crate) connection: Option<String>,
    /// The publish key of one of the user's slots.
    pub(crate) stream_key: Option<StreamKey>,
}

#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = relay::StartRequest)]
pub(crate) struct WireStart {
    #[serde(default, rename = "client_context")]
    #[schema(value_type = Option<Object>)]
    _client_context: Option<IgnoredAny>,
    region_preference: Option<String>,
    connection_id: Option<String>,
    stream_token: Option<String>,
}

impl StartRequest {
    pub(crate) fn from_json(body: serde_json::Value) -> Result<Self, ApiError> {
        let wire: WireStart = serde_json::from_value(body).map_err(|error| {
            ApiError::invalid(format!("the body is not what it should be: {error}"))
        })?;
        let connection = wire.connection_id.filter(|name| !name.is_empty());
        connection.as_deref().map(check_connection).transpose()?;
        Ok(Self {
            region: region(wire.region_preference.as_deref())?,
            connection,
            stream_key: stream_key(wire.stream_token.as_deref())?,
        })
    }
}

/// A session to end.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = relay::StopRequest)]
pub(crate) struct StopRequest {
    session_id: Option<String>,
    connection_id: Option<String>,
    reason: Option<String>,
}

/// A session to move.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = relay::MigrateRequest)]
pub(crate) struct MigrateRequest {
    session_id: Option<String>,
    connection_id: Option<String>,
    new_region: String,
}

impl MigrateRequest {
    pub(crate) fn named(&self) -> Result<Named<'_>, ApiError> {
        named(self.session_id.as_deref(), self.connection_id.as_deref())
    }

    pub(crate) fn region(&self) -> Result<Region, ApiError> {
        Region::parse(&self.new_region)
            .map_err(|error| ApiError::invalid(format!("new_region: {error}")))
    }
}

fn named<'a>(session: Option<&str>, connection: Option<&'a str>) -> Result<Named<'a>, ApiError> {
    match (session, connection) {
        (Some(id), _) => Ok(SessionId::parse(id).map_or(Named::Nobody, Named::Session)),
        (None, Some(connection)) => {
            check_connection(connection)?;
            Ok(Named::Connection(connection))
        }
        (None, None) => Err(ApiError::invalid("session_id or connection_id is needed")),
    }
}

/// How a request names a session.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Named<'a> {
    Session(SessionId),
    /// No identifier of ours, so nobody's session.
    Nobody,
    Connection(&'a str),
}

impl StopRequest {
    pub(crate) fn named(&self) -> Result<Named<'_>, ApiError> {
        named(self.session_id.as_deref(), self.connection_id.as_deref())
    }

    pub(crate) fn reason(&self) -> Result<&str, ApiError> {
        let reason = self.reason.as_deref().unwrap_or_default();
        if reason.len() > REASON_LENGTH_MAX || reason.chars().any(char::is_control) {
            return Err(ApiError::invalid("reason: at most 256 printable bytes"));
        }
        Ok(if reason.is_empty() {
            "requested"
        } else {
            reason
        })
    }
}

/// Which session to show.
#[derive(Debug, Deserialize)]
pub(crate) struct ActiveQuery {
    connection_id: Option<String>,
}

impl ActiveQuery {
    pub(crate) fn connection(&self) -> Result<Option<&str>, ApiError> {
        let connection = self
            .connection_id
            .as_deref()
            .filter(|name| !name.is_empty());
        connection.map(check_connection).transpose()?;
        Ok(connection)
    }
}

pub(crate) fn check_connection(name: &str) -> Result<(), ApiError> {
    let allowed = |b: u8| b.is_ascii_alphanumeric() || b"_-.:".contains(&b);
    if (1..=CONNECTION_LENGTH_MAX).contains(&name.len()) && name.bytes().all(allowed) {
        return Ok(());
    }
    Err(ApiError::invalid(
        "connection_id: 1 to 64 of [0-9A-Za-z_.:-]",
    ))
}

/// Empty and `auto` mean any region.
fn region(preference: Option<&str>) -> Result<Option<Region>, ApiError> {
    match preference {
        None | Some("" | "auto") => Ok(None),
        Some(name) => Region::parse(name)
            .map(Some)
            .map_err(|error| ApiError::invalid(format!("region_preference: {error}"))),
    }
}

fn stream_key(token: Option<&str>) -> Result<Option<StreamKey>, ApiError> {
    let Some(token) = token.filter(|token| !token.is_empty()) else {
        return Ok(None);
    };
    let key = token.strip_prefix("live_").unwrap_or(token);
    StreamKey::parse(key)
        .map(Some)
        .map_err(|_| unknown_stream_token())
}

pub(crate) fn unknown_stream_token() -> ApiError {
    ApiError::invalid("stream_token: not one of yours")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn the_plugins_request_is_understood() {
        let request = StartRequest::from_json(json!({
            "client_context": {"obs_connected": true, "mode": "auto", "requested_by": "obs-plugin"},
            "region_preference": "us-central",
            "connection_id": "conn_1763700000000_1",
            "stream_token": "",
        }))
        .unwrap();
        assert_eq!(request.region, Some(Region::parse("us-central").unwrap()));
        assert_eq!(request.connection.as_deref(), Some("conn_1763700000000_1"));
        assert!(request.stream_key.is_none());
    }

    #[test]
    fn nonsense_is_refused() {
        for body in [
            json!({"colour": "red"}),
            json!({"region_preference": "US Central"}),
            json!({"connection_id": "a/b"}),
            json!({"connection_id": "a".repeat(65)}),
            json!({"stream_token": "short"}),
            json!([]),
        ] {
            assert!(StartRequest::from_json(body.clone()).is_err(), "{body}");
        }
    }

    #[test]
    fn a_foreign_session_id_is_nobodys() {
        let request = StopRequest {
            session_id: Some("nod_1".into()),
            connection_id: None,
            reason: None,
        };
        assert_eq!(request.named().unwrap(), Named::Nobody);
    }
}
