//! Who and what is shut out: the bans as this process knows them. Every replica has them
//! all, reads them again when one changes, and looks at the time itself, so that no request
//! asks the database and a ban ends when it should.

use std::collections::BTreeMap;
use std::sync::Arc;

use arc_swap::ArcSwap;
use ipnet::IpNet;
use model::ban::BanKind;
use model::session::Role;
use model::{BanId, StreamId, UnixMillis};
use proto::fleet as pb;
use serde_json::json;
use sha2::{Digest, Sha256};
use storage::control::accounts::Account;
use storage::control::audit::{self, Action, Actor};
use storage::control::bans::{self, Ban};
use storage::control::endings;
use storage::{Pool, Transaction};

use crate::error::{ApiError, Code};
use crate::metrics;
use crate::state::App;
use crate::time::rfc3339;
use service_kit::client_address::ClientAddress;

/// The most bans of one kind that are in force at once.
pub(crate) const BANS_MAX: u32 = 4096;
/// Why the sessions of the banned ended.
pub(crate) const BANNED: &str = "banned";
/// Whose name stands in the audit when a ban's time is over.
const SERVICE: &str = "api";

/// The bans as they were read last.
pub(crate) struct Bans(ArcSwap<Known>);

struct Known {
    /// By kind and subject.
    bans: BTreeMap<(BanKind, String), Ban>,
    addresses: Arc<Addresses>,
}

/// The complete set of address prefixes that nodes answer no longer.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Addresses {
    /// Says which set this is: the same for the same prefixes.
    version: u64,
    prefixes: Vec<IpNet>,
}

impl Bans {
    /// Reads the bans.
    pub(crate) async fn load(pool: &Pool, now: UnixMillis) -> Result<Self, storage::Error> {
        let known = Known::new(bans::in_force(pool, now).await?);
        Ok(Self(ArcSwap::from_pointee(known)))
    }

    /// Reads the bans again; says whether nodes have to be told.
    pub(crate) async fn refresh(
        &self,
        pool: &Pool,
        now: UnixMillis,
    ) -> Result<bool, storage::Error> {
        let fresh = Known::new(bans::in_force(pool, now).await?);
        let is_same = self.0.load().addresses == fresh.addresses;
        self.0.store(Arc::new(fresh));
        Ok(!is_same)
    }

    /// Refuses whoever is banned, or whose tenant is.
    pub(crate) fn check_account(&self, account: &Account, now: UnixMillis) -> Result<(), ApiError> {
        self.check(BanKind::Tenant, account.tenant_id.as_str(), now)?;
        self.check(BanKind::User, account.user_id.as_str(), now)
    }

    /// Refuses a stream one of whose keys is banned; new keys are not.
    pub(crate) fn check_stream(
        &self,
        stream: &StreamId,
        generation: u32,
        now: UnixMillis,
    ) -> Result<(), ApiError> {
        for role in [Role::Publish, Role::Play] {
            let subject = key_subject(stream, generation, role);
            self.check(BanKind::StreamKey, &subject, now)?;
        }
        Ok(())
    }

    /// Refuses whoever asks from a banned prefix.
    pub(crate) fn check_address(
        &self,
        address: ClientAddress,
        now: UnixMillis,
    ) -> Result<(), ApiError> {
        let known = self.0.load();
        if !known.addresses.contain(address) {
            return Ok(());
        }
        let holds = |ban: &&Ban| {
            let prefix = ban.subject.parse::<IpNet>();
            ban.kind == BanKind::Prefix
                && ban.is_in_force(now)
                && prefix.is_ok_and(|prefix| address.is_in(&[prefix]))
        };
        known
            .bans
            .values()
            .find(holds)
            .map_or(Ok(()), |ban| Err(refusal(ban)))
    }

    fn check(&self, kind: BanKind, subject: &str, now: UnixMillis) -> Result<(), ApiError> {
        let known = self.0.load();
        // Most of the time nobody is banned.
        if known.bans.is_empty() {
            return Ok(());
        }
        match known.bans.get(&(kind, subject.to_owned())) {
            Some(ban) if ban.is_in_force(now) => Err(refusal(ban)),
            _ => Ok(()),
        }
    }

