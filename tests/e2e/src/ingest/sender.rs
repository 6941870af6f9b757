//! An app that sends batches of events over one connection, as an SDK does.

use std::time::Duration;

use hmac::{Hmac, KeyInit, Mac};
use jiff::Timestamp;
use sha2::Sha256;
use uuid::Uuid;

use crate::wait;

const READY_LIMIT: Duration = Duration::from_secs(30);
const PATIENCE: Duration = Duration::from_secs(30);

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
        let mut mac = Hmac::<Sha256>::new_from_slice(self.secret.as_bytes())
            .expect("HMAC takes a secret of any length");
        mac.update(format!("{seconds}:").as_bytes());
        mac.update(body);
        hex::encode(mac.finalize().into_bytes())
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
    /// So many new events of one of a thousand clients, about 660 bytes each.
    pub(super) fn new(events: usize, client: u32) -> Self {
        let ids: Vec<Uuid> = (0..events).map(|_| Uuid::new_v4()).collect();
        let now = Timestamp::now().to_string();
        let events: Vec<String> = ids.iter().map(|id| event(id, &now, client)).collect();
        let body = format!("{{\"events\":[{}]}}", events.join(","));
        Self { ids, body }
    }

    /// Bytes of an event, on the average.
    pub(super) fn event_bytes(&self) -> usize {
        self.body.len() / self.ids.len().max(1)
    }
}

/// What an SDK writes; times and ids are what differs.
fn event(id: &Uuid, now: &str, client: u32) -> String {
    format!(
        r#"{{"schema_version":"1.0.0","event_id":"{id}","timestamp":"{now}","service":{{"name":"bench","version":"1.4.2","language":"rust"}},"user_id":"client_{client:064x}","session_id":"sess_{client:032x}","environment":{{"os":"linux","arch":"x86_64","ci":false}},"event":{{"type":"command_execution","category":"usage","data":{{"command":"relay","subcommand":"start","success":true,"duration_ms":1243,"exit_code":0}}}},"metadata":{{"sdk_version":"0.3.0","transmission_timestamp":"{now}","batch_size":1,"retry_count":0}}}}"#
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
        let target = &self.target;
        let seconds = Timestamp::now().as_second();
        let signature = target.sign(seconds, batch.body.as_bytes());
        let mut request = self
            .agent
            .post(format!("{}{}", target.url, target.path()))
            .header("content-type", "application/json")
            .header("x-batch-size", batch.ids.len().to_string())
            .header("x-timestamp", seconds.to_string())
            .header("x-signature", signature);
        if let Some(token) = &target.token {
            request = request.header("authorization", format!("Bearer {token}"));
        }
        let mut answer = request.send(batch.body.as_bytes())?;
        // Read to its end, or the connection cannot be used again.
        answer.body_mut().read_to_vec()?;
        Ok(answer.status().as_u16())
    }
}
