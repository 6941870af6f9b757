//! Everything that leaves the relay: datagrams, events, counts.

use std::collections::VecDeque;
use std::time::Instant;

use srt::SeqRange;
use srt::packet::DataHeader;
use srt::receiver::Arrival;
use srtla::{MovedGroup, Registry};

use crate::bonding::{LinkPath, Route};
use crate::reason::{DropReason, RefusalReason};
use crate::shard::{Cargo, HANDSHAKE_SHARD, HOPS_MAX, Handover, News, Shard};
use crate::transmit::{Staged, Transmits};
use crate::{Counters, Event, Ingress};

/// Events kept between two drains; more are not reported.
const EVENTS_MAX: usize = 65_536;
/// Datagrams kept for other relays between two drains.
const HANDOVERS_MAX: usize = 4096;

#[derive(Debug)]
pub(crate) struct Output {
    pub(crate) transmits: Transmits,
    pub(crate) events: VecDeque<Event>,
    pub(crate) handovers: VecDeque<Handover>,
    pub(crate) counters: Counters,
    /// Knows the paths to a group.
    pub(crate) srtla: Registry,
}

impl Output {
    pub(crate) fn new(transmit_bytes_max: usize, srtla: Registry) -> Self {
        Self {
            transmits: Transmits::new(transmit_bytes_max),
            events: VecDeque::new(),
            handovers: VecDeque::new(),
            counters: Counters::default(),
            srtla,
        }
    }

    /// Sends a control packet along `path`.
    pub(crate) fn send(&mut self, path: Ingress, packet: &[u8]) {
        let is_queued = self.transmits.push(path, packet, &[]);
        self.counters.sent(is_queued, packet.len());
    }

    /// Sends a control packet along `route`, once.
    pub(crate) fn send_along(&mut self, now: Instant, route: Route, packet: &[u8]) {
        let path = match route {
            Route::Direct(path) => Some(path),
            Route::Group(group) => self.srtla.reply_path(now, group).map(Into::into),
        };
        if let Some(path) = path {
            self.send(path, packet);
        }
    }

    /// Sends a control packet along `route`, over every link: senders tell by it
    /// which of them live, and one may lose it.
    pub(crate) fn send_to_all(&mut self, route: Route, packet: &[u8]) {
        let group = match route {
            Route::Direct(path) => return self.send(path, packet),
            Route::Group(group) => group,
        };
        for path in self.srtla.broadcast(group) {
            let is_queued = self.transmits.push(path.into(), packet, &[]);
            self.counters.sent(is_queued, packet.len());
        }
    }

    /// Notes what a data packet of a group was, and acknowledges its link.
    pub(crate) fn acknowledge(
        &mut self,
        now: Instant,
        came: LinkPath,
        header: &DataHeader,
        arrival: Arrival,
    ) {
        if let Some(ack) = self.srtla.handle_data(now, came.link, header, arrival) {
            self.send(came.path, &ack);
        }
    }

    /// Notes on which links of a group these packets were lost.
    pub(crate) fn note_lost(&mut self, now: Instant, route: Route, ranges: &[SeqRange]) {
        if let Route::Group(group) = route {
            for range in ranges {
                self.srtla.handle_lost(now, group, *range);
            }
        }
    }

    /// Keeps a payload that [`send_staged`](Self::send_staged) sends, to as many
    /// as there are. `None` and counted when there is no room for it.
    pub(crate) fn stage(&mut self, payload: &[u8]) -> Option<Staged> {
        let staged = self.transmits.stage(payload);
        if staged.is_none() {
            self.counters.dropped(DropReason::TransmitFull);
        }
        staged
    }

    /// Whether there is room for what may also come later: only while half of
    /// it is left, so that what is new never has to stand back.
    pub(crate) fn has_spare(&self) -> bool {
        !self.transmits.is_half_full()
    }

    /// Keeps a copy of a staged payload that `change` alters.
    pub(crate) fn stage_changed(
        &mut self,
        staged: Staged,
        change: impl FnOnce(&mut [u8]),
    ) -> Option<Staged> {
        let changed = self.transmits.stage_changed(staged, change);
        if changed.is_none() {
            self.counters.dropped(DropReason::TransmitFull);
        }
        changed
    }

    /// Sends a staged payload behind `header` along `path`.
    pub(crate) fn send_staged(&mut self, path: Ingress, header: &[u8], payload: Staged) {
        let is_queued = self.transmits.push_staged(path, header, payload);
        self.counters
            .sent(is_queued, header.len() + payload.length());
    }

    pub(crate) fn drop_datagram(&mut self, reason: DropReason) {
        self.counters.dropped(reason);
    }

    /// Keeps a datagram for the relay that it belongs to. It was handed over
    /// `hops` times before.
    pub(crate) fn hand_over(
        &mut self,
        shard: u16,
        ingress: Ingress,
        datagram: &[u8],
        hops: u8,
    ) -> Result<(), DropReason> {
        if self.handovers.len() >= HANDOVERS_MAX {
            return Err(DropReason::HandoverFull);
        }
        if hops >= HOPS_MAX {
            return Err(DropReason::HandoverLoop);
        }
        let cargo = Cargo::Datagram {
            ingress,
            datagram: datagram.to_vec(),
            hops: hops + 1,
        };
        self.handovers.push_back(Handover { shard, cargo });
        Ok(())
    }

    /// There are no more of them than groups.
    pub(crate) fn hand_over_group(&mut self, shard: u16, group: MovedGroup) {
        let cargo = Cargo::Group(Box::new(group));
        self.handovers.push_back(Handover { shard, cargo });
    }

    /// Tells every other relay. What there is no room for is not told: then
    /// datagrams of that link that come to the wrong relay are lost.
    pub(crate) fn tell_others(&mut self, own: Shard, news: News) {
        for shard in (0..own.count()).filter(|shard| *shard != own.index()) {
            self.tell(shard, news);
        }
    }

    /// Tells the relay that takes handshakes, unless it is this one.
    pub(crate) fn tell_handshake_shard(&mut self, own: Shard, news: News) {
        if own.index() != HANDSHAKE_SHARD {
            self.tell(HANDSHAKE_SHARD, news);
        }
    }

    fn tell(&mut self, shard: u16, news: News) {
        if self.handovers.len() < HANDOVERS_MAX {
            let cargo = Cargo::News(news);
            self.handovers.push_back(Handover { shard, cargo });
        }
    }

    pub(crate) fn report(&mut self, event: Event) {
        if self.events.len() < EVENTS_MAX {
            self.events.push_back(event);
        }
    }

    pub(crate) fn refuse(&mut self, session: Option<model::SessionId>, reason: RefusalReason) {
        self.counters.refused(reason);
        self.report(Event::Refused { session, reason });
    }
}
