//! The groups and links of a shard, and the calls that drive them.

use std::collections::{BTreeMap, VecDeque};
use std::hash::Hasher;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use siphasher::sip::SipHasher24;
use srt::SeqRange;
use srt::packet::DataHeader;
use srt::receiver::Arrival;

use crate::address::Table;
use crate::group::Group;
use crate::id::{Ids, Tag};
use crate::packet::{self, ACK_LEN, KeepAlive, Packet, REPLY_LEN_MAX};
use crate::places::{GroupKey, Places};
use crate::reorder::{self, Gap};
use crate::strangers::Strangers;
use crate::throttle::Throttle;
use crate::{Config, Counters, DropReason, GroupEnd, GroupId, LinkEnd, LinkSample, Path, Refusal};

/// Links are looked over no more often than this, however their timeouts are spread.
const SWEEP_INTERVAL_MIN: Duration = Duration::from_millis(100);

/// A link of a group.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LinkKey {
    /// Its group.
    pub group: GroupKey,
    pub(crate) slot: u16,
}

/// What is to be done about a control packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Handled {
    /// So many bytes of the reply buffer go back where the packet came from.
    Reply(usize),
    /// This shard has the group: hand the packet over.
    Elsewhere(u16),
}

/// What happened to groups and links.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Event {
    /// A group was founded.
    GroupOpened {
        /// Its key.
        group: GroupKey,
        /// Its name.
        id: GroupId,
    },
    /// A link joined its group.
    LinkJoined {
        /// The link.
        link: LinkKey,
        /// The group's name.
        id: GroupId,
        /// Where it comes from.
        peer: SocketAddr,
    },
    /// A link is gone.
    LinkLeft {
        /// The group's name.
        id: GroupId,
        /// Where it came from.
        peer: SocketAddr,
        /// Why.
        end: LinkEnd,
    },
    /// SRTLA from an address that is no link's, not oftener than twice a second: the shard that
    /// takes SRT handshakes needs to know ([`Registry::note_stranger`]).
    StrangerHeard {
        /// The address.
        peer: SocketAddr,
    },
    /// A source named a wrong key: the other shards count it too
    /// ([`Registry::source_failed_elsewhere`]), so that a source has no more guesses at a node of
    /// many shards.
    SourceFailed {
        /// An address of the source.
        peer: SocketAddr,
    },
    /// A group is gone, after all its links.
    GroupClosed {
        /// Its key, which finds nothing any more.
        group: GroupKey,
        /// Its name.
        id: GroupId,
        /// Why.
        end: GroupEnd,
    },
}

/// Who has an address or an id: a link or group of ours, or another shard.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Owner<T> {
    Here(T),
    Shard(u16),
}

/// The SRTLA groups of a node, or of one of its shards.
///
/// - Calls that change it: [`handle_control`](Self::handle_control),
///   [`handle_srt`](Self::handle_srt), [`handle_data`](Self::handle_data),
///   [`handle_lost`](Self::handle_lost), [`handle_timeout`](Self::handle_timeout), and what the
///   owner of the SRT session knows: [`session_started`](Self::session_started),
///   [`session_ended`](Self::session_ended), [`refuse`](Self::refuse), [`close`](Self::close).
/// - After one or more of those: drain [`poll_event`](Self::poll_event), then ask
///   [`poll_timeout`](Self::poll_timeout) when to call again.
/// - Getters may be called at any time.
#[derive(Debug)]
pub struct Registry {
    pub(crate) config: Config,
    pub(crate) ids: Unshown<Ids>,
    name_key: Unshown<[u8; 16]>,
    epoch: Instant,
    places: Places,
    pub(crate) by_id: BTreeMap<GroupId, Owner<GroupKey>>,
    pub(crate) addresses: Table<Owner<LinkKey>>,
    /// Addresses and groups of ours that are on other shards.
    pub(crate) addresses_elsewhere: usize,
    pub(crate) groups_elsewhere: usize,
    pub(crate) throttle: Throttle,
    pub(crate) strangers: Strangers,
    sweep_at: Option<Instant>,
    pub(crate) links_made: u64,
    pub(crate) events: VecDeque<Event>,
    pub(crate) counters: Counters,
}

