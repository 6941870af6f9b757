//! Signs leases, and tells nodes which keys to believe.

use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use lease::{Claims, KeySet, Kid, SigningKey};
use model::UnixMillis;
use model::session::Role;
use proto::fleet as pb;
use service_kit::seal::SealingKey;
use storage::Pool;
use storage::control::sessions::Record;

use super::keys::{self, Keys};
use crate::metrics;
use crate::relay::keys::KeyDeriver;

/// For how long a replica that cannot read the keys may go on with those it read last.
const STALE_MAX: Duration = Duration::from_secs(3600);
/// A signed lease outlives its session by this, so that the database's word that a
/// session ended is the one that cuts it.
const OVERHANG: Duration = Duration::from_secs(60);

/// Signs the leases of sessions.
pub(crate) struct Issuer {
    sealing: SealingKey,
    /// As they were read last.
    keys: ArcSwap<Keys>,
    /// How long a signed lease is good.
    pub(crate) lifetime: Duration,
}

impl Issuer {
    pub(crate) fn new(sealing: SealingKey, keys: Keys, lifetime: Duration) -> Self {
        Self {
            sealing,
            keys: ArcSwap::from_pointee(keys),
            lifetime,
        }
    }

    /// Reads the keys again; says whether nodes have to be told.
    pub(crate) async fn refresh(&self, pool: &Pool, now: UnixMillis) -> Result<bool, keys::Error> {
        let fresh = keys::load(pool, &self.sealing, now).await?;
        let have = self.keys.load();
        let is_same = have.believed == fresh.believed;
        if !is_same || have.signing.kid() != fresh.signing.kid() {
            tracing::info!(kid = %fresh.signing.kid(), "Leases are signed with this key now");
            self.keys.store(Arc::new(fresh));
        }
        Ok(!is_same)
    }

    pub(crate) const fn sealing(&self) -> &SealingKey {
        &self.sealing
    }

    /// How long after its last lease a key must be believed.
    pub(crate) fn overlap(&self) -> Duration {
        self.lifetime + lease::SKEW_TOLERATED + STALE_MAX
    }

    /// Whose leases nodes have to believe.
    pub(crate) fn believed(&self) -> KeySet {
        self.keys.load().believed.clone()
    }

    /// Both leases of a session, each beside its stream key, and the key that signed them.
    pub(crate) fn assign(
        &self,
        record: &Record,
        stream_keys: &KeyDeriver,
        now: UnixMillis,
    ) -> Result<(pb::AssignLease, Kid), lease::Error> {
        let keys = self.keys.load();
        let key = &keys.signing;
        let keyed = |role| self.keyed(record, stream_keys, role, key, now).map(Some);
        let assign = pb::AssignLease {
            session_id: record.session.id.to_string(),
            publish: keyed(Role::Publish)?,
            play: keyed(Role::Play)?,
            pull: Self::pull(record, stream_keys),
            push: Vec::new(),
        };
        Ok((assign, key.kid().clone()))
    }

    /// Where the stream is while it moves: to the old node the new one is a player, and
    /// encrypts as one where players may.
    fn pull(record: &Record, stream_keys: &KeyDeriver) -> Option<pb::Remote> {
        let from = record.pulls_from.as_ref()?;
        let passphrase = stream_keys.passphrase_of(Role::Play, record);
        let stream = &record.session.stream_id;
        let key = stream_keys.derive(Role::Play, stream, record.generation);
        Some(pb::Remote {
            host: from.public_host.clone(),
            port: from.udp_port.into(),
            stream_id: format!("play_{}", key.expose()),
            latency_ms: 0,
            passphrase: passphrase.map_or_else(String::new, |it| it.expose().to_owned()),
            key_length: 0,
        })
    }

    fn keyed(
        &self,
        record: &Record,
        stream_keys: &KeyDeriver,
        role: Role,
        key: &SigningKey,
        now: UnixMillis,
    ) -> Result<pb::KeyedLease, lease::Error> {
        let session = &record.session;
        let stream_key = stream_keys.derive(role, &session.stream_id, record.generation);
        let passphrase = stream_keys.passphrase_of(role, record);
        let claims = self.claims(record, role, now);
        let lease = lease::issue(key, &claims, &session.node_id);
        metrics::lease_issued(lease.is_ok());
        Ok(pb::KeyedLease {
            stream_key: stream_key.expose().to_owned(),
            lease: lease?,
            passphrase: passphrase.map_or_else(String::new, |it| it.expose().to_owned()),
        })
    }

    fn claims(&self, record: &Record, role: Role, now: UnixMillis) -> Claims {
        let session = &record.session;
        let settings = &record.settings;
        Claims {
            session: session.id.clone(),
            tenant: session.tenant_id.clone(),
            stream: session.stream_id.clone(),
            role,
            not_before: now,
            expires_at: now.plus(self.lifetime).min(record.ends_at.plus(OVERHANG)),
            latency_min_ms: settings.latency_min_ms,
            latency_max_ms: settings.latency_max_ms,
            rate_bps_max: settings.rate_bps_max,
            bytes_max: settings.bytes_max,
            players_max: settings.players_max,
            hold_seconds: settings.hold_seconds,
            resume: settings.resume,
            delivery: settings.delivery,
            start: settings.start,
            encryption: settings.encryption,
        }
    }
}

/// A key set as nodes get it.
pub(crate) fn key_set(keys: &KeySet) -> pb::KeySet {
    let keys = keys.iter().map(|(kid, public_key)| pb::PublicKey {
        kid: kid.to_string(),
        public_key: public_key.to_vec(),
    });
    pb::KeySet {
        keys: keys.collect(),
    }
}
