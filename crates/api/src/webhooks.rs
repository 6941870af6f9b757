//! Tells tenants what their sessions do, as Standard Webhooks
//! (<https://www.standardwebhooks.com>) says: messages are written into the queue by the
//! transaction that notes a change, signed here when `jobs` delivers them.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit, Mac};
use model::moving::SUPERSEDED;
use model::session::SessionState;
use model::{UnixMillis, WebhookId};
use serde::Serialize;
use serde_json::json;
use sha2::Sha256;
use storage::Transaction;
use storage::control::session_events::Change;
use storage::control::webhooks;
use storage::queue::{self, NewJob};
use zeroize::Zeroizing;

use crate::state::App;
use crate::time::rfc3339;
use crate::token;

/// The kind of job that delivers a message.
const DELIVER: &str = "deliver_webhook";
/// And whose workers do.
const DELIVER_QUEUE: &str = "webhooks";
/// Attempts before a message is a dead letter: for about a day.
const ATTEMPTS_MAX: u32 = 30;
const SECRET_PREFIX: &str = "whsec_";
const SECRET_BYTES: usize = 32;
/// The specification's least.
const SECRET_BYTES_MIN: usize = 24;
const SIGNATURE_PREFIX: &str = "v1,";
/// Signatures of one message that are looked at: secrets that are being replaced.
const SIGNATURES_MAX: usize = 4;

/// What there is to be told of.
pub(crate) const EVENTS: [&str; 4] = [UP, DOWN, MOVED, ENDED];
const UP: &str = "session.up";
const DOWN: &str = "session.down";
const MOVED: &str = "session.moved";
const ENDED: &str = "session.ended";

#[derive(Serialize)]
struct Message<'a> {
    #[serde(rename = "type")]
    kind: &'static str,
    timestamp: String,
    data: Data<'a>,
}

#[derive(Serialize)]
struct Data<'a> {
    session_id: &'a str,
    user_id: &'a str,
    connection_id: Option<&'a str>,
    state: SessionState,
    region: &'a str,
    node_id: &'a str,
    /// The session that the stream moved from.
    moved_from: Option<&'a str>,
    reason: Option<&'a str>,
}

/// What a change is, in events. A stream that moves is not down meanwhile.
fn events(change: &Change) -> Vec<&'static str> {
    let moves_away =
        change.state == SessionState::Draining || change.stop_reason.as_deref() == Some(SUPERSEDED);
    let has_ended =
        change.state == SessionState::Stopped && change.before != Some(SessionState::Stopped);
    let all = [
        (
            MOVED,
            change.before.is_none() && change.supersedes.is_some(),
        ),
        (UP, change.publishing && !change.was_publishing),
        (
            DOWN,
            change.was_publishing && !change.publishing && !moves_away,
        ),
        (ENDED, has_ended && !moves_away),
    ];
    let happened = all.into_iter().filter(|(_, happened)| *happened);
    happened.map(|(event, _)| event).collect()
}

/// Writes the messages of changes into the queue, in the transaction that noted them.
pub(crate) async fn tell(
    transaction: &mut Transaction,
    changes: &[Change],
    now: UnixMillis,
) -> Result<(), storage::Error> {
    for change in changes {
        for event in events(change) {
            let endpoints = webhooks::subscribed(transaction, &change.tenant_id, event).await?;
            for endpoint in endpoints {
                let job = job(&endpoint, event, change, now);
                queue::enqueue(transaction, &job).await?;
            }
        }
    }
    Ok(())
}

fn job(endpoint: &WebhookId, event: &'static str, change: &Change, now: UnixMillis) -> NewJob {
    let message = Message {
        kind: event,
        timestamp: rfc3339(now),
        data: Data {
            session_id: change.session_id.as_str(),
            user_id: change.user_id.as_str(),
            connection_id: change.connection_id.as_deref(),
            state: change.state,
            region: change.region.as_str(),
            node_id: change.node_id.as_str(),
            moved_from: change.supersedes.as_ref().map(model::SessionId::as_str),
            reason: change.stop_reason.as_deref(),
        },
    };
    let body = serde_json::to_string(&message).expect("plain words always serialise");
    NewJob {
        arguments: json!({
            "webhook_id": endpoint,
            "message_id": format!("msg_{:032x}", token::id_bits()),
            "body": body,
        }),
        queue: DELIVER_QUEUE.to_owned(),
        attempts_max: ATTEMPTS_MAX,
        trace_context: service_kit::trace::current(),
        ..NewJob::new(DELIVER)
    }
}

/// What an endpoint knows us by.
pub(crate) struct Secret(Zeroizing<Vec<u8>>);

impl Secret {
    pub(crate) fn fresh() -> Self {
        Self(Zeroizing::new(token::random::<SECRET_BYTES>().to_vec()))
    }

    /// As it is shown, once.
    pub(crate) fn text(&self) -> String {
        format!("{SECRET_PREFIX}{}", STANDARD.encode(&*self.0))
    }

    pub(crate) fn seal(
        &self,
        app: &App,
        id: &WebhookId,
    ) -> Result<Vec<u8>, service_kit::seal::Error> {
        app.issuer.sealing().seal(&purpose(id), &self.0)
    }

    pub(crate) fn unseal(
        app: &App,
        id: &WebhookId,
        sealed: &[u8],
    ) -> Result<Self, service_kit::seal::Error> {
        app.issuer.sealing().unseal(&purpose(id), sealed).map(Self)
    }