/// A secret's holder: `Debug` shows nothing of it.
pub(crate) struct Unshown<T>(pub(crate) T);

impl<T> std::fmt::Debug for Unshown<T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("..")
    }
}

impl Registry {
    /// Makes a registry without groups. `key` must be secret and new for each start; the shards of
    /// a node share it, and `epoch`.
    #[must_use]
    pub fn new(config: Config, key: [u8; 32], epoch: Instant) -> Self {
        let config = config.bounded();
        let ids = Ids::new(&key, epoch);
        let addresses_max = config.groups_max * config.links_max + config.elsewhere_max;
        Self {
            name_key: Unshown(ids.derive(b"name")),
            addresses: Table::new(ids.derive(b"addresses"), addresses_max),
            strangers: Strangers::new(ids.derive(b"strangers")),
            ids: Unshown(ids),
            epoch,
            places: Places::default(),
            by_id: BTreeMap::new(),
            addresses_elsewhere: 0,
            groups_elsewhere: 0,
            throttle: Throttle::new(config.throttle),
            sweep_at: None,
            links_made: 0,
            events: VecDeque::new(),
            counters: Counters::default(),
            config,
        }
    }

    /// Takes an SRTLA packet; its reply, if any, is written to `out`.
    ///
    /// # Errors
    /// When the packet has no effect; it is counted.
    pub fn handle_control(
        &mut self,
        now: Instant,
        path: Path,
        datagram: &[u8],
        out: &mut [u8; REPLY_LEN_MAX],
    ) -> Result<Handled, DropReason> {
        let handled = match Packet::parse(datagram) {
            Ok(Packet::Reg1(id)) => Ok(self.handle_reg1(now, path, id, out)),
            Ok(Packet::Reg2(id)) => Ok(self.handle_reg2(now, path, id, out)),
            Ok(Packet::KeepAlive(keepalive)) => self.handle_keepalive(now, path, keepalive, out),
            Ok(_) => Err(DropReason::NotForReceivers),
            Err(_) => Err(DropReason::Malformed),
        };
        if let Err(reason) = handled {
            self.counters.dropped[reason.index()] += 1;
        }
        handled
    }

    fn handle_keepalive(
        &mut self,
        now: Instant,
        path: Path,
        keepalive: KeepAlive<'_>,
        out: &mut [u8],
    ) -> Result<Handled, DropReason> {
        let key = match self.addresses.find(path.peer) {
            Some(Owner::Here(key)) => key,
            Some(Owner::Shard(shard)) => return Ok(Handled::Elsewhere(shard)),
            None => {
                self.note_stranger(now, path.peer);
                return Err(DropReason::UnknownLink);
            }
        };
        let group = self.group_mut(key.group).ok_or(DropReason::UnknownLink)?;
        let link = group
            .heard(now, usize::from(key.slot), path)
            .ok_or(DropReason::UnknownLink)?;
        if let Some(info) = keepalive.info() {
            link.handle_info(now, info);
        }
        self.counters.keepalives += 1;
        Ok(Handled::Reply(packet::keepalive_echo(out, keepalive)))
    }

    /// Remembers that this address speaks SRTLA and is nobody's link.
    pub fn note_stranger(&mut self, now: Instant, peer: SocketAddr) {
        if self.strangers.note(now, peer) {
            self.report(Event::StrangerHeard { peer });
        }
    }

    /// Whether this address spoke SRTLA in the last three seconds and is nobody's link.
    #[must_use]
    pub fn is_stranger(&self, now: Instant, peer: SocketAddr) -> bool {
        self.strangers.contains(now, peer)
    }

    /// Notes an SRT packet of `length` bytes; returns the link that it came on, and `None` when it
    /// came from nobody's: a plain SRT peer.
    pub fn handle_srt(&mut self, now: Instant, path: Path, length: usize) -> Option<LinkKey> {
        let key = self.find(path.peer)?;
        let group = self.group_mut(key.group)?;
        group.handle_srt(now, usize::from(key.slot), path, length);
        Some(key)
    }

    /// Whose link this address is.
    #[must_use]
    pub fn find(&self, peer: SocketAddr) -> Option<LinkKey> {
        match self.addresses.find(peer)? {
            Owner::Here(key) => Some(key),
            Owner::Shard(_) => None,
        }
    }

