//! The sessions this node holds, and who may join them.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use lease::{Claims, KeySet, Kid, Refusal};
use model::session::Role;
use model::{NodeId, Passphrase, SessionId, StreamKey, UnixMillis};
use srt::streamid::StreamIdText;

use crate::config::PortRole;
use crate::grant::{KeyDigest, Permission, digest};
use crate::quota::{Meter, Meters};
use crate::reason::RefusalReason;
use crate::saved::SavedConnection;
use crate::shard::Shard;
use crate::traffic::Traffic;
use crate::{CommandError, Grant};

/// Revoked sessions remembered, so that their leases are not used again.
const REVOKED_MAX: usize = 4096;

#[derive(Debug)]
pub(crate) struct Sessions {
    node_id: NodeId,
    keys: KeySet,
    sessions_max: u32,
    shard: Shard,
    held: BTreeMap<SessionId, Session>,
    by_key: BTreeMap<KeyDigest, (SessionId, Role)>,
    meters: Meters,
    revoked: BTreeSet<SessionId>,
    revoked_order: VecDeque<SessionId>,
}

#[derive(Debug, Default)]
struct Session {
    /// Whether the control plane assigned it; else a caller brought its lease.
    assigned: bool,
    publish: Option<Permission>,
    play: Option<Permission>,
    connections: u32,
    /// Of the connections that have ended.
    traffic: Traffic,
}

/// What a caller may do.
#[derive(Debug)]
pub(crate) struct Permit {
    pub(crate) claims: Claims,
    /// What the caller may encrypt with.
    pub(crate) passphrase: Option<Passphrase>,
    /// Of the lease that the caller brought itself: which key signed it.
    pub(crate) own_lease: Option<Kid>,
}

/// Why a caller may not, and whose session it asked for.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Refused {
    pub(crate) reason: RefusalReason,
    pub(crate) session: Option<SessionId>,
}

impl Refused {
    pub(crate) const fn unknown(reason: RefusalReason) -> Self {
        Self {
            reason,
            session: None,
        }
    }
}

impl Sessions {
    pub(crate) const fn new(
        node_id: NodeId,
        keys: KeySet,
        sessions_max: u32,
        shard: Shard,
    ) -> Self {
        Self {
            node_id,
            keys,
            sessions_max,
            shard,
            held: BTreeMap::new(),
            by_key: BTreeMap::new(),
            meters: Meters::new(),
            revoked: BTreeSet::new(),
            revoked_order: VecDeque::new(),
        }
    }

    pub(crate) fn set_keys(&mut self, keys: KeySet) {
        self.keys = keys;
    }

    /// Whether leases of this key are believed.
    pub(crate) fn believes(&self, kid: &Kid) -> bool {
        self.keys.contains(kid)
    }

    /// The sessions that were assigned by leases of a key that is believed no more.
    pub(crate) fn disowned(&self) -> impl Iterator<Item = &SessionId> {
        let held = self.held.iter().filter(|(_, session)| {
            let permissions = [&session.publish, &session.play];
            let mut permissions = permissions.into_iter().flatten();
            permissions.any(|permission| !self.believes(&permission.kid))
        });
        held.map(|(id, _)| id)
    }

    pub(crate) fn set_sessions_max(&mut self, sessions_max: u32) {
        self.sessions_max = sessions_max;
    }

    pub(crate) const fn sessions_max(&self) -> usize {
        self.sessions_max as usize
    }

    pub(crate) fn ids(&self) -> impl Iterator<Item = &SessionId> {
        self.held.keys()
    }

    /// The sessions that were assigned and are not in `keep`.
    pub(crate) fn assigned_except(&self, keep: &BTreeSet<&SessionId>) -> Vec<SessionId> {
        let others = self
            .held
            .iter()
            .filter(|(id, session)| session.assigned && !keep.contains(id));
        others.map(|(id, _)| id.clone()).collect()
    }

    pub(crate) fn contains(&self, session: &SessionId) -> bool {
        self.held.contains_key(session)
    }

