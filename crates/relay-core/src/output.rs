//! Everything that leaves the relay: datagrams, events, counts.

use std::collections::VecDeque;

use crate::reason::{DropReason, RefusalReason};
use crate::transmit::Transmits;
use crate::{Counters, Event, Ingress};

/// Events kept between two drains; more are not reported.
const EVENTS_MAX: usize = 65_536;

#[derive(Debug)]
pub(crate) struct Output {
    pub(crate) transmits: Transmits,
    pub(crate) events: VecDeque<Event>,
    pub(crate) counters: Counters,
}

impl Output {
    pub(crate) fn new(transmit_bytes_max: usize) -> Self {
        Self {
            transmits: Transmits::new(transmit_bytes_max),
            events: VecDeque::new(),
            counters: Counters::default(),
        }
    }

    /// Sends back along `path`.
    pub(crate) fn send(&mut self, path: Ingress, header: &[u8], payload: &[u8]) {
        if self.transmits.push(path, header, payload) {
            self.counters.egress_datagrams += 1;
            self.counters.egress_bytes += (header.len() + payload.len()) as u64;
        } else {
            self.counters.dropped(DropReason::TransmitFull);
        }
    }

    pub(crate) fn drop_datagram(&mut self, reason: DropReason) {
        self.counters.dropped(reason);
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
