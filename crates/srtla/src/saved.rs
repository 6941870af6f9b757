//! Groups that outlive their node's process: what is written down of them, and how they return.
//!
//! A sender does not notice a restart for four to six seconds. When its links are links again
//! before that, it never does: no registration is lost and its SRT connection goes on.

use std::net::{IpAddr, SocketAddr};
use std::time::Instant;

use serde::{Deserialize, Serialize};

use crate::group::{Group, GroupId};
use crate::places::GroupKey;
use crate::registry::{Event, Owner, Registry};
use crate::{Path, Refusal};

/// A group as it is written down: who it is, and where its links come from. What was measured of
/// them is not: it is measured anew within seconds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SavedGroup {
    /// Its name, [`GroupId`].
    pub id: u64,
    founder: SocketAddr,
    links: Vec<SavedLink>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct SavedLink {
    number: u64,
    peer: SocketAddr,
    local_ip: Option<IpAddr>,
    socket: u8,
}

impl Registry {
    /// What to write down of a group, for [`resume`](Self::resume).
    #[must_use]
    pub fn save(&self, group: GroupKey) -> Option<SavedGroup> {
        let group = self.group(group)?;
        let links = group.live().map(|(_, link)| SavedLink {
            number: link.number,
            peer: link.path.peer,
            local_ip: link.path.local_ip,
            socket: link.path.socket,
        });
        Some(SavedGroup {
            id: group.id.0,
            founder: group.founder,
            links: links.collect(),
        })
    }

    /// Takes a group in again that an earlier registry with the same key wrote down. Its sender's
    /// id admits links as before.
    ///
    /// # Errors
    /// When there is no room for it, or its name is taken.
    pub fn resume(&mut self, now: Instant, saved: &SavedGroup) -> Result<GroupKey, Refusal> {
        let id = GroupId(saved.id);
        if self.groups() >= self.config.groups_max {
            return Err(Refusal::GroupsFull);
        }
        if self.by_id.contains_key(&id) {
            return Err(Refusal::AddressTaken);
        }
        let key = self.insert_group(Group::new(id, saved.founder, now));
        self.counters.groups_opened += 1;
        self.report(Event::GroupOpened { group: key, id });
        for link in saved.links.iter().take(self.config.links_max) {
            self.resume_link(now, key, link);
        }
        self.sweep_by(now + self.config.link_timeout);
        Ok(key)
    }

    /// An address that is somebody's by now stays theirs.
    fn resume_link(&mut self, now: Instant, group: GroupKey, saved: &SavedLink) {
        let path = Path {
            peer: saved.peer,
            local_ip: saved.local_ip,
            socket: saved.socket,
        };
        if self.addresses.find(path.peer).is_none() {
            let _ = self.add_link(now, path, group, saved.number);
            self.links_made = self.links_made.max(saved.number.saturating_add(1));
        }
    }

    /// The group of this name, when it is here.
    #[must_use]
    pub fn key_of(&self, id: GroupId) -> Option<GroupKey> {
        match self.by_id.get(&id)? {
            Owner::Here(key) => Some(*key),
            Owner::Shard(_) => None,
        }
    }
}