    /// Holds a session, or replaces its keys and leases.
    pub(crate) fn assign(&mut self, grant: Grant) -> Result<(), CommandError> {
        let Grant {
            session: id,
            publish,
            play,
            remotes: _,
        } = grant;
        if !self.contains(&id) && self.is_full() {
            return Err(CommandError::OverCapacity);
        }
        self.forget_keys(&id);
        if self.revoked.remove(&id) {
            self.revoked_order.retain(|revoked| *revoked != id);
        }
        self.remember_key(&id, publish.as_ref(), Role::Publish);
        self.remember_key(&id, play.as_ref(), Role::Play);
        for permission in [&publish, &play].into_iter().flatten() {
            self.meters.of(&permission.claims);
        }
        let session = self.held.entry(id).or_default();
        (session.assigned, session.publish, session.play) = (true, publish, play);
        Ok(())
    }

    fn remember_key(&mut self, session: &SessionId, permission: Option<&Permission>, role: Role) {
        if let Some(permission) = permission {
            self.by_key
                .insert(permission.digest, (session.clone(), role));
        }
    }

    /// Keys that belong to another session by now stay.
    fn forget_keys(&mut self, id: &SessionId) {
        let Some(session) = self.held.get(id) else {
            return;
        };
        for permission in [&session.publish, &session.play].into_iter().flatten() {
            let owner = self.by_key.get(&permission.digest);
            if owner.is_some_and(|(owner, _)| owner == id) {
                self.by_key.remove(&permission.digest);
            }
        }
    }

    /// Forgets a session; its leases are worth nothing from now on.
    pub(crate) fn revoke(&mut self, id: &SessionId) {
        self.forget_keys(id);
        self.meters.forget(id);
        self.held.remove(id);
        if self.revoked.insert(id.clone()) {
            self.revoked_order.push_back(id.clone());
        }
        if self.revoked_order.len() > REVOKED_MAX
            && let Some(oldest) = self.revoked_order.pop_front()
        {
            self.revoked.remove(&oldest);
        }
    }

    /// What a caller with this stream id, on a port of this role, may do.
    pub(crate) fn permit(
        &self,
        text: StreamIdText<'_>,
        port: PortRole,
        wall: UnixMillis,
    ) -> Result<Permit, Refused> {
        let permit = if text.is_lease() {
            self.permit_lease(text.name(), wall)?
        } else {
            self.permit_key(text.name(), wall)?
        };
        let claims = &permit.claims;
        let refusal = if !is_role_allowed(claims.role, text, port) {
            Some(RefusalReason::WrongRole)
        } else if !self.contains(&claims.session) && !self.has_room_for_own_lease() {
            Some(RefusalReason::OverCapacity)
        } else {
            None
        };
        match refusal {
            Some(reason) => Err(Refused {
                reason,
                session: Some(permit.claims.session),
            }),
            None => Ok(permit),
        }
    }

    fn permit_key(&self, name: &str, wall: UnixMillis) -> Result<Permit, Refused> {
        let unknown = || Refused::unknown(RefusalReason::UnknownKey);
        let key = StreamKey::parse(name).map_err(|_| unknown())?;
        let (id, role) = self.by_key.get(&digest(&key)).ok_or_else(unknown)?;
        let claims = self.claims(id, *role).ok_or_else(unknown)?;
        claims.check_time(wall).map_err(|refusal| Refused {
            reason: reason(refusal),
            session: Some(id.clone()),
        })?;
        Ok(Permit {
            claims: claims.clone(),
            passphrase: self.passphrase(id, *role).cloned(),
            own_lease: None,
        })
    }

    fn permit_lease(&self, token: &str, wall: UnixMillis) -> Result<Permit, Refused> {
        let verified = self.keys.verify_named(token, &self.node_id, wall);
        let (kid, claims) = verified.map_err(|refusal| Refused::unknown(reason(refusal)))?;
        if self.revoked.contains(&claims.session) {
            return Err(Refused {
                reason: RefusalReason::Revoked,
                session: Some(claims.session),
            });
        }
        Ok(Permit {
            claims,
            passphrase: None,
            own_lease: Some(kid),
        })
    }

    /// Counts the bytes of those who join under these claims.
    pub(crate) fn meter(&mut self, claims: &Claims) -> Option<Meter> {
        self.meters.of(claims)
    }

