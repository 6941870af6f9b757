//! What a node is told: the difference between what it should hold and what it was told
//! before, in turns of what it acknowledges.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use lease::{KeySet, Kid};
use model::node::{Hello, NodeAddress, NodeHealth, NodeIntent};
use model::{SessionId, StreamSettings, UnixMillis};
use proto::fleet as pb;
use proto::fleet::control_message::Directive;
use storage::control::nodes::{self, Fingerprint, Orders};
use storage::control::sessions::{self, Record};
use tokio::time::Instant;
use tonic::Status;

use super::{Connection, Ended};
use crate::config::seconds;
use crate::fleet::leases::key_set;
use crate::fleet::standing;
use crate::metrics::{self, Directive as Label};

/// Directives a node may leave without an Ack before it is told more: one that holds
/// thousands of sessions is told of them in turns.
pub(super) const UNACKNOWLEDGED_MAX: usize = 1024;
/// How long it may take for the next Ack then.
const ACK_TIMEOUT: Duration = Duration::from_secs(60);
/// How long a node may take to read a message.
const SEND_TIMEOUT: Duration = Duration::from_secs(10);

/// What a node was told of one session.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Told {
    /// When its leases are half used up.
    renew_at: UnixMillis,
    generation: u32,
    settings: StreamSettings,
    /// The node that it was told to pull from.
    pulls_from: Option<NodeAddress>,
    /// Which key signed it; unknown for what a node holds from before.
    kid: Option<Kid>,
}

impl Told {
    /// Whether the node knows all that there is to know.
    fn is_fresh(&self, record: &Record, believed: &KeySet, now: UnixMillis) -> bool {
        self.renew_at > now
            && self.kid.as_ref().is_some_and(|kid| believed.contains(kid))
            && self.generation == record.generation
            && self.settings == record.settings
            && self.pulls_from == record.pulls_from
    }
}

/// What a node holds from before; its leases are due for renewal.
pub(super) fn held_already(hello: &Hello) -> BTreeMap<SessionId, Told> {
    let unknown = Told {
        renew_at: UnixMillis(0),
        generation: 0,
        settings: StreamSettings::default(),
        pulls_from: None,
        kid: None,
    };
    let held = hello.held.iter();
    held.map(|held| (held.session_id.clone(), unknown.clone()))
        .collect()
}

impl Connection {
    pub(super) async fn welcome(&mut self) -> Result<(), Ended> {
        let heartbeat = seconds(self.app.config.fleet.heartbeat_seconds);
        self.believed = self.app.issuer.believed();
        self.banned = self.app.bans.addresses();
        let welcome = pb::Welcome {
            heartbeat_interval_ms: u32::try_from(heartbeat.as_millis()).unwrap_or(u32::MAX),
            keys: Some(key_set(&self.believed)),
            now_unix_ms: self.app.now().0,
            banned: Some(self.banned.message()),
        };
        self.send(0, Directive::Welcome(welcome)).await
    }

    /// Sends the difference between what the node should hold and what it was told.
    pub(super) async fn sync(&mut self) -> Result<(), Ended> {
        self.seat.line.untold();
        if !self.may_tell_more()? {
            return Ok(());
        }
        let wanted = match self.wanted().await {
            Ok(wanted) => wanted,
            Err(error) => {
                self.note("What a node should hold could not be read", &error);
                return Ok(());
            }
        };
        let Some((orders, fingerprint, records)) = wanted else {
            return Err(Status::unauthenticated("the node is no longer enrolled"));
        };
        if orders.health == NodeHealth::Offline {
            self.missed(orders.is_heard_since);
        }
        if !standing::is_current(&orders, &self.vitals, records.len()) {
            self.judge().await;
        }
        if orders.intent == NodeIntent::Banned {
            return self.shut_out().await;
        }
        self.believe().await?;
        self.shun().await?;
        self.order(&orders).await?;
        if self.is_synced {
            self.revoke(&records).await?;
            self.assign(&records).await?;
        } else {
            self.resync(&records).await?;
            // A session that came with its own lease is no part of the complete set.
            self.revoke(&records).await?;
        }
        if self.behind_since.is_none() {
            self.seat.line.told(fingerprint, self.renew_at());
        }
        Ok(())
    }

    /// Whether the node has acknowledged enough of what it was told.
    fn may_tell_more(&mut self) -> Result<bool, Ended> {
        if self.unacknowledged.len() < UNACKNOWLEDGED_MAX {
            self.behind_since = None;
            return Ok(true);
        }
        let since = self.behind_since.get_or_insert_with(Instant::now);
        if since.elapsed() >= ACK_TIMEOUT {
            return Err(Status::resource_exhausted("the node acknowledges nothing"));
        }
        Ok(false)
    }

    /// When the first lease is to be signed again.
    fn renew_at(&self) -> Option<UnixMillis> {
        self.told.values().map(|told| told.renew_at).min()
    }

    /// What stands for the rest is read first: what changes after it is seen at a look.
    async fn wanted(&self) -> Result<Option<(Orders, Fingerprint, Vec<Record>)>, storage::Error> {
        let _turn = self.app.stream_queries.acquire().await;
        let Some((orders, fingerprint)) = nodes::orders(&self.app.pool, &self.node).await? else {
            return Ok(None);
        };
        let records = sessions::live_of_node(&self.app.pool, &self.node).await?;
        Ok(Some((orders, fingerprint, records)))
    }

