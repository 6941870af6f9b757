//! How groups are founded and links join them.
//!
//! ```text
//! sender                                   receiver
//!   │ REG1 (its half of an id)  ──────────▶ │ keeps nothing
//!   │ ◀──────────  REG2 (the whole id)      │
//!   │ REG2 on every link        ──────────▶ │ the first one founds the group, each adds its link
//!   │ ◀──────────  REG3 on every link       │
//! ```
//!
//! Most senders begin with a REG2 that carries an id of their own, and take the answer REG_NGP as
//! the sign that somebody listens: so it is sent to everybody, at once. After a restart of the
//! receiver, the same answer makes them begin anew.

use std::net::SocketAddr;
use std::time::Instant;

use crate::address::Prefix;
use crate::group::Group;
use crate::id::Tag;
use crate::link::Link;
use crate::packet::{self, ID_LEN, REG_ERR, REG_NGP, REG3};
use crate::places::GroupKey;
use crate::registry::{Event, Handled, LinkKey, Owner, Registry};
use crate::{GroupEnd, LinkEnd, Path, Refusal};

impl Registry {
    pub(crate) fn handle_reg1(
        &mut self,
        now: Instant,
        path: Path,
        asked: &[u8; ID_LEN],
        out: &mut [u8],
    ) -> Handled {
        let admitted = self
            .check_source(now, path)
            .and_then(|()| self.release(now, path))
            .and_then(|()| self.check_room(path));
        match admitted {
            Ok(()) => {
                self.counters.ids_issued += 1;
                let id = self.ids.0.issue(now, path.peer, asked);
                reply(out, &packet::reg2(&id))
            }
            Err(refusal) => self.refuse_registration(refusal, out),
        }
    }

    pub(crate) fn handle_reg2(
        &mut self,
        now: Instant,
        path: Path,
        id: &[u8; ID_LEN],
        out: &mut [u8],
    ) -> Handled {
        let group = match self.group_of(now, path, id) {
            Ok(Owner::Here(group)) => group,
            Ok(Owner::Shard(shard)) => return Handled::Elsewhere(shard),
            Err(refusal) => {
                self.strangers.note(now, path.peer);
                return self.refuse_registration(refusal, out);
            }
        };
        match self.join(now, path, group) {
            Ok(()) => reply(out, &REG3),
            Err(refusal) => self.refuse_registration(refusal, out),
        }
    }

    /// The group of an id: there already, or founded now.
    fn group_of(
        &mut self,
        now: Instant,
        path: Path,
        id: &[u8; ID_LEN],
    ) -> Result<Owner<GroupKey>, Refusal> {
        let tag = self.ids.0.verify(id).ok_or(Refusal::UnknownId)?;
        if let Some(owner) = self.by_id.get(&self.name(&tag)) {
            return Ok(*owner);
        }
        if !self.ids.0.is_fresh(now, id) {
            return Err(Refusal::UnknownId);
        }
        self.check_source(now, path)?;
        self.release(now, path)?;
        self.found(now, path, tag).map(Owner::Here)
    }

    fn found(&mut self, now: Instant, path: Path, tag: Tag) -> Result<GroupKey, Refusal> {
        self.check_room(path)?;
        self.make_room(path.peer);
        let id = self.name(&tag);
        let group = self.insert_group(Group::new(id, path.peer, now));
        self.counters.groups_opened += 1;
        self.report(Event::GroupOpened { group, id });
        self.sweep_by(now + self.config.link_timeout);
        Ok(group)
    }

    fn join(&mut self, now: Instant, path: Path, group: GroupKey) -> Result<(), Refusal> {
        if let Some(link) = self.find(path.peer).filter(|link| link.group == group) {
            if let Some(group) = self.group_mut(group) {
                group.heard(now, usize::from(link.slot), path);
            }
            self.counters.links_confirmed += 1;
            return Ok(());
        }
        self.release(now, path)?;
        self.make_link_room(now, group)?;
        self.add_link(now, path, group, self.links_made)
    }

