//! Group ids that prove themselves, so that a request for one leaves nothing behind.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

use crate::packet::ID_LEN;

const HALF: usize = ID_LEN / 2;
const PERIOD: Duration = Duration::from_secs(60);
const PERIOD_AT: usize = HALF;
const ORIGIN_AT: usize = PERIOD_AT + 4;
const TAG_AT: usize = ORIGIN_AT + ORIGIN_LEN;
const ORIGIN_LEN: usize = 28;
const TAG_LEN: usize = 32;

/// What a group is found by: the tag of its id. Only a verified id has one.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Tag([u8; TAG_LEN]);

impl Tag {
    pub(crate) const fn bytes(&self) -> &[u8; TAG_LEN] {
        &self.0
    }
}

/// It admits links: never shown.
impl std::fmt::Debug for Tag {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("..")
    }
}

/// Makes and checks group ids under one key, keeping nothing.
///
/// ```text
/// 0       128       132              160                 192             256
/// │ sender │ minute │ origin, 28 B   │ tag, 32 B         │ zeros         │
/// │        │  u32   │ PRF(address,   │ MAC(sender,       │               │
/// │        │        │     minute)    │  minute, origin)  │               │
/// ```
///
/// The same request from the same address in the same minute gets the same id, so a repeated REG1
/// costs nothing and does no harm. The origin keeps senders apart whose own halves are equal. An id
/// can found a group in its minute and the next; a group that exists is found by its id for ever.
#[derive(Clone)]
pub(crate) struct Ids {
    mac: Hmac<Sha256>,
    epoch: Instant,
}

impl Ids {
    /// `key` must be secret, new at each start, and the same on all shards of a node, as `epoch`.
    pub(crate) fn new(key: &[u8; 32], epoch: Instant) -> Self {
        let mac = Hmac::new_from_slice(key).expect("HMAC takes a key of any length");
        Self { mac, epoch }
    }

    /// The id for a sender that asked for one from `from`.
    pub(crate) fn issue(
        &self,
        now: Instant,
        from: SocketAddr,
        asked: &[u8; ID_LEN],
    ) -> [u8; ID_LEN] {
        let minute = self.minute(now).to_be_bytes();
        let mut id = [0; ID_LEN];
        id[..HALF].copy_from_slice(&asked[..HALF]);
        id[PERIOD_AT..ORIGIN_AT].copy_from_slice(&minute);
        let origin = self.origin(from, minute);
        id[ORIGIN_AT..TAG_AT].copy_from_slice(&origin[..ORIGIN_LEN]);
        let tag: [u8; TAG_LEN] = self.tag(&id).finalize().into_bytes().into();
        id[TAG_AT..TAG_AT + TAG_LEN].copy_from_slice(&tag);
        id
    }

    /// The tag of an id that was issued here; compared in constant time.
    pub(crate) fn verify(&self, id: &[u8; ID_LEN]) -> Option<Tag> {
        let (head, rest) = id.split_at(TAG_AT + TAG_LEN);
        let tag: [u8; TAG_LEN] = head[TAG_AT..].try_into().ok()?;
        let is_ours = self.tag(id).verify_slice(&tag).is_ok();
        (is_ours && rest.iter().all(|byte| *byte == 0)).then_some(Tag(tag))
    }

    /// Whether a verified id may still found a group.
    pub(crate) fn is_fresh(&self, now: Instant, id: &[u8; ID_LEN]) -> bool {
        let minute = id[PERIOD_AT..].first_chunk().copied();
        minute.is_some_and(|minute| self.minute(now).wrapping_sub(u32::from_be_bytes(minute)) <= 1)
    }

    fn minute(&self, now: Instant) -> u32 {
        let elapsed = now.saturating_duration_since(self.epoch);
        (elapsed.as_secs() / PERIOD.as_secs()) as u32
    }

    fn origin(&self, from: SocketAddr, minute: [u8; 4]) -> [u8; 32] {
        let address = crate::address::Key::new(from);
        let mac = self.mac.clone().chain_update(b"origin");
        let mac = mac.chain_update(address.to_bytes()).chain_update(minute);
        mac.finalize().into_bytes().into()
    }

    fn tag(&self, id: &[u8; ID_LEN]) -> Hmac<Sha256> {
        self.mac
            .clone()
            .chain_update(b"tag")
            .chain_update(&id[..TAG_AT])
    }

    /// Another secret from the same key.
    pub(crate) fn derive(&self, purpose: &[u8]) -> [u8; 16] {
        let mac = self.mac.clone().chain_update(b"derive");
        let bytes: [u8; 32] = mac.chain_update(purpose).finalize().into_bytes().into();
        let mut key = [0; 16];
        key.copy_from_slice(&bytes[..16]);
        key
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::start;

    const FROM: &str = "192.0.2.1:5000";

    fn ids(key: u8) -> Ids {
        Ids::new(&[key; 32], start())
    }

    fn issue(ids: &Ids, at_s: u64, from: &str, half: u8) -> [u8; ID_LEN] {
        let now = start() + Duration::from_secs(at_s);
        ids.issue(now, from.parse().unwrap(), &[half; ID_LEN])
    }

    #[test]
    fn an_id_keeps_the_senders_half_and_proves_ours() {
        let id = issue(&ids(1), 0, FROM, 9);
        assert_eq!(id[..HALF], [9; HALF]);
        assert!(ids(1).verify(&id).is_some());
        assert!(ids(2).verify(&id).is_none(), "another key's");
    }

    #[test]
    fn a_change_of_any_byte_is_noticed() {
        let ids = ids(1);
        let id = issue(&ids, 0, FROM, 9);
        for at in 0..ID_LEN {
            let mut forged = id;
            forged[at] ^= 1;
            assert!(ids.verify(&forged).is_none(), "byte {at}");
        }
    }

    #[test]
    fn a_repeated_request_gets_the_same_id_and_others_do_not() {
        let ids = ids(1);
        let id = issue(&ids, 0, FROM, 9);
        assert_eq!(issue(&ids, 59, FROM, 9), id);
        assert_ne!(issue(&ids, 60, FROM, 9), id);
        assert_ne!(issue(&ids, 0, "192.0.2.1:5001", 9), id);
        assert_ne!(issue(&ids, 0, FROM, 8), id);
        assert_eq!(issue(&ids, 0, "[::ffff:192.0.2.1]:5000", 9), id);
    }

    #[test]
    fn an_id_founds_a_group_for_a_minute_or_two() {
        let ids = ids(1);
        let id = issue(&ids, 59, FROM, 9);
        let is_fresh = |at_s| ids.is_fresh(start() + Duration::from_secs(at_s), &id);
        assert!(is_fresh(59) && is_fresh(119));
        assert!(!is_fresh(120) && !is_fresh(100_000));
    }
}
