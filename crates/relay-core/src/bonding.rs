//! Publishers that come over several links: SRTLA beside plain SRT.
//!
//! A group's publisher is a connection like any other. It is known by its group's
//! stand-in address instead of one of its own, its packets may come on any link,
//! and a [`Route`] says where its answers go. The group lives on the relay of its
//! stream: where it was founded elsewhere it follows its connection request.

use std::net::SocketAddr;
use std::time::Instant;

use srtla::packet::{REPLY_LEN_MAX, SRTLA_TYPE_REG1, SRTLA_TYPE_REG2};
use srtla::{GroupId, GroupKey, Handled, LinkKey, MovedGroup, Path};

use crate::Ingress;
use crate::connections::Leg;
use crate::reason::{DropReason, GoneReason, RefusalReason};
use crate::relay::Relay;
use crate::shard::News;

/// Where a connection's packets go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Route {
    /// To the one address that it comes from.
    Direct(Ingress),
    /// To one link of its group, or all.
    Group(GroupKey),
}

/// A link, and the path that a datagram took over it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct LinkPath {
    pub(crate) link: LinkKey,
    pub(crate) path: Ingress,
}

/// Where a handshake came from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Origin {
    /// The path it took; its answer goes back there.
    pub(crate) path: Ingress,
    /// What its caller is known by: its address, or its group's stand-in.
    pub(crate) address: SocketAddr,
    /// The link, when it came over one.
    pub(crate) link: Option<LinkKey>,
}

impl Origin {
    pub(crate) fn route(&self) -> Route {
        match self.link {
            Some(link) => Route::Group(link.group),
            None => Route::Direct(self.path),
        }
    }
}

impl From<Ingress> for Path {
    fn from(ingress: Ingress) -> Self {
        Self {
            peer: ingress.peer,
            local_ip: ingress.local_ip,
            socket: ingress.socket,
        }
    }
}

impl From<Path> for Ingress {
    fn from(path: Path) -> Self {
        Self {
            peer: path.peer,
            local_ip: path.local_ip,
            socket: path.socket,
        }
    }
}

const fn drop_reason(reason: srtla::DropReason) -> DropReason {
    match reason {
        srtla::DropReason::Malformed => DropReason::SrtlaMalformed,
        srtla::DropReason::UnknownLink => DropReason::SrtlaUnknownLink,
        srtla::DropReason::NotForReceivers => DropReason::SrtlaNotForReceivers,
    }
}

/// Whether the caller named a key that is none. Whoever tries one after another
/// is kept out; a full node or an old lease is nobody's guess.
const fn is_guess(reason: RefusalReason) -> bool {
    matches!(
        reason,
        RefusalReason::UnknownKey
            | RefusalReason::MalformedLease
            | RefusalReason::BadSignature
            | RefusalReason::BadSecret
    )
}

impl Relay {
    /// Takes a packet of SRTLA's own.
    pub(crate) fn handle_srtla(
        &mut self,
        now: Instant,
        ingress: Ingress,
        datagram: &[u8],
        hops: u8,
    ) -> Result<(), DropReason> {
        if usize::from(ingress.socket) >= self.config.sockets.len() {
            return Err(DropReason::UnknownPort);
        }
        if is_registration(datagram) && self.is_banned(ingress.peer) {
            return Err(DropReason::Banned);
        }
        if is_registration(datagram) && hops == 0 {
            // As for cookies: a source that floods us makes us work no more than that.
            if !self.may_answer_induction(now, ingress) {
                return Err(DropReason::HandshakeRate);
            }
            let home = self.config.shard.of_registration(datagram);
            if home != self.config.shard.index() {
                return self.output.hand_over(home, ingress, datagram, hops);
            }
        }
        let mut reply = [0; REPLY_LEN_MAX];
        let registry = &mut self.output.srtla;
        let handled = registry.handle_control(now, ingress.into(), datagram, &mut reply);
        let handled = match handled {
            Ok(Handled::Reply(length)) => {
                self.output.send(ingress, &reply[..length]);
                Ok(())
            }
            Ok(Handled::Elsewhere(shard)) => self.output.hand_over(shard, ingress, datagram, hops),
            Err(reason) => Err(drop_reason(reason)),
        };
        self.handle_group_events(now);
        handled
    }

    /// The link that a packet came on, if it is one of the group that is known by
    /// `stand_in`.
    pub(crate) fn link_of(
        &mut self,
        now: Instant,
        ingress: Ingress,
        stand_in: SocketAddr,
        length: usize,
    ) -> Result<LinkPath, DropReason> {
        let registry = &mut self.output.srtla;
        let link = registry.handle_srt(now, ingress.into(), length);
        let link = link.ok_or(DropReason::WrongPeer)?;
        match registry.id(link.group) {
            Some(id) if id.stand_in_address() == stand_in => Ok(LinkPath {
                link,
                path: ingress,
            }),
            _ => Err(DropReason::WrongPeer),
        }
    }

    /// Whose handshake this is.
    pub(crate) fn origin(&mut self, now: Instant, path: Ingress, length: usize) -> Origin {
        let registry = &mut self.output.srtla;
        let link = registry.handle_srt(now, path.into(), length);
        let id = link.and_then(|link| registry.id(link.group));
        Origin {
            path,
            address: id.map_or(path.peer, GroupId::stand_in_address),
            link,
        }
    }

    /// Whether nobody is left to answer: the group is gone since.
    pub(crate) fn is_gone(&self, origin: &Origin) -> bool {
        let group = origin.link.map(|link| link.group);
        group.is_some_and(|group| self.output.srtla.id(group).is_none())
    }

