//! The leg from a publisher to the node.

use std::time::{Duration, Instant};

use model::SessionId;
use model::telemetry::PublisherSample;
use srt::crypto::{KeyMaterial, NoKey, ReceiveKeys};
use srt::handshake::KMRSP;
use srt::packet::{ControlHeader, DataHeader, HEADER_LEN, KeyParity, PAYLOAD_MAX, build};
use srt::receiver::{Receiver, Report, Settings};
use srt::{Seq, SeqRange, SocketId, Timestamp};
use srtla::{GroupKey, Registry, reorder};

use crate::bonding::Route;
use crate::output::Output;
use crate::quota::Meter;
use crate::reason::{DropReason, GoneReason};
use crate::saved::{SavedConnection, SavedPublisher, SavedRoute};
use crate::settings::StreamSettings;

/// A connection that sent nothing for so long sends a keepalive.
pub(crate) const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(1);
/// A group that is silent for so long after its answer may not have got it.
const ANSWER_AGAIN_AFTER: Duration = Duration::from_millis(150);
/// Gaps remembered per publisher: even 2 % loss at 50 Mbit/s has fewer open.
const GAPS_MAX: usize = 1024;

#[derive(Debug)]
pub(crate) struct Publisher {
    /// Its number in the table of connections.
    pub(crate) connection: u32,
    pub(crate) session: SessionId,
    pub(crate) latency: Duration,
    pub(crate) receiver: Receiver,
    /// What makes a receiver's index the stream's; wraps.
    pub(crate) index_shift: u64,
    /// What its payloads are decrypted with; `None` when they are clear.
    pub(crate) keys: Option<Box<ReceiveKeys>>,
    pub(crate) counts: Counts,
    meter: Option<Meter>,
    pub(crate) route: Route,
    reorder: reorder::Settings,
    /// When its answer is sent again, unless it was heard by then.
    answer_again_at: Option<Instant>,
    caller_id: SocketId,
    is_pulled: bool,
    /// Our clock's zero.
    clock_start: Instant,
    started_at: Instant,
    heard_at: Instant,
    sent_at: Instant,
}

/// What the receiver does not count.
#[derive(Debug, Default)]
pub(crate) struct Counts {
    /// Packets that the lease did not allow.
    pub(crate) limited: u64,
    /// Acknowledgements sent, and confirmed.
    pub(crate) acks: u64,
    pub(crate) ackacks: u64,
    /// How far behind the newest a packet came by itself.
    pub(crate) reorder_max: u32,
}

/// What a publisher is made with.
#[derive(Debug)]
pub(crate) struct NewPublisher {
    pub(crate) connection: u32,
    pub(crate) session: SessionId,
    pub(crate) route: Route,
    pub(crate) caller_id: SocketId,
    pub(crate) isn: Seq,
    pub(crate) latency: Duration,
    pub(crate) timestamp: Timestamp,
    pub(crate) meter: Option<Meter>,
    pub(crate) keys: Option<Box<ReceiveKeys>>,
    pub(crate) rate_bps_max: Option<u64>,
    pub(crate) settings: StreamSettings,
    /// When our side of the connection began to send.
    pub(crate) clock_start: Instant,
    /// Whether it is we who called.
    pub(crate) is_pulled: bool,
}

impl Publisher {
    /// `next_index` is the stream's place for its first packet.
    pub(crate) fn new(new: NewPublisher, next_index: u64, now: Instant) -> Self {
        let mut receiver = Receiver::new(receiver_settings(new.isn), now);
        let is_group = matches!(new.route, Route::Group(_));
        if is_group {
            receiver.hold_gaps();
        }
        let index_shift = next_index.wrapping_sub(receiver.highest() + 1);
        Self {
            connection: new.connection,
            session: new.session,
            latency: new.latency,
            receiver,
            index_shift,
            keys: new.keys,
            counts: Counts::default(),
            meter: new.meter,
            route: new.route,
            reorder: reorder::Settings::for_latency(new.latency),
            answer_again_at: is_group.then(|| now + ANSWER_AGAIN_AFTER),
            caller_id: new.caller_id,
            is_pulled: new.is_pulled,
            clock_start: new.clock_start,
            started_at: now,
            heard_at: now,
            sent_at: now,
        }
    }

