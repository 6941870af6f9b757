//! A group: the links of one sender, and the SRT session they carry.

use std::net::{Ipv6Addr, SocketAddr};
use std::time::{Duration, Instant};

use srt::packet::DataHeader;
use srt::receiver::Arrival;
use srt::{Seq, SeqRange};

use crate::Path;
use crate::arrivals::Arrivals;
use crate::attribution::Attribution;
use crate::link::{Link, LinkSample};
use crate::packet::ACK_LEN;
use crate::reorder::{self, Gap};
use crate::transit::Reference;
use crate::window::Tally;

/// A link that was silent for so long is no place for an answer when another was heard since.
const STALE_AFTER: Duration = Duration::from_millis(1500);

/// A group's short name, for logs, telemetry and other shards. The 256-byte id admits links and is
/// a secret; this is a keyed hash of it and is none.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct GroupId(pub u64);

impl GroupId {
    /// An address that stands for the whole group wherever a caller is known by its address: in
    /// cookies, and to match packets to a connection. It is in 100::/64 (RFC 6666), from which
    /// nothing comes.
    #[must_use]
    pub const fn stand_in_address(self) -> SocketAddr {
        const DISCARD_PREFIX: u128 = 0x0100 << 112;
        let ip = Ipv6Addr::from_bits(DISCARD_PREFIX | self.0 as u128);
        SocketAddr::new(std::net::IpAddr::V6(ip), 0)
    }
}

impl std::fmt::Display for GroupId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

#[derive(Debug)]
pub(crate) struct Group {
    pub(crate) id: GroupId,
    /// Who founded it: whose place it takes.
    pub(crate) founder: SocketAddr,
    /// When anything came from any link.
    pub(crate) active_at: Instant,
    pub(crate) links: Vec<Option<Link>>,
    /// The link that the last SRT packet came on.
    last_srt: Option<usize>,
    session: Option<Session>,
}

/// What is known of the SRT session.
#[derive(Debug)]
struct Session {
    arrivals: Arrivals,
    attribution: Attribution,
    reference: Reference,
    /// Losses up to here are attributed.
    attributed: Option<Seq>,
}

impl Session {
    /// Notes the first arrival of a packet.
    fn note(&mut self, slot: usize, header: &DataHeader) {
        let is_again = header.retransmitted;
        self.arrivals.insert(header.seq, slot, is_again);
        if !is_again {
            self.attribution.arrived(&self.arrivals, header.seq, slot);
        }
    }

    /// What of `range` is newer than all that was attributed.
    fn not_attributed(&mut self, range: SeqRange) -> Option<SeqRange> {
        let first = match self.attributed {
            Some(seq) if !range.first().is_after(seq) => seq.next(),
            _ => range.first(),
        };
        let rest = SeqRange::new(first, range.last())?;
        self.attributed = Some(range.last());
        Some(rest)
    }
}

impl Group {
    pub(crate) const fn new(id: GroupId, founder: SocketAddr, now: Instant) -> Self {
        Self {
            id,
            founder,
            active_at: now,
            links: Vec::new(),
            last_srt: None,
            session: None,
        }
    }

    pub(crate) const fn has_session(&self) -> bool {
        self.session.is_some()
    }

    pub(crate) fn live(&self) -> impl Iterator<Item = (usize, &Link)> + Clone {
        let numbered = self.links.iter().enumerate();
        numbered.filter_map(|(slot, link)| Some((slot, link.as_ref()?)))
    }

    pub(crate) fn link(&self, slot: usize) -> Option<&Link> {
        self.links.get(slot)?.as_ref()
    }

    pub(crate) fn link_mut(&mut self, slot: usize) -> Option<&mut Link> {
        self.links.get_mut(slot)?.as_mut()
    }

    /// Puts a link into a free slot.
    pub(crate) fn insert(&mut self, link: Link) -> usize {
        if let Some(slot) = self.links.iter().position(Option::is_none) {
            self.links[slot] = Some(link);
            return slot;
        }
        self.links.push(Some(link));
        self.links.len() - 1
    }

    pub(crate) fn remove(&mut self, slot: usize) -> Option<Link> {
        if self.last_srt == Some(slot) {
            self.last_srt = None;
        }
        if let Some(session) = &mut self.session {
            session.attribution.forget(slot);
        }
        self.links.get_mut(slot)?.take()
    }

    /// The link that was silent for longest.
    pub(crate) fn stalest(&self) -> Option<(usize, &Link)> {
        self.live().min_by_key(|(_, link)| link.heard_at)
    }

    pub(crate) fn heard(&mut self, now: Instant, slot: usize, path: Path) -> Option<&mut Link> {
        self.active_at = now;
        let link = self.link_mut(slot)?;
        link.heard(now, path);
        Some(link)
    }