    /// Notes a data packet of the group's session, and what the session's receiver made of it.
    /// Returns an acknowledgement to send back on the same link, after every tenth packet.
    pub fn handle_data(
        &mut self,
        now: Instant,
        link: LinkKey,
        header: &DataHeader,
        arrival: Arrival,
    ) -> Option<[u8; ACK_LEN]> {
        let elapsed = now.saturating_duration_since(self.epoch);
        let slot = usize::from(link.slot);
        let group = self.group_mut(link.group)?;
        let ack = group.handle_data(now, elapsed, slot, header, arrival);
        self.counters.acks += u64::from(ack.is_some());
        ack
    }

    /// Notes packets that the session's receiver reports missing. Repeated reports count once.
    pub fn handle_lost(&mut self, now: Instant, group: GroupKey, range: SeqRange) {
        if let Some(group) = self.group_mut(group) {
            group.handle_lost(now, range);
        }
    }

    /// An SRT session began in the group: the first, or another one of the same sender.
    pub fn session_started(&mut self, now: Instant, group: GroupKey) {
        if let Some(group) = self.group_mut(group) {
            group.start_session(now);
        }
    }

    /// The group's SRT session ended; the links stay for the next one.
    pub fn session_ended(&mut self, group: GroupKey) {
        if let Some(group) = self.group_mut(group) {
            group.end_session();
        }
    }

    /// The group's stream was refused: the group is closed. When `is_guess`, because the key was
    /// wrong, it also counts against the source: whoever keeps guessing is kept out for a while.
    pub fn refuse(&mut self, now: Instant, link: LinkKey, is_guess: bool) {
        let slot = usize::from(link.slot);
        let peer = self
            .group(link.group)
            .and_then(|group| Some(group.link(slot)?.path.peer));
        let Some(peer) = peer.filter(|_| is_guess) else {
            return self.end_group(link.group, GroupEnd::Refused);
        };
        self.end_group(link.group, GroupEnd::Refused);
        let blocks = self.throttle.failed(now, peer);
        self.counters.sources_blocked += u64::from(blocks);
        self.report(Event::SourceFailed { peer });
    }

    /// Closes the group.
    pub fn close(&mut self, group: GroupKey) {
        self.end_group(group, GroupEnd::Closed);
    }

    /// Closes every group that has a link from one of these addresses.
    pub fn close_groups_from(&mut self, is_meant: impl Fn(SocketAddr) -> bool) {
        let groups = self.iter().filter(|(_, group)| {
            let mut links = group.live();
            links.any(|(_, link)| is_meant(link.path.peer))
        });
        let groups: Vec<GroupKey> = groups.map(|(key, _)| key).collect();
        for group in groups {
            self.end_group(group, GroupEnd::Closed);
        }
    }

    /// Drops links and groups that were silent for too long.
    pub fn handle_timeout(&mut self, now: Instant) {
        if self.sweep_at.is_none_or(|at| now < at) {
            return;
        }
        self.sweep_at = None;
        for place in 0..self.places.capacity() {
            if let Some(key) = self.places.key_at(place) {
                self.sweep(now, key);
            }
        }
    }

    fn sweep(&mut self, now: Instant, key: GroupKey) {
        let (link_timeout, group_timeout) = (self.config.link_timeout, self.config.group_timeout);
        let Some(group) = self.group(key) else {
            return;
        };
        if now >= group.active_at + group_timeout {
            return self.end_group(key, GroupEnd::TimedOut);
        }
        let mut next = group.active_at + group_timeout;
        for slot in 0..group.links.len() {
            let heard_at = self
                .group(key)
                .and_then(|group| Some(group.link(slot)?.heard_at));
            match heard_at.map(|at| at + link_timeout) {
                Some(at) if at <= now => self.end_link(key, slot, LinkEnd::TimedOut),
                Some(at) => next = next.min(at),
                None => {}
            }
        }
        self.sweep_by(next.max(now + SWEEP_INTERVAL_MIN));
    }

    pub(crate) fn sweep_by(&mut self, at: Instant) {
        self.sweep_at = Some(self.sweep_at.map_or(at, |other| other.min(at)));
    }