    pub(crate) fn add_link(
        &mut self,
        now: Instant,
        path: Path,
        group: GroupKey,
        number: u64,
    ) -> Result<(), Refusal> {
        let members = self.group_mut(group).ok_or(Refusal::UnknownId)?;
        members.active_at = now;
        let (id, slot) = (members.id, members.insert(Link::new(number, path, now)));
        let link = LinkKey {
            group,
            slot: slot as u16,
        };
        if !self.addresses.insert(path.peer, Owner::Here(link)) {
            self.group_mut(group)
                .and_then(|members| members.remove(slot));
            return Err(Refusal::GroupsFull);
        }
        self.links_made += 1;
        self.counters.links_joined += 1;
        self.strangers.forget(path.peer);
        let peer = path.peer;
        self.report(Event::LinkJoined { link, id, peer });
        self.sweep_by(now + self.config.link_timeout);
        Ok(())
    }

    /// Frees an address that is a link's of another group, when that group is silent: its sender
    /// has started again, and asks for a new one behind the same port.
    fn release(&mut self, now: Instant, path: Path) -> Result<(), Refusal> {
        let link = match self.addresses.find(path.peer) {
            None => return Ok(()),
            Some(Owner::Shard(_)) => return Err(Refusal::AddressTaken),
            Some(Owner::Here(link)) => link,
        };
        let takeover_after = self.config.takeover_after;
        let heard = |group: &Group| now <= group.active_at + takeover_after;
        if self.group(link.group).is_some_and(heard) {
            return Err(Refusal::AddressTaken);
        }
        self.end_link(link.group, usize::from(link.slot), LinkEnd::TakenOver);
        Ok(())
    }

    fn check_source(&self, now: Instant, path: Path) -> Result<(), Refusal> {
        if self.throttle.is_blocked(now, path.peer) {
            return Err(Refusal::Throttled);
        }
        Ok(())
    }

    /// Whether a group of this source would find a place.
    fn check_room(&self, path: Path) -> Result<(), Refusal> {
        let is_full = self.groups() >= self.config.groups_max;
        if is_full && self.evictable(path.peer).is_none() {
            return Err(Refusal::GroupsFull);
        }
        Ok(())
    }

    /// Ends the group whose place a new one of this source takes, if it takes one.
    fn make_room(&mut self, source: SocketAddr) {
        if let Some(group) = self.evictable(source) {
            self.end_group(group, GroupEnd::Evicted);
        }
    }

    /// A source with too many groups without a session gives up its own oldest one; in a full
    /// table it is the one that was silent for longest, whosesoever.
    fn evictable(&self, source: SocketAddr) -> Option<GroupKey> {
        let source = Prefix::new(source);
        let idle = || self.iter().filter(|(_, group)| !group.has_session());
        let own = || idle().filter(|(_, group)| Prefix::new(group.founder) == source);
        let by_activity = |(_, group): &(GroupKey, &Group)| group.active_at;
        let evicted = if own().count() >= self.config.idle_groups_per_source_max {
            own().min_by_key(by_activity)
        } else if self.groups() >= self.config.groups_max {
            idle().min_by_key(by_activity)
        } else {
            None
        };
        evicted.map(|(key, _)| key)
    }

    /// A full group gives up a link that is silent: one whose port has changed comes back as a
    /// new link long before the old one times out.
    fn make_link_room(&mut self, now: Instant, group: GroupKey) -> Result<(), Refusal> {
        let members = self.group(group).ok_or(Refusal::UnknownId)?;
        if members.live().count() < self.config.links_max {
            return Ok(());
        }
        let stalest = members
            .stalest()
            .filter(|(_, link)| link.silent_for(now) > self.config.takeover_after)
            .map(|(slot, _)| slot);
        self.end_link(group, stalest.ok_or(Refusal::LinksFull)?, LinkEnd::Evicted);
        Ok(())
    }

    fn refuse_registration(&mut self, refusal: Refusal, out: &mut [u8]) -> Handled {
        self.count_refusal(refusal);
        match refusal {
            Refusal::UnknownId => reply(out, &REG_NGP),
            _ => reply(out, &REG_ERR),
        }
    }
}

fn reply(out: &mut [u8], packet: &[u8]) -> Handled {
    out[..packet.len()].copy_from_slice(packet);
    Handled::Reply(packet.len())
}