    /// Comes before the leases that a new key signed.
    async fn believe(&mut self) -> Result<(), Ended> {
        let believed = self.app.issuer.believed();
        if believed != self.believed {
            let keys = Directive::Keys(key_set(&believed));
            self.direct(Label::Keys, keys, BTreeSet::new()).await?;
            self.believed = believed;
        }
        Ok(())
    }

    async fn shun(&mut self) -> Result<(), Ended> {
        let banned = self.app.bans.addresses();
        if banned != self.banned {
            let directive = Directive::Banned(banned.message());
            self.direct(Label::Banned, directive, BTreeSet::new())
                .await?;
            self.banned = banned;
        }
        Ok(())
    }

    /// Its sessions were ended: it is told so, if it still listens, before it is gone.
    async fn shut_out(&mut self) -> Result<(), Ended> {
        self.revoke(&[]).await?;
        Err(Status::permission_denied("the operator banned this node"))
    }

    async fn order(&mut self, orders: &Orders) -> Result<(), Ended> {
        let draining = orders.intent != NodeIntent::None;
        if draining != self.draining {
            let drain = pb::Drain { draining };
            self.direct(Label::Drain, Directive::Drain(drain), BTreeSet::new())
                .await?;
            self.draining = draining;
        }
        if let Some(sessions_max) = orders.sessions_limit
            && orders.sessions_limit != self.sessions_limit
        {
            let limits = pb::Limits { sessions_max };
            self.direct(Label::Limits, Directive::Limits(limits), BTreeSet::new())
                .await?;
        }
        self.sessions_limit = orders.sessions_limit;
        Ok(())
    }

    async fn resync(&mut self, records: &[Record]) -> Result<(), Ended> {
        let mut assigned = Vec::with_capacity(records.len());
        let mut sessions = BTreeSet::new();
        for record in records {
            if let Some(assign) = self.leases(record) {
                sessions.insert(record.session.id.clone());
                assigned.push(assign);
            }
        }
        self.is_synced = true;
        self.direct(
            Label::Resync,
            Directive::Resync(pb::Resync { assigned }),
            sessions,
        )
        .await
    }

    async fn revoke(&mut self, records: &[Record]) -> Result<(), Ended> {
        let wanted: BTreeSet<_> = records.iter().map(|record| &record.session.id).collect();
        let gone: Vec<_> = self
            .told
            .keys()
            .filter(|session| !wanted.contains(session))
            .cloned()
            .collect();
        for session in gone {
            if !self.may_tell_more()? {
                break;
            }
            self.told.remove(&session);
            let reason = self.stop_reason(&session).await;
            let revoke = pb::Revoke {
                session_id: session.to_string(),
                reason,
            };
            self.direct(Label::Revoke, Directive::Revoke(revoke), BTreeSet::new())
                .await?;
        }
        Ok(())
    }

    async fn assign(&mut self, records: &[Record]) -> Result<(), Ended> {
        let now = self.app.now();
        for record in records {
            let session = &record.session.id;
            let is_fresh = self
                .told
                .get(session)
                .is_some_and(|told| told.is_fresh(record, &self.believed, now));
            if is_fresh {
                continue;
            }
            if !self.may_tell_more()? {
                break;
            }
            if let Some(assign) = self.leases(record) {
                let sessions = BTreeSet::from([session.clone()]);
                self.direct(Label::Assign, Directive::Assign(assign), sessions)
                    .await?;
            }
        }
        Ok(())
    }

    /// Signs a session's leases, and remembers that the node knows them.
    fn leases(&mut self, record: &Record) -> Option<pb::AssignLease> {
        let now = self.app.now();
        match self.app.issuer.assign(record, &self.app.stream_keys, now) {
            Ok((mut assign, kid)) => {
                if !self.encrypts_remotes {
                    // It would pull in the clear.
                    assign.pull = assign.pull.filter(|from| from.passphrase.is_empty());
                }
                let renew_at = now.plus(self.app.issuer.lifetime / 2);
                let told = Told {
                    renew_at,
                    generation: record.generation,
                    settings: record.settings.clone(),
                    pulls_from: record.pulls_from.clone(),
                    kid: Some(kid),
                };
                self.told.insert(record.session.id.clone(), told);
                Some(assign)
            }
            // Its longest life is over: it expires at the next look.
            Err(error) => {
                tracing::warn!(session.id = %record.session.id, %error, "A lease was not signed");
                None
            }
        }
    }

    async fn stop_reason(&self, session: &SessionId) -> String {
        let record = sessions::find(&self.app.pool, session).await.ok().flatten();
        let reason = record.and_then(|record| record.session.stop_reason);
        reason.unwrap_or_else(|| "stopped".to_owned())
    }

    async fn direct(
        &mut self,
        label: Label,
        directive: Directive,
        sessions: BTreeSet<SessionId>,
    ) -> Result<(), Ended> {
        self.directive_id += 1;
        self.unacknowledged.insert(self.directive_id, sessions);
        metrics::directive(label);
        self.send(self.directive_id, directive).await
    }

    async fn send(&self, directive_id: u64, directive: Directive) -> Result<(), Ended> {
        let message = pb::ControlMessage {
            directive_id,
            directive: Some(directive),
        };
        self.outgoing
            .send_timeout(Ok(Box::new(message)), SEND_TIMEOUT)
            .await
            .map_err(|_| Status::deadline_exceeded("the node does not read"))
    }
}