    /// Notes an SRT packet: answers go where the last one came from.
    pub(crate) fn handle_srt(&mut self, now: Instant, slot: usize, path: Path, bytes: usize) {
        self.last_srt = Some(slot);
        if let Some(link) = self.heard(now, slot, path) {
            let tally = link.counts.at(now);
            tally.packets += 1;
            tally.bytes += bytes as u64;
        }
    }

    /// Where an answer that goes to one link only is sent.
    pub(crate) fn reply_path(&self, now: Instant) -> Option<Path> {
        let last = self.last_srt.and_then(|slot| self.link(slot));
        if let Some(link) = last.filter(|link| link.silent_for(now) < STALE_AFTER) {
            return Some(link.path);
        }
        let freshest = self.live().max_by_key(|(_, link)| link.heard_at);
        freshest.map(|(_, link)| link.path)
    }

    /// Begins an SRT session, or the next one.
    pub(crate) fn start_session(&mut self, now: Instant) {
        self.session = Some(Session {
            arrivals: Arrivals::new(),
            attribution: Attribution::new(),
            reference: Reference::default(),
            attributed: None,
        });
        let links = self.links.iter_mut().flatten();
        links.for_each(|link| link.restart(now));
    }

    pub(crate) fn end_session(&mut self) {
        self.session = None;
    }

    /// Notes a data packet of the session. `elapsed` counts from any fixed point.
    pub(crate) fn handle_data(
        &mut self,
        now: Instant,
        elapsed: Duration,
        slot: usize,
        header: &DataHeader,
        arrival: Arrival,
    ) -> Option<[u8; ACK_LEN]> {
        let session = self.session.as_mut()?;
        let link = self.links.get_mut(slot)?.as_mut()?;
        let was_seen = session.arrivals.contains(header.seq);
        if arrival != Arrival::OutOfWindow && !was_seen {
            session.note(slot, header);
        }
        if !header.retransmitted {
            let transit_us = session.reference.transit_us(elapsed, header.timestamp);
            transit_us
                .into_iter()
                .for_each(|us| link.handle_transit(us));
        }
        link.handle_data(now, header, arrival, was_seen)
    }

    /// Attributes packets that are reported missing, each once, to the links that likely lost them.
    pub(crate) fn handle_lost(&mut self, now: Instant, range: SeqRange) {
        let Some(session) = &mut self.session else {
            return;
        };
        let Some(range) = session.not_attributed(range) else {
            return;
        };
        let shares = session.attribution.lose(now, &session.arrivals, range);
        for (link, share) in self.links.iter_mut().zip(shares) {
            link.iter_mut().for_each(|link| link.lost(now, share));
        }
    }

    pub(crate) fn hold_until(
        &self,
        settings: &reorder::Settings,
        now: Instant,
        gap: &Gap,
    ) -> Instant {
        let links = self.live().map(|(_, link)| link.progress());
        reorder::hold_until(settings, now, gap, links)
    }

    pub(crate) fn samples(&mut self, now: Instant) -> Vec<LinkSample> {
        let fastest = self.live().filter_map(|(_, link)| link.transit_us()).min();
        let mut samples = Vec::with_capacity(self.links.len());
        for link in self.links.iter_mut().flatten() {
            let mut sample = link.sample(now);
            let slower = link.transit_us().zip(fastest).map(|(us, least)| us - least);
            sample.relative_delay_us = slower.and_then(|us| u32::try_from(us).ok());
            samples.push(sample);
        }
        fill_shares(&mut samples);
        samples
    }
}

fn fill_shares(samples: &mut [LinkSample]) {
    let sum = |tally: fn(&LinkSample) -> &Tally| -> u64 {
        samples.iter().map(|sample| tally(sample).bytes).sum()
    };
    let (second, ten) = (
        sum(|sample| &sample.last_second.tally),
        sum(|sample| &sample.last_ten_seconds.tally),
    );
    for sample in samples {
        sample.share_last_second = share(sample.last_second.tally.bytes, second);
        sample.share_last_ten_seconds = share(sample.last_ten_seconds.tally.bytes, ten);
    }
}

fn share(part: u64, whole: u64) -> f64 {
    if whole == 0 {
        0.0
    } else {
        part as f64 / whole as f64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stand_in_address_is_in_the_discard_prefix() {
        let address = GroupId(0x1122_3344_5566_7788).stand_in_address();
        assert_eq!(address, "[100::1122:3344:5566:7788]:0".parse().unwrap());
        assert_eq!(GroupId(0xab).to_string(), "00000000000000ab");
    }
}