    /// A group whose stream was refused is closed, unless it carries another one:
    /// then an encoder beside it was refused.
    pub(crate) fn refuse_group(&mut self, now: Instant, origin: &Origin, reason: RefusalReason) {
        let Some(link) = origin.link else {
            return;
        };
        if self.connections.any_from(origin.address).is_some() {
            return;
        }
        self.output.srtla.refuse(now, link, is_guess(reason));
        self.handle_group_events(now);
    }

    /// Gives the group of a handshake to the relay of its stream.
    pub(crate) fn move_group(&mut self, now: Instant, origin: &Origin, shard: u16) {
        let Some(link) = origin.link else {
            return;
        };
        self.close_group(now, origin.address, GoneReason::TakenOver);
        if let Some(moved) = self.output.srtla.hand_over(link.group, shard) {
            self.output.hand_over_group(shard, moved);
        }
    }

    pub(crate) fn take_group(&mut self, now: Instant, moved: MovedGroup) {
        let (id, shard) = (moved.id(), self.config.shard);
        let peers: Vec<SocketAddr> = moved.peers().collect();
        self.output.srtla.take_over(now, moved);
        let here = shard.index();
        self.output.tell_others(shard, News::GroupOn(id, here));
        for peer in peers {
            self.output.tell_others(shard, News::LinkOn(peer, here));
        }
    }

    /// Notes what another relay says about its groups.
    pub(crate) fn take_news(&mut self, now: Instant, news: News) {
        let registry = &mut self.output.srtla;
        match news {
            News::GroupOn(id, shard) => registry.group_is_elsewhere(id, shard),
            News::GroupGone(id) => registry.group_is_gone_elsewhere(id),
            News::LinkOn(peer, shard) => registry.link_is_elsewhere(peer, shard),
            News::LinkGone(peer) => registry.link_is_gone_elsewhere(peer),
            News::Stranger(peer) => registry.note_stranger(now, peer),
            News::SourceFailed(peer) => registry.source_failed_elsewhere(now, peer),
        }
    }

    /// Does what follows from what happened to groups and links.
    pub(crate) fn handle_group_events(&mut self, now: Instant) {
        let shard = self.config.shard;
        let here = shard.index();
        while let Some(event) = self.output.srtla.poll_event() {
            let news = match event {
                srtla::Event::GroupOpened { id, .. } => News::GroupOn(id, here),
                srtla::Event::LinkJoined { peer, .. } => News::LinkOn(peer, here),
                srtla::Event::LinkLeft { peer, .. } => News::LinkGone(peer),
                srtla::Event::SourceFailed { peer } => News::SourceFailed(peer),
                srtla::Event::StrangerHeard { peer } => {
                    self.output
                        .tell_handshake_shard(shard, News::Stranger(peer));
                    continue;
                }
                srtla::Event::GroupClosed { id, .. } => {
                    self.close_group(now, id.stand_in_address(), GoneReason::TimedOut);
                    News::GroupGone(id)
                }
            };
            self.output.tell_others(shard, news);
        }
    }

    /// Ends what a group carries.
    pub(crate) fn close_group(&mut self, now: Instant, stand_in: SocketAddr, reason: GoneReason) {
        while let Some(key) = self.connections.any_from(stand_in) {
            self.close(now, key, reason);
        }
    }

    /// Sends the answer to a connection request again, over every link, when the
    /// group has been silent since: the link that it went over may be the one that
    /// lost it, and not every sender asks again.
    pub(crate) fn answer_silent(&mut self, now: Instant, key: u32) {
        let Some(connection) = self.connections.connection(key) else {
            return;
        };
        if connection.leg != Leg::Publisher {
            return;
        }
        let stream = self.streams.item_mut(connection.stream);
        let Some(publisher) = stream.and_then(|stream| stream.publisher.as_mut()) else {
            return;
        };
        if !publisher.owes_answer_again(now) {
            return;
        }
        let (route, timestamp) = (publisher.route, publisher.timestamp(now));
        let connection = self.connections.connection_mut(key);
        if let Some(reply) = connection.and_then(|connection| connection.reply.as_mut()) {
            reply.restamp(timestamp);
            self.output.send_to_all(route, reply);
        }
    }

    /// The links of what a session publishes.
    pub(crate) fn link_samples(
        &mut self,
        now: Instant,
        session: &model::SessionId,
    ) -> Vec<model::telemetry::LinkSample> {
        let stream = self.publishing_stream(session);
        let publisher = stream.and_then(|stream| stream.publisher.as_ref());
        match publisher.map(|publisher| publisher.route) {
            Some(Route::Group(group)) => {
                let samples = self.output.srtla.samples(now, group);
                samples.iter().map(crate::link_sample::sample).collect()
            }
            Some(Route::Direct(_)) | None => Vec::new(),
        }
    }

    /// SRTLA groups held here.
    #[must_use]
    pub fn groups(&self) -> u32 {
        self.output.srtla.groups() as u32
    }

    /// Links of all groups held here.
    #[must_use]
    pub fn links(&self) -> u32 {
        self.output.srtla.links() as u32
    }

    /// What became of groups, links and their packets.
    #[must_use]
    pub const fn srtla_counters(&self) -> &srtla::Counters {
        self.output.srtla.counters()
    }
}

fn is_registration(datagram: &[u8]) -> bool {
    let kind = datagram.first_chunk().copied().map(u16::from_be_bytes);
    matches!(kind, Some(SRTLA_TYPE_REG1 | SRTLA_TYPE_REG2))
}
