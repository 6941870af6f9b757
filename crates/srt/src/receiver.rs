//! The receiving end of a connection: what has arrived, what to acknowledge,
//! what to ask for again, and when to give it up.
//!
//! A [`Receiver`] keeps no packets. It is told of each one and answers what it
//! was; its owner forwards or stores the payload. Reports for the peer come out
//! of [`Receiver::poll_report`]; [`Receiver::poll_timeout`] says when to call
//! [`Receiver::handle_timeout`]. With nothing outstanding it asks for no timer.
//!
//! A gap is reported at once, as libsrt does it, unless the stream comes over
//! several paths: see [`Receiver::hold_gaps`]. What would come too late is not asked for.

mod ack;
mod hold;
mod nak;
mod repair;

use std::time::Instant;

use ack::{ACK_INTERVAL, AckState, LIGHT_ACK_PACKETS};
pub use hold::HeldGap;
use nak::NakState;
use repair::Repair;

use crate::loss::{Gap, LossList};
use crate::packet::Ack;
use crate::rate::Rate;
use crate::rtt::{AckBook, Rtt};
use crate::seq::{Seq, SeqRange};

/// A jump forward of up to so many packets is a new place; beyond it is noise.
const RESYNC_MAX: u32 = 1 << 20;

/// What a receiver is made with.
#[derive(Debug, Clone, Copy)]
pub struct Settings {
    /// The first sequence number, from the handshake.
    pub isn: Seq,
    /// How many packets the peer may be ahead of the acknowledgement: what is
    /// advertised, and how large a gap may be.
    pub window_packets: u32,
    /// How many gaps are remembered.
    pub gaps_max: usize,
}

/// What an arriving packet was. Indexes are sequence numbers counted on in 64
/// bits: `index mod 2^31` is the sequence number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Arrival {
    /// Newer than all before; packets between may be missing now.
    New {
        /// Its place.
        index: u64,
    },
    /// It was missing and is not any more.
    Recovered {
        /// Its place.
        index: u64,
    },
    /// The peer continues somewhere else: everything missing was given up.
    Resync {
        /// Its place.
        index: u64,
    },
    /// It came before, or was given up before it came.
    Duplicate,
    /// Too far from the stream's place to belong to it.
    OutOfWindow,
}

/// What the peer should be told.
#[derive(Debug, PartialEq, Eq)]
pub enum Report<'a> {
    /// An acknowledgement, full or light.
    Ack(Ack),
    /// These packets are missing.
    Nak(&'a [SeqRange]),
}

/// Counts since the connection began.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Statistics {
    /// Packets received, each once.
    pub packets: u64,
    /// Their payload bytes.
    pub bytes: u64,
    /// Packets missing, once that may be reported: what another path overtook is not lost.
    pub lost: u64,
    /// Lost ones that came after all.
    pub recovered: u64,
    /// Lost ones given up.
    pub dropped: u64,
    /// Packets that came twice or too late.
    pub duplicate: u64,
    /// Packets flagged as sent again.
    pub retransmitted: u64,
    /// Loss reports sent.
    pub naks: u64,
}

/// The receiving end of a connection.
#[derive(Debug)]
pub struct Receiver {
    window_packets: u32,
    highest: u64,
    /// When the newest packet is due; `None` before the first.
    highest_due: Option<Instant>,
    losses: LossList,
    rtt: Rtt,
    rate: Rate,
    acks: AckBook,
    ack: AckState,
    nak: NakState,
    repair: Repair,
    statistics: Statistics,
}

impl Receiver {
    /// Begins right before the first sequence number.
    #[must_use]
    pub fn new(settings: Settings, now: Instant) -> Self {
        Self {
            window_packets: settings.window_packets,
            highest: (1 << 31) + u64::from(settings.isn.value()) - 1,
            highest_due: None,
            losses: LossList::new(settings.gaps_max),
            rtt: Rtt::default(),
            rate: Rate::new(now),
            acks: AckBook::new(),
            ack: AckState::new(),
            repair: Repair::default(),
            nak: NakState::new(),
            statistics: Statistics::default(),
        }
    }

    /// Goes on where another receiver of the same connection was: all before the index `next` has
    /// come, whatever is asked for again in vain, and the last of it was due at `due`. What that one
    /// measured is measured anew.
    #[must_use]
    pub fn resume(settings: Settings, next: u64, due: Instant, now: Instant) -> Self {
        Self {
            highest: next.saturating_sub(1),
            highest_due: Some(due),
            ..Self::new(settings, now)
        }
    }

