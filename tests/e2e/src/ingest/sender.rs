//! An app that sends batches of events over one connection, as an SDK does.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use ring::hmac;
use uuid::Uuid;

use crate::wait;

const READY_LIMIT: Duration = Duration::from_secs(30);
const PATIENCE: Duration = Duration::from_secs(30);
/// Half of what a gateway takes.
const FRESH_SECONDS: i64 = 300;
/// Between two events of a client.
const EVENT_INTERVAL: SignedDuration = SignedDuration::from_millis(37);

/// Where batches go, and by what they are signed.
#[derive(Debug, Clone)]
pub struct Target {
    /// Of the gateway, without a slash at the end.
    pub url: String,
    /// The app's organisation.
    pub org: String,
    /// The app.
    pub app: String,
    /// What is shown to a peer; ours needs none.
    pub token: Option<String>,
    /// What signs.
    pub secret: String,
}

impl Target {
    /// Waits until it takes an event.
    pub(super) fn await_ready(&self) -> anyhow::Result<()> {
        wait::until("events are taken", READY_LIMIT, || {
            let taken = Sender::new(self.clone()).send(&Batch::new(1, 0));
            (taken.ok()? == 200).then_some(())
        })
    }

    /// Where it takes events.
    pub(super) fn path(&self) -> String {
        format!("/v1/ingest/{}/{}", self.org, self.app)
    }

    /// The signature of a body sent at that time, in Unix seconds.
    pub(super) fn sign(&self, seconds: i64, body: &[u8]) -> String {
        let key = hmac::Key::new(hmac::HMAC_SHA256, self.secret.as_bytes());
        let mut mac = hmac::Context::with_key(&key);
        mac.update(format!("{seconds}:").as_bytes());
        mac.update(body);
        hex::encode(mac.sign())
    }

    /// Signs a body now.
    pub(super) fn stamp(&self, body: &[u8]) -> Stamp {
        let seconds = Timestamp::now().as_second();
        let signature = self.sign(seconds, body);
        Stamp { seconds, signature }
    }
}

/// When a body was signed, in Unix seconds, and the signature.
#[derive(Debug)]
pub(super) struct Stamp {
    seconds: i64,
    signature: String,
}

impl Stamp {
    /// Whether a gateway takes it, and for a while yet.
    pub(super) fn is_fresh(&self) -> bool {
        Timestamp::now().as_second() - self.seconds < FRESH_SECONDS
    }
}

/// A client with a connection of its own.
pub(super) struct Sender {
    agent: ureq::Agent,
    target: Target,
}

/// Events of one request.
#[derive(Debug, Clone)]
pub(super) struct Batch {
    pub(super) ids: Vec<Uuid>,
    pub(super) body: String,
}

impl Batch {
    /// So many new events that one of a thousand clients had one after another, about 660 bytes each.
    pub(super) fn new(events: usize, client: u32) -> Self {
        let ids: Vec<Uuid> = (0..events).map(|_| Uuid::new_v4()).collect();
        let event = event(ID, TIME, client);
        let mut time = Timestamp::now() - EVENT_INTERVAL * events as i32;
        let mut body = String::with_capacity(events * (event.len() + 64) + 16);
        body.push_str("{\"events\":[");
        for (place, id) in ids.iter().enumerate() {
            let comma = if place == 0 { "" } else { "," };
            body.push_str(comma);
            let text = event.replace(ID, &id.to_string());
            body.push_str(&text.replace(TIME, &time.to_string()));
            time += EVENT_INTERVAL;
        }
        body.push_str("]}");
        Self { ids, body }
    }

    /// Bytes of an event, on the average.
    pub(super) fn event_bytes(&self) -> usize {
        self.body.len() / self.ids.len().max(1)
    }
}

/// In the places of an event's id and of its time.
const ID: &str = "{id}";
const TIME: &str = "{time}";

/// What an SDK writes; times and ids are what differs.
fn event(id: &str, time: &str, client: u32) -> String {
    format!(
        r#"{{"schema_version":"1.0.0","event_id":"{id}","timestamp":"{time}","service":{{"name":"bench","version":"1.4.2","language":"rust"}},"user_id":"client_{client:064x}","session_id":"sess_{client:032x}","environment":{{"os":"linux","arch":"x86_64","ci":false}},"event":{{"type":"command_execution","category":"usage","data":{{"command":"relay","subcommand":"start","success":true,"duration_ms":1243,"exit_code":0}}}},"metadata":{{"sdk_version":"0.3.0","transmission_timestamp":"{time}","batch_size":1,"retry_count":0}}}}"#
    )
}

impl Sender {
    pub(super) fn new(target: Target) -> Self {
        let agent = ureq::Agent::config_builder()
            .http_status_as_error(false)
            .timeout_global(Some(PATIENCE))
            .build()
            .new_agent();
        Self { agent, target }
    }

    pub(super) const fn target(&self) -> &Target {
        &self.target
    }

    /// Sends a batch; its events are acknowledged if this is 200.
    pub(super) fn send(&self, batch: &Batch) -> Result<u16, ureq::Error> {
        self.post(batch, &self.target.stamp(batch.body.as_bytes()))
    }

    /// The same, signed before.
    pub(super) fn post(&self, batch: &Batch, stamp: &Stamp) -> Result<u16, ureq::Error> {
        let target = &self.target;
        let mut request = self
            .agent
            .post(format!("{}{}", target.url, target.path()))
            .header("content-type", "application/json")
            .header("x-batch-size", batch.ids.len().to_string())
            .header("x-timestamp", stamp.seconds.to_string())
            .header("x-signature", &stamp.signature);
        if let Some(token) = &target.token {
            request = request.header("authorization", format!("Bearer {token}"));
        }
        let mut answer = request.send(batch.body.as_bytes())?;
        // Read to its end, or the connection cannot be used again.
        answer.body_mut().read_to_vec()?;
        Ok(answer.status().as_u16())
    }
}
