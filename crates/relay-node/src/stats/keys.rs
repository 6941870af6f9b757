//! Which session a play key is of: what the leases of this node say.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use model::SessionId;
use model::node::HeldLease;
use relay_core::Assignment;
use sha2::{Digest as _, Sha256};

/// Seconds that a session may be missing from what the data threads hold: a new one
/// is known here before the next sample has it.
const MISSED_MAX: u8 = 3;

/// The hash of a key: keys are looked up by it, and not kept. So neither the time
/// of a look-up nor this table tells anything about a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct KeyDigest([u8; 32]);

impl KeyDigest {
    /// Of any text: one that is no key has no session.
    pub(crate) fn of(text: &str) -> Self {
        Self(Sha256::digest(text.as_bytes()).into())
    }
}

/// The play keys of the sessions here. Publish keys are not among them.
#[derive(Clone, Default)]
pub(crate) struct PlayKeys(Arc<Mutex<Table>>);

#[derive(Default)]
struct Table {
    by_key: HashMap<KeyDigest, SessionId>,
    by_session: BTreeMap<SessionId, Entry>,
}

struct Entry {
    digest: KeyDigest,
    missed: u8,
}

impl PlayKeys {
    /// The session whose play key has this digest.
    pub(crate) fn find(&self, digest: &KeyDigest) -> Option<SessionId> {
        self.table().by_key.get(digest).cloned()
    }

    /// A session was assigned, or anew. Of two sessions with one key it is the newer
    /// that counts, as it is for players.
    pub(crate) fn assigned(&self, assignment: &Assignment) {
        self.table().assign(assignment);
    }

    /// These are all sessions that there should be.
    pub(crate) fn resynced(&self, assignments: &[Assignment]) {
        let mut table = Table::default();
        assignments.iter().for_each(|one| table.assign(one));
        *self.table() = table;
    }

    /// A session was taken back.
    pub(crate) fn revoked(&self, session: &SessionId) {
        self.table().remove(session);
    }

    /// Forgets sessions that have ended by themselves, once a second.
    pub(crate) fn keep_held(&self, held: &[HeldLease]) {
        let held: BTreeSet<_> = held.iter().map(|lease| &lease.session_id).collect();
        let mut table = self.table();
        let mut gone = Vec::new();
        for (session, entry) in &mut table.by_session {
            entry.missed = if held.contains(session) {
                0
            } else {
                entry.missed + 1
            };
            if entry.missed >= MISSED_MAX {
                gone.push(session.clone());
            }
        }
        gone.iter().for_each(|session| table.remove(session));
    }

    fn table(&self) -> MutexGuard<'_, Table> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Table {
    fn assign(&mut self, assignment: &Assignment) {
        let session = &assignment.session;
        self.remove(session);
        let Some(play) = &assignment.play else {
            return;
        };
        let digest = KeyDigest::of(play.key.expose());
        self.by_key.insert(digest, session.clone());
        let entry = Entry { digest, missed: 0 };
        self.by_session.insert(session.clone(), entry);
    }

    fn remove(&mut self, session: &SessionId) {
        let Some(entry) = self.by_session.remove(session) else {
            return;
        };
        if self.by_key.get(&entry.digest) == Some(session) {
            self.by_key.remove(&entry.digest);
        }
    }
}

#[cfg(test)]
mod tests {
    use model::StreamKey;
    use relay_core::KeyedLease;

    use super::*;

    const PUBLISH: u8 = 0x10;

    fn key(byte: u8) -> StreamKey {
        StreamKey::from_bytes([byte; 16])
    }

    fn assignment(session: u128, play: u8) -> Assignment {
        let keyed = |byte| {
            Some(KeyedLease {
                key: key(byte),
                lease: String::new(),
                passphrase: None,
            })
        };
        Assignment {
            session: SessionId::from_u128(session),
            publish: keyed(PUBLISH | play),
            play: keyed(play),
            pull: None,
            push: Vec::new(),
        }
    }

    fn found(keys: &PlayKeys, byte: u8) -> Option<SessionId> {
        keys.find(&KeyDigest::of(key(byte).expose()))
    }

    fn held(session: u128) -> HeldLease {
        HeldLease {
            session_id: SessionId::from_u128(session),
            publishing: false,
            players: 0,
            pulled: false,
            ingress_bytes: 0,
            egress_bytes: 0,
            publisher_rtt_us: None,
        }
    }

    #[test]
    fn a_play_key_finds_its_session_and_a_publish_key_none() {
        let keys = PlayKeys::default();
        keys.assigned(&assignment(1, 1));
        keys.assigned(&assignment(2, 2));
        assert_eq!(found(&keys, 1), Some(SessionId::from_u128(1)));
        assert_eq!(found(&keys, 2), Some(SessionId::from_u128(2)));
        assert_eq!(found(&keys, PUBLISH | 1), None);
        assert_eq!(keys.find(&KeyDigest::of("")), None);
    }

    #[test]
    fn keys_go_with_their_sessions() {
        let keys = PlayKeys::default();
        keys.assigned(&assignment(1, 1));
        keys.assigned(&assignment(1, 2));
        assert_eq!(found(&keys, 1), None, "the session has another key now");
        keys.revoked(&SessionId::from_u128(1));
        assert_eq!(found(&keys, 2), None);
        keys.assigned(&assignment(3, 3));
        keys.resynced(&[assignment(4, 4)]);
        assert_eq!(found(&keys, 3), None);
        assert_eq!(found(&keys, 4), Some(SessionId::from_u128(4)));
        assert_eq!(keys.table().by_session.len(), 1);
    }

    #[test]
    fn of_two_sessions_with_one_key_the_newer_counts() {
        let keys = PlayKeys::default();
        keys.assigned(&assignment(1, 1));
        keys.assigned(&assignment(2, 1));
        assert_eq!(found(&keys, 1), Some(SessionId::from_u128(2)));
        keys.revoked(&SessionId::from_u128(1));
        assert_eq!(found(&keys, 1), Some(SessionId::from_u128(2)));
    }

    #[test]
    fn a_session_that_ended_by_itself_is_forgotten() {
        let keys = PlayKeys::default();
        keys.assigned(&assignment(1, 1));
        keys.keep_held(&[]);
        keys.keep_held(&[]);
        assert!(found(&keys, 1).is_some(), "no sample may have it yet");
        keys.keep_held(&[held(1)]);
        keys.keep_held(&[]);
        keys.keep_held(&[]);
        assert!(found(&keys, 1).is_some());
        keys.keep_held(&[held(2)]);
        assert!(found(&keys, 1).is_none());
        assert!(keys.table().by_session.is_empty());
    }
}