    /// What to write down of it; nothing when it encrypts.
    pub(crate) fn save(
        &self,
        now: Instant,
        connection: SavedConnection,
        route: SavedRoute,
    ) -> Option<SavedPublisher> {
        self.keys.is_none().then(|| SavedPublisher {
            connection: SavedConnection {
                meter: self.meter.as_ref().map(Meter::save),
                ..connection
            },
            route,
            latency: self.latency,
            clock: now.saturating_duration_since(self.clock_start),
            ack_point: self.receiver.ack_point(),
            index_shift: self.index_shift,
        })
    }

    /// Goes on where it was `away` ago: what came since is missing, and asked for again while that
    /// can help.
    pub(crate) fn resume(&mut self, now: Instant, away: Duration, saved: &SavedPublisher) {
        let settings = receiver_settings(Seq::new(saved.connection.isn));
        let due = (now + saved.latency).checked_sub(away).unwrap_or(now);
        self.receiver = Receiver::resume(settings, saved.ack_point, due, now);
        if matches!(self.route, Route::Group(_)) {
            self.receiver.hold_gaps();
        }
        self.index_shift = saved.index_shift;
        self.answer_again_at = None;
    }

    pub(crate) fn heard(&mut self, now: Instant) {
        self.heard_at = now;
        self.answer_again_at = None;
    }

    /// Whether its answer is to be sent again, now and never again.
    pub(crate) fn owes_answer_again(&mut self, now: Instant) -> bool {
        let is_due = self.answer_again_at.is_some_and(|at| at <= now);
        if is_due {
            self.answer_again_at = None;
        }
        is_due
    }

    /// Counts bytes received; false when they are more than the lease allows.
    pub(crate) fn spend(&self, bytes: usize) -> bool {
        self.meter.as_ref().is_none_or(|meter| meter.spend(bytes))
    }

    pub(crate) fn is_used_up(&self) -> bool {
        self.meter.as_ref().is_some_and(Meter::is_used_up)
    }

