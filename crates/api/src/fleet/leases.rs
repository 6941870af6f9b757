//! Signs leases, and tells nodes which keys to believe.

use std::path::Path;
use std::time::Duration;

use anyhow::Context as _;
use lease::{Claims, KeySet, SigningKey};
use model::UnixMillis;
use model::session::Role;
use proto::fleet as pb;
use secrecy::ExposeSecret;
use storage::control::sessions::Record;

use crate::metrics;
use crate::relay::keys::KeyDeriver;

/// A signed lease outlives its session by this, so that the database's word that a
/// session ended is the one that cuts it.
const OVERHANG: Duration = Duration::from_secs(60);

/// Signs the leases of sessions.
pub(crate) struct Issuer {
    key: SigningKey,
    keys: KeySet,
    /// How long a signed lease is good.
    pub(crate) lifetime: Duration,
}

impl Issuer {
    /// Reads the signing key, and the one that comes next.
    pub(crate) fn read(
        current: &Path,
        next: Option<&Path>,
        lifetime: Duration,
    ) -> anyhow::Result<Self> {
        let key = read_key(current)?;
        let next = next.map(read_key).transpose()?;
        let keys = KeySet::of(std::iter::once(&key).chain(&next)).context("lease keys")?;
        Ok(Self {
            key,
            keys,
            lifetime,
        })
    }

    /// The key set for nodes.
    pub(crate) fn key_set(&self) -> pb::KeySet {
        let keys = self.keys.iter().map(|(kid, public_key)| pb::PublicKey {
            kid: kid.to_string(),
            public_key: public_key.to_vec(),
        });
        pb::KeySet {
            keys: keys.collect(),
        }
    }

    /// Both leases of a session, each beside its stream key.
    pub(crate) fn assign(
        &self,
        record: &Record,
        stream_keys: &KeyDeriver,
        now: UnixMillis,
    ) -> Result<pb::AssignLease, lease::Error> {
        let keyed = |role| self.keyed(record, stream_keys, role, now).map(Some);
        Ok(pb::AssignLease {
            session_id: record.session.id.to_string(),
            publish: keyed(Role::Publish)?,
            play: keyed(Role::Play)?,
            pull: None,
            push: Vec::new(),
        })
    }

    fn keyed(
        &self,
        record: &Record,
        stream_keys: &KeyDeriver,
        role: Role,
        now: UnixMillis,
    ) -> Result<pb::KeyedLease, lease::Error> {
        let session = &record.session;
        let key = stream_keys.derive(role, &session.stream_id, record.generation);
        let passphrase = stream_keys.passphrase_of(role, record);
        let claims = self.claims(record, role, now);
        let lease = lease::issue(&self.key, &claims, &session.node_id);
        metrics::lease_issued(lease.is_ok());
        Ok(pb::KeyedLease {
            stream_key: key.expose().to_owned(),
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

fn read_key(path: &Path) -> anyhow::Result<SigningKey> {
    let text = service_kit::secret::read_file(path)?;
    let mut seed = [0; 32];
    hex::decode_to_slice(text.expose_secret(), &mut seed).map_err(|_| {
        anyhow::anyhow!(
            "{}: not a lease key: expected 64 hexadecimal digits",
            path.display()
        )
    })?;
    Ok(SigningKey::from_seed(&seed))
}