    /// What nodes have to be told.
    pub(crate) fn addresses(&self) -> Arc<Addresses> {
        self.0.load().addresses.clone()
    }

    /// Whether any is of people or keys, so that sessions may have to end.
    fn concern_sessions(&self) -> bool {
        let known = self.0.load();
        known.bans.keys().any(|(kind, _)| *kind != BanKind::Prefix)
    }
}

impl Known {
    fn new(bans: Vec<Ban>) -> Self {
        let prefixes = bans.iter().filter(|ban| ban.kind == BanKind::Prefix);
        let prefixes: Vec<IpNet> = prefixes
            .filter_map(|ban| ban.subject.parse().ok())
            .collect();
        let bans = bans.into_iter();
        Self {
            bans: bans
                .map(|ban| ((ban.kind, ban.subject.clone()), ban))
                .collect(),
            addresses: Arc::new(Addresses::new(IpNet::aggregate(&prefixes))),
        }
    }
}

impl Addresses {
    /// Of prefixes that neither overlap nor touch.
    fn new(mut prefixes: Vec<IpNet>) -> Self {
        prefixes.sort_unstable();
        let mut hasher = Sha256::new();
        for prefix in &prefixes {
            hasher.update(prefix.to_string());
            hasher.update(b"\n");
        }
        let mut version = [0; 8];
        version.copy_from_slice(&hasher.finalize()[..8]);
        Self {
            version: if prefixes.is_empty() {
                0
            } else {
                u64::from_be_bytes(version)
            },
            prefixes,
        }
    }

    /// Of prefixes in order of which none holds another, only the last one that does not
    /// begin after the address can.
    fn contain(&self, address: ClientAddress) -> bool {
        let host = IpNet::from(address.ip());
        let after = self.prefixes.partition_point(|prefix| *prefix <= host);
        let before = after.checked_sub(1).and_then(|it| self.prefixes.get(it));
        before.is_some_and(|prefix| prefix.contains(&address.ip()))
    }

    /// As nodes get it.
    pub(crate) fn message(&self) -> pb::BannedAddresses {
        pb::BannedAddresses {
            version: self.version,
            prefixes: self.prefixes.iter().map(ToString::to_string).collect(),
        }
    }
}

/// A stream's key as bans name it, without the key.
pub(crate) fn key_subject(stream: &StreamId, generation: u32, role: Role) -> String {
    format!("{stream}/{generation}/{role}")
}

fn refusal(ban: &Ban) -> ApiError {
    let what = match ban.kind {
        BanKind::Tenant => "the account's organisation",
        BanKind::User => "the account",
        BanKind::StreamKey => "the stream's key",
        BanKind::Prefix => "the address",
    };
    let until = ban.expires_at.map_or_else(
        || "until an operator lifts it".to_owned(),
        |at| format!("until {}", rfc3339(at)),
    );
    let message = format!("{what} is banned {until}; ask the operator");
    ApiError::new(Code::Banned, message).because(format!("{}_banned", ban.kind))
}

/// Ends the sessions of the banned; says how many.
///
/// # Errors
/// When the database fails.
pub(crate) async fn end_sessions(
    transaction: &mut Transaction,
    now: UnixMillis,
) -> Result<usize, storage::Error> {
    let ended = endings::of_banned(transaction, BANNED, now).await?;
    for session in &ended {
        tracing::info!(session.id = %session, "A session ended: its owner or key is banned");
    }
    Ok(ended.len())
}

/// Reads the bans again and ends what began meanwhile. Says whether nodes have to be told.
///
/// # Errors
/// When the database fails.
pub(crate) async fn look(app: &App) -> Result<bool, storage::Error> {
    let now = app.now();
    let is_new = app.bans.refresh(&app.pool, now).await?;
    if app.bans.concern_sessions() {
        let mut transaction = storage::begin(&app.pool).await?;
        let ended = end_sessions(&mut transaction, now).await?;
        storage::commit(transaction).await?;
        metrics::stopped(metrics::Stopped::Banned, ended);
    }
    Ok(is_new)
}