    /// Holds a session of before a restart, without keys and leases, until it is
    /// assigned again.
    pub(crate) fn resume(&mut self, id: &SessionId) {
        self.held.entry(id.clone()).or_default().assigned = true;
    }

    /// What counts the bytes of a connection of before a restart.
    pub(crate) fn resume_meter(&mut self, saved: &SavedConnection, role: Role) -> Option<Meter> {
        let meter = saved.meter?;
        self.meters
            .resume(&saved.session, role, meter, saved.lease_end)
    }

    /// Counts a connection of a session in.
    pub(crate) fn join(&mut self, id: &SessionId) {
        self.held.entry(id.clone()).or_default().connections += 1;
    }

    /// Counts a connection out, with what it moved; a session that came with it goes
    /// with it.
    pub(crate) fn leave(&mut self, id: &SessionId, traffic: Traffic) {
        let Some(session) = self.held.get_mut(id) else {
            return;
        };
        session.traffic += traffic;
        session.connections = session.connections.saturating_sub(1);
        if session.connections == 0 && !session.assigned {
            self.held.remove(id);
        }
    }

    /// What the ended connections of a session moved.
    pub(crate) fn traffic(&self, id: &SessionId) -> Traffic {
        self.held
            .get(id)
            .map(|session| session.traffic)
            .unwrap_or_default()
    }

    /// What a session's key in this role permits.
    pub(crate) fn claims(&self, id: &SessionId, role: Role) -> Option<&Claims> {
        let permission = self.permission(id, role)?;
        Some(&permission.claims)
    }

    /// What a caller with a session's key in this role may encrypt with.
    pub(crate) fn passphrase(&self, id: &SessionId, role: Role) -> Option<&Passphrase> {
        self.permission(id, role)?.passphrase.as_ref()
    }

    fn permission(&self, id: &SessionId, role: Role) -> Option<&Permission> {
        let session = self.held.get(id)?;
        match role {
            Role::Publish => session.publish.as_ref(),
            Role::Play => session.play.as_ref(),
        }
    }

    /// When the next lease of a held session ends, after `wall`.
    pub(crate) fn next_expiry(&self, wall: UnixMillis) -> Option<UnixMillis> {
        let permissions = self
            .held
            .values()
            .flat_map(|s| [s.publish.as_ref(), s.play.as_ref()]);
        let ends = permissions
            .flatten()
            .map(|permission| end_of(&permission.claims));
        ends.filter(|end| *end > wall).min()
    }

    /// Assigned sessions are known to every relay of the node, those that came
    /// with their own lease to one only: each relay has its share of what is left.
    fn has_room_for_own_lease(&self) -> bool {
        let assigned = self
            .held
            .values()
            .filter(|session| session.assigned)
            .count();
        let own = self.held.len() - assigned;
        let left = self.sessions_max().saturating_sub(assigned) as u32;
        own < self.shard.share(left) as usize
    }

    fn is_full(&self) -> bool {
        self.held.len() >= self.sessions_max()
    }
}

/// From this time on a lease is worth nothing.
pub(crate) fn end_of(claims: &Claims) -> UnixMillis {
    claims.expires_at.plus(lease::SKEW_TOLERATED)
}

fn is_role_allowed(role: Role, text: StreamIdText<'_>, port: PortRole) -> bool {
    let wished = match text {
        StreamIdText::Publish(_) => Some(Role::Publish),
        StreamIdText::Play(_) => Some(Role::Play),
        StreamIdText::Either(_) => None,
    };
    let offered = match port {
        PortRole::Any => None,
        PortRole::Publish => Some(Role::Publish),
        PortRole::Play => Some(Role::Play),
    };
    let mut bounds = [wished, offered].into_iter().flatten();
    bounds.all(|bound| bound == role)
}

const fn reason(refusal: Refusal) -> RefusalReason {
    match refusal {
        Refusal::Malformed => RefusalReason::MalformedLease,
        Refusal::UnknownKey => RefusalReason::UnknownKey,
        Refusal::BadSignature => RefusalReason::BadSignature,
        Refusal::WrongNode => RefusalReason::WrongNode,
        Refusal::NotYetValid => RefusalReason::LeaseNotYetValid,
        Refusal::Expired => RefusalReason::LeaseExpired,
    }
}