    /// When [`handle_timeout`](Self::handle_timeout) is due; `None`: never.
    #[must_use]
    pub const fn poll_timeout(&self) -> Option<Instant> {
        self.sweep_at
    }

    /// The next thing that happened.
    pub fn poll_event(&mut self) -> Option<Event> {
        self.events.pop_front()
    }

    /// The paths of all links of a group: for SRT acknowledgements and loss reports.
    pub fn broadcast(&self, group: GroupKey) -> impl Iterator<Item = Path> {
        let links = self.group(group).into_iter().flat_map(Group::live);
        links.map(|(_, link)| link.path)
    }

    /// The path for every other SRT packet: that of the last SRT packet, or of the link heard last
    /// when that one has gone silent.
    #[must_use]
    pub fn reply_path(&self, now: Instant, group: GroupKey) -> Option<Path> {
        self.group(group)?.reply_path(now)
    }

    /// Until when the group's receiver waits before it reports the gap; see [`reorder`].
    #[must_use]
    pub fn hold_until(
        &self,
        now: Instant,
        group: GroupKey,
        settings: &reorder::Settings,
        gap: &Gap,
    ) -> Instant {
        self.group(group)
            .map_or(gap.opened_at, |group| group.hold_until(settings, now, gap))
    }

    /// The group's name.
    #[must_use]
    pub fn id(&self, group: GroupKey) -> Option<GroupId> {
        Some(self.group(group)?.id)
    }

    /// A sample of every link of the group.
    #[must_use]
    pub fn samples(&mut self, now: Instant, group: GroupKey) -> Vec<LinkSample> {
        self.group_mut(group)
            .map_or_else(Vec::new, |group| group.samples(now))
    }

    /// Groups held here.
    #[must_use]
    pub fn groups(&self) -> usize {
        self.places.len()
    }

    /// Links held here.
    #[must_use]
    pub fn links(&self) -> usize {
        self.iter().map(|(_, group)| group.live().count()).sum()
    }

    /// Counts since the registry was made.
    #[must_use]
    pub const fn counters(&self) -> &Counters {
        &self.counters
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (GroupKey, &Group)> {
        self.places.iter()
    }

    pub(crate) fn group(&self, key: GroupKey) -> Option<&Group> {
        self.places.group(key)
    }

    pub(crate) fn group_mut(&mut self, key: GroupKey) -> Option<&mut Group> {
        self.places.group_mut(key)
    }

    pub(crate) fn name(&self, tag: &Tag) -> GroupId {
        let mut hasher = SipHasher24::new_with_key(&self.name_key.0);
        hasher.write(tag.bytes());
        GroupId(hasher.finish())
    }

    pub(crate) fn insert_group(&mut self, group: Group) -> GroupKey {
        let id = group.id;
        let key = self.places.insert(group);
        self.by_id.insert(id, Owner::Here(key));
        key
    }

    pub(crate) fn take_group(&mut self, key: GroupKey) -> Option<Group> {
        let group = self.places.take(key)?;
        self.by_id.remove(&group.id);
        if self.places.len() == 0 {
            self.sweep_at = None;
        }
        Some(group)
    }

    pub(crate) fn end_group(&mut self, key: GroupKey, end: GroupEnd) {
        let slots = self.group(key).map_or(0, |group| group.links.len());
        for slot in 0..slots {
            self.end_link(key, slot, LinkEnd::GroupClosed);
        }
        if let Some(group) = self.take_group(key) {
            self.counters.groups_ended[end.index()] += 1;
            let id = group.id;
            self.report(Event::GroupClosed {
                group: key,
                id,
                end,
            });
        }
    }

    pub(crate) fn end_link(&mut self, key: GroupKey, slot: usize, end: LinkEnd) {
        let Some(group) = self.group_mut(key) else {
            return;
        };
        let (id, link) = (group.id, group.remove(slot));
        if let Some(link) = link {
            let peer = link.path.peer;
            self.addresses.remove(peer);
            self.counters.links_ended[end.index()] += 1;
            self.report(Event::LinkLeft { id, peer, end });
        }
    }

    pub(crate) fn report(&mut self, event: Event) {
        self.events.push_back(event);
    }

    pub(crate) fn count_refusal(&mut self, refusal: Refusal) {
        self.counters.refused[refusal.index()] += 1;
    }
}