/// Ends bans whose time is over; nobody is held to them since. Says which.
///
/// # Errors
/// When the database fails.
pub(crate) async fn expire(app: &App) -> Result<Vec<BanId>, storage::Error> {
    let now = app.now();
    let mut transaction = storage::begin(&app.pool).await?;
    let mut expired = Vec::new();
    for ban in bans::expire(&mut transaction, now).await? {
        let action = Action {
            actor: Actor::Service(SERVICE),
            name: "ban.expire",
            subject: ban.id.as_str(),
            reason: None,
        };
        let detail = json!({"kind": ban.kind, "subject": ban.subject});
        audit::record(&mut transaction, action, &detail, now).await?;
        expired.push(ban.id);
    }
    storage::commit(transaction).await?;
    Ok(expired)
}

#[cfg(test)]
mod tests {
    use model::UserId;

    use super::*;

    fn ban(kind: BanKind, subject: &str, expires_at: Option<i64>) -> Ban {
        Ban {
            id: BanId::from_u128(1),
            kind,
            subject: subject.to_owned(),
            reason: "spam".to_owned(),
            created_at: UnixMillis(0),
            created_by: UserId::from_u128(1),
            expires_at: expires_at.map(UnixMillis),
            ended_at: None,
        }
    }

    fn bans(of: Vec<Ban>) -> Bans {
        Bans(ArcSwap::from_pointee(Known::new(of)))
    }

    #[test]
    fn a_ban_ends_by_itself_without_anybody_reading_it_again() {
        let stream = StreamId::from_u128(7);
        let key = key_subject(&stream, 2, Role::Play);
        let bans = bans(vec![ban(BanKind::StreamKey, &key, Some(100))]);
        let refused = bans.check_stream(&stream, 2, UnixMillis(99)).unwrap_err();
        assert!(refused.is(Code::Banned));
        assert!(bans.check_stream(&stream, 2, UnixMillis(100)).is_ok());
        assert!(bans.check_stream(&stream, 3, UnixMillis(99)).is_ok());
    }

    #[test]
    fn an_address_is_banned_with_its_prefix_and_as_long() {
        let prefixes = [
            "203.0.113.0/24",
            "198.51.100.7/32",
            "2001:db8::/32",
            "10.0.0.0/8",
        ];
        let of = prefixes.map(|prefix| ban(BanKind::Prefix, prefix, Some(100)));
        let bans = bans(of.to_vec());
        let check = |address: &str, now| {
            let peer = address.parse().unwrap();
            let address = ClientAddress::of(peer, &http::HeaderMap::new(), &[]);
            bans.check_address(address, UnixMillis(now))
        };
        for banned in [
            "203.0.113.0",
            "203.0.113.255",
            "198.51.100.7",
            "2001:db8:1::1",
            "::ffff:10.1.2.3",
        ] {
            let refused = check(banned, 99).unwrap_err();
            assert!(refused.is(Code::Banned), "{banned}");
            assert!(check(banned, 100).is_ok(), "{banned}");
        }
        for other in [
            "203.0.112.255",
            "203.0.114.0",
            "198.51.100.8",
            "2001:db9::1",
            "9.255.255.255",
            "::1",
        ] {
            assert!(check(other, 99).is_ok(), "{other}");
        }
    }

    #[test]
    fn the_same_addresses_are_the_same_set_however_they_are_written() {
        let of = |prefixes: &[&str]| {
            let prefixes = prefixes.iter().map(|it| ban(BanKind::Prefix, it, None));
            Known::new(prefixes.collect()).addresses.message()
        };
        assert_eq!(of(&[]).version, 0);
        let halves = of(&["203.0.113.128/25", "203.0.113.0/25", "2001:db8::/32"]);
        assert_eq!(halves.prefixes, ["203.0.113.0/24", "2001:db8::/32"]);
        assert_eq!(of(&["2001:db8::/32", "203.0.113.0/24"]), halves);
        assert_ne!(of(&["203.0.113.0/24"]).version, halves.version);
    }
}