    /// Takes a data packet. `deadline` is the time at which it is due to be
    /// played: what is missing right before it is given up then.
    pub fn handle_data(
        &mut self,
        now: Instant,
        seq: Seq,
        payload_length: usize,
        retransmitted: bool,
        deadline: Instant,
    ) -> Arrival {
        if retransmitted {
            self.measure_repair(now, seq);
        }
        let arrival = self.place(now, seq, deadline);
        match arrival {
            Arrival::Duplicate => self.statistics.duplicate += 1,
            Arrival::OutOfWindow => {}
            Arrival::New { .. } | Arrival::Recovered { .. } | Arrival::Resync { .. } => {
                self.count(now, payload_length, retransmitted);
            }
        }
        arrival
    }

    fn place(&mut self, now: Instant, seq: Seq, deadline: Instant) -> Arrival {
        let offset = seq.offset(seq_of(self.highest));
        if offset <= 0 {
            return self.place_behind(offset.unsigned_abs(), deadline);
        }
        let ahead = offset.unsigned_abs();
        if ahead > RESYNC_MAX {
            return Arrival::OutOfWindow;
        }
        let index = self.highest + u64::from(ahead);
        if index - self.ack_point() > u64::from(self.window_packets) {
            self.give_up_before(index);
            (self.highest, self.highest_due) = (index, Some(deadline));
            return Arrival::Resync { index };
        }
        if ahead > 1 {
            self.open_gap(now, self.highest + 1, index - 1, deadline);
        }
        (self.highest, self.highest_due) = (index, Some(deadline));
        Arrival::New { index }
    }

    fn measure_repair(&mut self, now: Instant, seq: Seq) {
        let offset = seq.offset(seq_of(self.highest));
        let index = self.highest.checked_add_signed(i64::from(offset));
        if let Some(gap) = index.and_then(|index| self.losses.gap(index)) {
            self.repair.sample(now, gap, &self.rtt);
        }
    }

    fn place_behind(&mut self, behind: u32, deadline: Instant) -> Arrival {
        if behind > RESYNC_MAX {
            return Arrival::OutOfWindow;
        }
        let index = self.highest - u64::from(behind);
        let (was_missing, evicted) = self.losses.remove(index, deadline);
        self.count_evicted(evicted);
        if !was_missing {
            return Arrival::Duplicate;
        }
        self.statistics.recovered += u64::from(!self.is_held(index));
        Arrival::Recovered { index }
    }

    fn open_gap(&mut self, now: Instant, first: u64, last: u64, deadline: Instant) {
        let is_held = self.nak.held_from.is_some();
        let mut gap = Gap {
            first,
            last,
            due_from: self.highest_due.unwrap_or(deadline).min(deadline),
            deadline,
            opened_at: now,
            asked_at: None,
            reported_at: None,
        };
        let asked = if is_held { None } else { gap.ask(now) };
        let evicted = self.losses.push(gap);
        self.count_evicted(evicted);
        if is_held {
            return;
        }
        self.statistics.lost += gap.len();
        self.nak.fresh = asked;
        let repeat_at = now + self.nak_interval();
        self.nak.repeat_at.get_or_insert(repeat_at);
    }

    fn count(&mut self, now: Instant, payload_length: usize, retransmitted: bool) {
        self.statistics.packets += 1;
        self.statistics.bytes += payload_length as u64;
        self.statistics.retransmitted += u64::from(retransmitted);
        self.rate.add(now, payload_length);
        self.ack.packets_since += 1;
        let is_time = self.ack.sent.is_none_or(|(_, at)| now >= at + ACK_INTERVAL);
        self.ack.is_due |= is_time && self.ack_moved();
    }

    fn count_evicted(&mut self, evicted: Option<Gap>) {
        if let Some(gap) = evicted {
            self.count_dropped(
                gap.len(),
                if self.is_held(gap.first) {
                    gap.len()
                } else {
                    0
                },
            );
        }
    }

    /// Packets given up; those of them that were held back are lost only now.
    fn count_dropped(&mut self, packets: u64, held: u64) {
        self.statistics.lost += held;
        self.statistics.dropped += packets;
    }