    /// A payload in the clear: as it came, or decrypted into `room`. What cannot
    /// be read does not count as received, so it is asked for again.
    pub(crate) fn open<'a>(
        &self,
        header: &DataHeader,
        payload: &'a [u8],
        room: &'a mut [u8; PAYLOAD_MAX],
    ) -> Result<&'a [u8], DropReason> {
        match (&self.keys, header.key) {
            (None, KeyParity::Clear) => Ok(payload),
            (None, _) => Err(DropReason::Encrypted),
            (Some(_), KeyParity::Clear) => Err(DropReason::Unencrypted),
            (Some(keys), parity) => {
                let room = room.get_mut(..payload.len());
                let room = room.ok_or(DropReason::OutOfWindow)?;
                room.copy_from_slice(payload);
                keys.decrypt(parity, header.seq, room)
                    .map_err(|NoKey| DropReason::NoKey)?;
                Ok(room)
            }
        }
    }

    /// Tells the publisher that its new keys are here.
    pub(crate) fn confirm_keys(
        &mut self,
        now: Instant,
        message: &KeyMaterial,
        output: &mut Output,
    ) {
        let mut buffer = [0; HEADER_LEN + KeyMaterial::LENGTH_MAX];
        let header = self.control_header(now);
        let length = build::user(&mut buffer, header, KMRSP, message.as_bytes());
        self.sent_at = now;
        output.send_along(now, self.route, &buffer[..length]);
    }

    /// Payload bytes received.
    pub(crate) fn bytes(&self) -> u64 {
        self.receiver.statistics().bytes
    }

    pub(crate) const fn is_pulled(&self) -> bool {
        self.is_pulled
    }

    /// Whether the packet at the stream's `index` may still come.
    pub(crate) fn is_missing(&self, index: u64) -> bool {
        self.receiver
            .is_missing(index.wrapping_sub(self.index_shift))
    }

    /// The gap that the stream's `index` lies in: its end, and when it is given
    /// up.
    pub(crate) fn gap(&self, index: u64) -> Option<(u64, Instant)> {
        let gap = self.receiver.gap(index.wrapping_sub(self.index_shift))?;
        Some((gap.last.wrapping_add(self.index_shift), gap.deadline))
    }

    pub(crate) fn handle_drop_request(&mut self, range: SeqRange) {
        self.receiver.handle_drop_request(range);
    }

    /// Sends the reports that are due.
    pub(crate) fn flush(&mut self, now: Instant, output: &mut Output) {
        let header = self.control_header(now);
        if let Route::Group(group) = self.route {
            self.release_gaps(now, group, &output.srtla);
        }
        while let Some(report) = self.receiver.poll_report(now) {
            self.sent_at = now;
            match report {
                Report::Ack(ack) => {
                    self.counts.acks += 1;
                    let mut buffer = [0; build::CONTROL_MAX];
                    let length = build::ack(&mut buffer, header, &ack);
                    output.send_to_all(self.route, &buffer[..length]);
                }
                Report::Nak(ranges) => {
                    let mut buffer = [0; HEADER_LEN + build::NAK_WORDS_MAX * 4];
                    let length = build::nak(&mut buffer, header, ranges.iter().copied());
                    output.note_lost(now, self.route, ranges);
                    output.send_along(now, self.route, &buffer[..length]);
                }
            }
        }
    }

    /// What is missing may only be on a slower link.
    fn release_gaps(&mut self, now: Instant, group: GroupKey, registry: &Registry) {
        let settings = &self.reorder;
        self.receiver.release_gaps(now, |held| {
            let gap = reorder::Gap {
                last: held.last,
                opened_at: held.opened_at,
            };
            registry.hold_until(now, group, settings, &gap)
        });
    }

    /// Does what is due; when to do so next, or why the connection ends.
    pub(crate) fn handle_timeout(
        &mut self,
        now: Instant,
        idle_max: Duration,
        output: &mut Output,
    ) -> Result<Instant, GoneReason> {
        if now >= self.heard_at + idle_max {
            return Err(GoneReason::TimedOut);
        }
        self.receiver.handle_timeout(now);
        self.flush(now, output);
        if now >= self.sent_at + KEEPALIVE_INTERVAL {
            let mut buffer = [0; build::CONTROL_MAX];
            let length = build::keepalive(&mut buffer, self.control_header(now));
            self.sent_at = now;
            output.send_along(now, self.route, &buffer[..length]);
        }
        Ok(self.poll_timeout(idle_max))
    }

    pub(crate) fn poll_timeout(&self, idle_max: Duration) -> Instant {
        let own = (self.sent_at + KEEPALIVE_INTERVAL).min(self.heard_at + idle_max);
        [self.receiver.poll_timeout(), self.answer_again_at]
            .into_iter()
            .flatten()
            .fold(own, Instant::min)
    }

    pub(crate) fn send_shutdown(&self, now: Instant, output: &mut Output) {
        let mut buffer = [0; build::CONTROL_MAX];
        let length = build::shutdown(&mut buffer, self.control_header(now));
        output.send_to_all(self.route, &buffer[..length]);
    }

    /// The round trip to a caller in microseconds, once an ACK was answered: how far it is.
    pub(crate) fn caller_rtt_us(&self) -> Option<u32> {
        let rtt = self.receiver.rtt();
        let is_known = rtt.is_measured() && !self.is_pulled();
        is_known.then(|| rtt.smoothed().as_micros() as u32)
    }

    pub(crate) fn sample(&self, now: Instant) -> PublisherSample {
        let statistics = self.receiver.statistics();
        PublisherSample {
            bytes_total: statistics.bytes,
            packets_total: statistics.packets,
            packets_lost_total: statistics.lost,
            packets_recovered_total: statistics.recovered,
            packets_dropped_total: statistics.dropped,
            packets_duplicate_total: statistics.duplicate,
            bitrate_bps: self.receiver.rate().bytes_per_second(now) * 8,
            rtt_us: self.receiver.rtt().smoothed().as_micros() as u32,
            latency_ms: self.latency.as_millis() as u32,
            uptime_ms: now.saturating_duration_since(self.started_at).as_millis() as u64,
            naks_sent_total: statistics.naks,
            packets_retransmitted_total: statistics.retransmitted,
            packets_limited_total: self.counts.limited,
            packets_missing: self.receiver.missing() as u32,
            packets_buffered: 0,
            reorder_packets_max: self.counts.reorder_max,
            acks_sent_total: self.counts.acks,
            ackacks_received_total: self.counts.ackacks,
            rtt_var_us: self.receiver.rtt().variance().as_micros() as u32,
            drift_us: 0,
        }
    }

    /// The time on this connection's own clock.
    pub(crate) fn timestamp(&self, now: Instant) -> Timestamp {
        Timestamp::after_start(now.saturating_duration_since(self.clock_start))
    }

    fn control_header(&self, now: Instant) -> ControlHeader {
        ControlHeader {
            timestamp: self.timestamp(now),
            destination: self.caller_id,
        }
    }
}

const fn receiver_settings(isn: Seq) -> Settings {
    Settings {
        isn,
        window_packets: srt::listener::RECEIVE_WINDOW,
        gaps_max: GAPS_MAX,
    }
}
