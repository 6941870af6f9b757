//! Groups that move to the shard of their SRT session.

use std::net::SocketAddr;
use std::time::Instant;

use crate::group::{Group, GroupId};
use crate::link::Link;
use crate::places::GroupKey;
use crate::registry::{LinkKey, Owner, Registry};

/// A group on its way from one shard to another, with its links and all they have counted.
#[derive(Debug)]
pub struct MovedGroup {
    group: Group,
}

impl MovedGroup {
    /// The group's name, which stays the same.
    #[must_use]
    pub const fn id(&self) -> GroupId {
        self.group.id
    }

    /// The addresses of its links.
    pub fn peers(&self) -> impl Iterator<Item = SocketAddr> {
        self.group.live().map(|(_, link)| link.path.peer)
    }
}

impl Registry {
    /// Takes a group out, for `shard` to [`take_over`](Self::take_over). What still comes here for
    /// it is answered [`Handled::Elsewhere`](crate::Handled::Elsewhere). No event says so: nothing
    /// ended.
    pub fn hand_over(&mut self, group: GroupKey, shard: u16) -> Option<MovedGroup> {
        let group = self.take_group(group)?;
        for (_, link) in group.live() {
            self.addresses.remove(link.path.peer);
        }
        self.group_is_elsewhere(group.id, shard);
        for (_, link) in group.live() {
            self.link_is_elsewhere(link.path.peer, shard);
        }
        Some(MovedGroup { group })
    }

    /// Takes in a group of another shard, whatever the bounds for new groups say: the node has
    /// admitted it. Its links get numbers of this shard. The owner tells the other shards of
    /// [`MovedGroup::peers`]; until then the shard that gave the group away passes things on.
    pub fn take_over(&mut self, now: Instant, moved: MovedGroup) -> GroupKey {
        let mut group = moved.group;
        self.group_is_here(group.id);
        let links: Vec<Option<Link>> = std::mem::take(&mut group.links);
        let key = self.insert_group(group);
        for mut link in links.into_iter().flatten() {
            link.number = self.links_made;
            self.links_made += 1;
            self.take_over_link(key, link);
        }
        self.sweep_by(now + self.config.link_timeout);
        key
    }

    fn take_over_link(&mut self, key: GroupKey, link: Link) {
        let peer = link.path.peer;
        self.link_is_gone_elsewhere(peer);
        let Some(group) = self.group_mut(key) else {
            return;
        };
        let slot = group.insert(link);
        let owner = Owner::Here(LinkKey {
            group: key,
            slot: slot as u16,
        });
        if !self.addresses.insert(peer, owner) {
            self.group_mut(key).and_then(|group| group.remove(slot));
        }
    }

    /// Another shard has this link; ignored beyond
    /// [`Config::elsewhere_max`](crate::Config::elsewhere_max), and when it is ours.
    pub fn link_is_elsewhere(&mut self, peer: SocketAddr, shard: u16) {
        self.strangers.forget(peer);
        let known = self.addresses.find(peer);
        let is_new = known.is_none();
        if matches!(known, Some(Owner::Here(_)))
            || (is_new && self.addresses_elsewhere >= self.config.elsewhere_max)
        {
            return;
        }
        let taken = self.addresses.insert(peer, Owner::Shard(shard));
        self.addresses_elsewhere += usize::from(is_new && taken);
    }

    /// Another shard's link is gone.
    pub fn link_is_gone_elsewhere(&mut self, peer: SocketAddr) {
        if matches!(self.addresses.find(peer), Some(Owner::Shard(_))) {
            self.addresses.remove(peer);
            self.addresses_elsewhere -= 1;
        }
    }

    /// Another shard has this group; ignored beyond
    /// [`Config::elsewhere_max`](crate::Config::elsewhere_max), and when it is ours.
    pub fn group_is_elsewhere(&mut self, id: GroupId, shard: u16) {
        let known = self.by_id.get(&id);
        let is_new = known.is_none();
        if matches!(known, Some(Owner::Here(_)))
            || (is_new && self.groups_elsewhere >= self.config.elsewhere_max)
        {
            return;
        }
        self.by_id.insert(id, Owner::Shard(shard));
        self.groups_elsewhere += usize::from(is_new);
    }

    /// Another shard's group is gone.
    pub fn group_is_gone_elsewhere(&mut self, id: GroupId) {
        self.group_is_here(id);
    }

    /// A source named a wrong key at another shard, which says so once for each time. It is kept
    /// out of this shard as well when it keeps guessing, and forgotten as
    /// [`throttle::Settings::sources_max`](crate::throttle::Settings::sources_max) says.
    pub fn source_failed_elsewhere(&mut self, now: Instant, peer: SocketAddr) {
        // Whether that blocks it is counted where it failed.
        let _blocks = self.throttle.failed(now, peer);
    }

    fn group_is_here(&mut self, id: GroupId) {
        if matches!(self.by_id.get(&id), Some(Owner::Shard(_))) {
            self.by_id.remove(&id);
            self.groups_elsewhere -= 1;
        }
    }

    /// The shard that has this address's link, when it is another one.
    #[must_use]
    pub fn elsewhere(&self, peer: SocketAddr) -> Option<u16> {
        match self.addresses.find(peer)? {
            Owner::Shard(shard) => Some(shard),
            Owner::Here(_) => None,
        }
    }
}