    /// Everything missing before `index` is given up, everything skipped too.
    fn give_up_before(&mut self, index: u64) {
        let skipped = index - self.highest - 1;
        self.give_up(0, self.highest);
        self.statistics.lost += skipped;
        self.statistics.dropped += skipped;
        self.nak.repeat_at = None;
    }

    /// Takes the peer's word that it will not send these packets again. Only
    /// what is missing already is given up: nobody can make us skip ahead.
    pub fn handle_drop_request(&mut self, range: SeqRange) {
        let Some((first, last)) = self.indexes(range) else {
            return;
        };
        self.give_up(first, last);
    }

    /// Gives up what is missing from `first` to `last`.
    fn give_up(&mut self, first: u64, last: u64) {
        let held = self.held_packets();
        let dropped = self.losses.remove_range(first, last);
        self.count_dropped(dropped, held - self.held_packets());
    }

    fn indexes(&self, range: SeqRange) -> Option<(u64, u64)> {
        let last_offset = i64::from(range.last().offset(seq_of(self.highest))).min(0);
        let last = self.highest.checked_add_signed(last_offset)?;
        let first_offset = i64::from(range.first().offset(seq_of(self.highest)));
        let first = self.highest.checked_add_signed(first_offset)?;
        (first <= last).then_some((first, last))
    }

    /// Gives up what is due and marks the reports that are.
    pub fn handle_timeout(&mut self, now: Instant) {
        while let Some(gap) = self.losses.pop_due(now) {
            self.count_evicted(Some(gap));
        }
        if self.losses.is_empty() {
            (self.nak.repeat_at, self.nak.hold_until) = (None, None);
        }
        if self.nak.repeat_at.is_some_and(|at| at <= now) {
            self.nak.cursor = Some(0);
            self.nak.repeat_at = Some(now + self.nak_interval());
        }
        self.ack.is_due |= self.ack_timer().is_some_and(|at| at <= now);
    }

    /// When [`handle_timeout`](Self::handle_timeout) is due.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Instant> {
        let give_up_at = self.losses.first().map(|gap| gap.deadline);
        let NakState {
            repeat_at,
            hold_until,
            ..
        } = self.nak;
        [self.ack_timer(), repeat_at, hold_until, give_up_at]
            .into_iter()
            .flatten()
            .min()
    }

    /// The next report to send; call until `None` after every change.
    pub fn poll_report(&mut self, now: Instant) -> Option<Report<'_>> {
        if let Some(range) = self.nak.fresh.take() {
            self.nak.ranges.clear();
            self.nak.ranges.push(range);
            self.statistics.naks += 1;
            return Some(Report::Nak(&self.nak.ranges));
        }
        if self.ack.is_due {
            return Some(Report::Ack(self.full_ack(now)));
        }
        if self.ack.packets_since >= LIGHT_ACK_PACKETS {
            self.ack.packets_since = 0;
            let next = seq_of(self.ack_point());
            return Some(Report::Ack(Ack {
                number: 0,
                next,
                detail: None,
            }));
        }
        self.repeat_nak(now)
    }

    /// The first index that is still missing, or to come.
    #[must_use]
    pub fn ack_point(&self) -> u64 {
        self.losses
            .first()
            .map_or(self.highest + 1, |gap| gap.first)
    }

    /// The newest index; before the first packet, the one before the first.
    #[must_use]
    pub const fn highest(&self) -> u64 {
        self.highest
    }

    /// Whether `index` is missing and may still come.
    #[must_use]
    pub fn is_missing(&self, index: u64) -> bool {
        self.losses.contains(index)
    }

    /// How many packets are missing and may still come.
    #[must_use]
    pub fn missing(&self) -> u64 {
        self.losses.packets()
    }

    /// The gap that `index` is in, when it is missing and may still come.
    #[must_use]
    pub fn gap(&self, index: u64) -> Option<&Gap> {
        self.losses.gap(index)
    }

    /// The round trip to the peer.
    #[must_use]
    pub const fn rtt(&self) -> &Rtt {
        &self.rtt
    }

    /// What arrives in a second.
    #[must_use]
    pub const fn rate(&self) -> &Rate {
        &self.rate
    }

    /// Counts since the connection began.
    #[must_use]
    pub const fn statistics(&self) -> &Statistics {
        &self.statistics
    }
}

/// The sequence number of an index.
#[must_use]
pub const fn seq_of(index: u64) -> Seq {
    Seq::new(index as u32)
}

#[cfg(test)]
mod tests;