    /// Reads one as it is shown; none when it is not one of at least 24 bytes.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let encoded = text.strip_prefix(SECRET_PREFIX)?;
        let secret = Zeroizing::new(STANDARD.decode(encoded).ok()?);
        (secret.len() >= SECRET_BYTES_MIN).then_some(Self(secret))
    }

    /// The header `webhook-signature`.
    pub(crate) fn sign(&self, message_id: &str, timestamp_unix: i64, body: &str) -> String {
        let mac = self.mac(message_id, timestamp_unix, body.as_bytes());
        let signature = STANDARD.encode(mac.finalize().into_bytes());
        format!("{SIGNATURE_PREFIX}{signature}")
    }

    /// Whether one of the signatures in a header `webhook-signature` is by this secret;
    /// takes as long whichever byte is wrong.
    pub(crate) fn signed(
        &self,
        message_id: &str,
        timestamp_unix: i64,
        body: &[u8],
        signatures: &str,
    ) -> bool {
        let signatures = signatures.split(' ').take(SIGNATURES_MAX);
        signatures
            .filter_map(|one| STANDARD.decode(one.strip_prefix(SIGNATURE_PREFIX)?).ok())
            .any(|signature| {
                let mac = self.mac(message_id, timestamp_unix, body);
                mac.verify_slice(&signature).is_ok()
            })
    }

    fn mac(&self, message_id: &str, timestamp_unix: i64, body: &[u8]) -> Hmac<Sha256> {
        let mut mac =
            Hmac::<Sha256>::new_from_slice(&self.0).expect("HMAC takes a secret of any length");
        mac.update(format!("{message_id}.{timestamp_unix}.").as_bytes());
        mac.update(body);
        mac
    }
}

fn purpose(id: &WebhookId) -> String {
    format!("webhook {id}")
}

#[cfg(test)]
mod tests {
    use model::{NodeId, Region, SessionId, TenantId, UserId};

    use super::*;

    fn change() -> Change {
        Change {
            session_id: SessionId::from_u128(1),
            tenant_id: TenantId::from_u128(1),
            user_id: UserId::from_u128(1),
            connection_id: None,
            node_id: NodeId::from_u128(1),
            region: Region::parse("eu").unwrap(),
            supersedes: None,
            before: Some(SessionState::Active),
            state: SessionState::Active,
            was_publishing: true,
            publishing: true,
            stop_reason: None,
        }
    }

    fn told(change_it: fn(&mut Change)) -> Vec<&'static str> {
        let mut change = change();
        change_it(&mut change);
        events(&change)
    }

    #[test]
    fn a_change_is_what_a_tenant_wants_to_know() {
        assert!(told(|_| {}).is_empty());
        assert_eq!(told(|it| it.was_publishing = false), [UP]);
        let gone = |it: &mut Change| it.publishing = false;
        assert_eq!(told(gone), [DOWN]);
        let stopped = |it: &mut Change| {
            it.publishing = false;
            it.state = SessionState::Stopped;
            it.stop_reason = Some("requested".to_owned());
        };
        assert_eq!(told(stopped), [DOWN, ENDED]);
    }

    #[test]
    fn a_stream_that_moves_is_neither_down_nor_ended() {
        let leaves = |it: &mut Change| {
            it.publishing = false;
            it.state = SessionState::Draining;
        };
        assert!(told(leaves).is_empty());
        let superseded = |it: &mut Change| {
            it.publishing = false;
            it.state = SessionState::Stopped;
            it.stop_reason = Some(SUPERSEDED.to_owned());
        };
        assert!(told(superseded).is_empty());
        let made = |it: &mut Change| {
            it.before = None;
            it.supersedes = Some(SessionId::from_u128(2));
            it.publishing = false;
            it.was_publishing = false;
        };
        assert_eq!(told(made), [MOVED]);
    }

    #[test]
    fn a_signature_is_the_specifications() {
        // The example of Standard Webhooks' own libraries.
        let secret = STANDARD.decode("MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw").unwrap();
        let signature = Secret(Zeroizing::new(secret)).sign(
            "msg_p5jXN8AQM9LWM0D4loKWxJek",
            1_614_265_330,
            r#"{"test": 2432232314}"#,
        );
        assert_eq!(signature, "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=");
    }

    #[test]
    fn a_signature_is_good_for_its_message_only() {
        let secret = Secret::fresh();
        let signature = secret.sign("msg_1", 1000, "{}");
        let signed = |id, at, body: &str, by: &str| secret.signed(id, at, body.as_bytes(), by);
        assert!(signed("msg_1", 1000, "{}", &signature));
        assert!(signed(
            "msg_1",
            1000,
            "{}",
            &format!("v1,AAAA v2,x {signature}")
        ));
        assert!(!signed("msg_2", 1000, "{}", &signature));
        assert!(!signed("msg_1", 1001, "{}", &signature));
        assert!(!signed("msg_1", 1000, "{ }", &signature));
        for wrong in ["", "v1,", "v1", &signature[..20], &signature[3..]] {
            assert!(!signed("msg_1", 1000, "{}", wrong), "{wrong}");
        }
        let other = Secret::fresh().sign("msg_1", 1000, "{}");
        assert!(!signed("msg_1", 1000, "{}", &other));
    }

    #[test]
    fn a_secret_is_read_as_it_is_shown() {
        let secret = Secret::fresh();
        let read = Secret::parse(&secret.text()).unwrap();
        assert_eq!(read.sign("msg_1", 1, ""), secret.sign("msg_1", 1, ""));
        for wrong in [
            "",
            "whsec_",
            "whsec_c2hvcnQ=",
            "whsec_*",
            &secret.text()[6..],
        ] {
            assert!(Secret::parse(wrong).is_none(), "{wrong}");
        }
    }
}
