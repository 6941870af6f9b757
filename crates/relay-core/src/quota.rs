//! The bytes that a lease allows over its session's life.
//!
//! A session's publisher, and all its players together, have a [`Meter`] each.
//! It outlives their connections, so that nobody gets more by calling again.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use lease::Claims;
use model::session::Role;
use model::{SessionId, UnixMillis};

use crate::saved::SavedMeter;

/// Meters remembered; then the one whose lease ends first is forgotten.
const METERS_MAX: usize = 8192;

/// Bytes used so far and the bytes allowed, shared by all connections that use
/// them. A relay has one owner: the atomics make it `Send`, and are never
/// contended.
#[derive(Debug, Clone, Default)]
pub(crate) struct Meter(Arc<Amounts>);

#[derive(Debug, Default)]
struct Amounts {
    used: AtomicU64,
    allowed: AtomicU64,
}

impl Meter {
    /// Uses `bytes`, or what is left when that is less: then the answer is no,
    /// and stays so until more is allowed.
    pub(crate) fn spend(&self, bytes: usize) -> bool {
        let (used, allowed) = self.amounts();
        let after = used.saturating_add(bytes as u64);
        let is_allowed = after <= allowed;
        let used = if is_allowed { after } else { used.max(allowed) };
        self.0.used.store(used, Ordering::Relaxed);
        is_allowed
    }

    pub(crate) fn is_used_up(&self) -> bool {
        let (used, allowed) = self.amounts();
        used >= allowed
    }

    pub(crate) fn save(&self) -> SavedMeter {
        let (used, allowed) = self.amounts();
        SavedMeter { used, allowed }
    }

    fn allow(&self, bytes_max: Option<u64>) {
        let allowed = bytes_max.unwrap_or(u64::MAX);
        self.0.allowed.store(allowed, Ordering::Relaxed);
    }

    fn amounts(&self) -> (u64, u64) {
        let load = |amount: &AtomicU64| amount.load(Ordering::Relaxed);
        (load(&self.0.used), load(&self.0.allowed))
    }
}

/// The meters of all sessions whose leases have a bound.
#[derive(Debug, Default)]
pub(crate) struct Meters {
    entries: BTreeMap<(SessionId, Role), Entry>,
}

#[derive(Debug)]
struct Entry {
    meter: Meter,
    lease_end: UnixMillis,
}

impl Meters {
    pub(crate) const fn new() -> Self {
        Self {
            entries: BTreeMap::new(),
        }
    }

    /// The meter of those who join under these claims.
    pub(crate) fn of(&mut self, claims: &Claims) -> Option<Meter> {
        let lease_end = claims.expires_at;
        self.meter(&claims.session, claims.role, claims.bytes_max, lease_end)
    }

    /// The meter of `role` of `session` under a lease that allows `bytes_max`
    /// and lasts until `lease_end`; none when it never had a bound.
    fn meter(
        &mut self,
        session: &SessionId,
        role: Role,
        bytes_max: Option<u64>,
        lease_end: UnixMillis,
    ) -> Option<Meter> {
        let key = (session.clone(), role);
        if !self.entries.contains_key(&key) {
            bytes_max?;
            self.make_room();
        }
        let entry = self.entries.entry(key).or_insert_with(|| Entry {
            meter: Meter::default(),
            lease_end,
        });
        entry.lease_end = entry.lease_end.max(lease_end);
        entry.meter.allow(bytes_max);
        Some(entry.meter.clone())
    }

    /// The meter of those who joined before a restart, where it was.
    pub(crate) fn resume(
        &mut self,
        session: &SessionId,
        role: Role,
        saved: SavedMeter,
        lease_end: UnixMillis,
    ) -> Option<Meter> {
        let meter = self.meter(session, role, Some(saved.allowed), lease_end)?;
        meter.0.used.fetch_max(saved.used, Ordering::Relaxed);
        Some(meter)
    }

    /// Forgets a session that nobody can join any more.
    pub(crate) fn forget(&mut self, session: &SessionId) {
        for role in [Role::Publish, Role::Play] {
            self.entries.remove(&(session.clone(), role));
        }
    }

    fn make_room(&mut self) {
        if self.entries.len() < METERS_MAX {
            return;
        }
        let ends = self
            .entries
            .iter()
            .map(|(key, entry)| (entry.lease_end, key));
        if let Some(key) = ends.min().map(|(_, key)| key.clone()) {
            self.entries.remove(&key);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn session(number: u128) -> SessionId {
        SessionId::from_u128(number)
    }

    fn meter(meters: &mut Meters, number: u128, bytes_max: u64) -> Meter {
        let meter = meters.meter(&session(number), Role::Play, Some(bytes_max), UnixMillis(9));
        meter.expect("it has a bound")
    }

    #[test]
    fn a_session_has_its_bytes_once_however_often_it_calls() {
        let mut meters = Meters::new();
        let first = meter(&mut meters, 1, 1000);
        assert!(first.spend(600));
        let second = meter(&mut meters, 1, 1000);
        assert!(second.spend(400));
        assert!(first.is_used_up() && second.is_used_up());
        assert!(!first.spend(1));
        let publisher = meters.meter(&session(1), Role::Publish, Some(1000), UnixMillis(9));
        assert!(publisher.expect("it has a bound").spend(1000), "its own");
    }

    #[test]
    fn the_packet_that_does_not_fit_uses_up_the_rest() {
        let meter = meter(&mut Meters::new(), 1, 1000);
        assert!(meter.spend(900));
        assert!(!meter.spend(101));
        assert!(meter.is_used_up());
    }

    #[test]
    fn a_renewed_lease_counts_on_for_those_connected_too() {
        let mut meters = Meters::new();
        let connected = meter(&mut meters, 1, 100);
        assert!(!connected.spend(101));
        meter(&mut meters, 1, 300);
        assert!(connected.spend(200));
        assert!(connected.is_used_up());
        meters.meter(&session(1), Role::Play, None, UnixMillis(9));
        assert!(connected.spend(1 << 40));
        assert!(
            meters
                .meter(&session(2), Role::Play, None, UnixMillis(9))
                .is_none()
        );
    }

    #[test]
    fn the_table_is_bounded_and_forgets_what_ends_first() {
        let mut meters = Meters::new();
        for number in 0..METERS_MAX as u128 {
            let lease_end = UnixMillis(if number == 7 { 1 } else { 9 });
            let meter = meters.meter(&session(number), Role::Play, Some(10), lease_end);
            assert!(meter.is_some_and(|meter| meter.spend(10)));
        }
        meter(&mut meters, 1 << 90, 10);
        assert_eq!(meters.entries.len(), METERS_MAX);
        assert!(meter(&mut meters, 8, 10).is_used_up());
        assert!(!meter(&mut meters, 7, 10).is_used_up());
    }
}
