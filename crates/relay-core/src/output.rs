//! Everything that leaves the relay: datagrams, events, counts.

use std::collections::VecDeque;

use crate::reason::{DropReason, RefusalReason};
use crate::shard::Handover;
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
}

impl Output {
    pub(crate) fn new(transmit_bytes_max: usize) -> Self {
        Self {
            transmits: Transmits::new(transmit_bytes_max),
            events: VecDeque::new(),
            handovers: VecDeque::new(),
            counters: Counters::default(),
        }
    }

    /// Sends a control packet along `path`.
    pub(crate) fn send(&mut self, path: Ingress, packet: &[u8]) {
        let is_queued = self.transmits.push(path, packet, &[]);
        self.count_sent(is_queued, packet.len());
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
        self.count_sent(is_queued, header.len() + payload.length());
    }

    fn count_sent(&mut self, is_queued: bool, length: usize) {
        if is_queued {
            self.counters.egress_datagrams += 1;
            self.counters.egress_bytes += length as u64;
        } else {
            self.counters.dropped(DropReason::TransmitFull);
        }
    }

    pub(crate) fn drop_datagram(&mut self, reason: DropReason) {
        self.counters.dropped(reason);
    }

    /// Keeps a datagram for the relay that it belongs to.
    pub(crate) fn hand_over(
        &mut self,
        shard: u16,
        ingress: Ingress,
        datagram: &[u8],
    ) -> Result<(), DropReason> {
        if self.handovers.len() >= HANDOVERS_MAX {
            return Err(DropReason::HandoverFull);
        }
        self.handovers.push_back(Handover {
            shard,
            ingress,
            datagram: datagram.to_vec(),
        });
        Ok(())
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
