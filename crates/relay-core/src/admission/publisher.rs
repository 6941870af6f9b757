//! Publishers: whose place one takes, and the stream that it begins or goes on with.

use std::time::{Duration, Instant};

use model::StreamId;
use model::settings::Resume;
use srt::Timestamp;
use srt::crypto::ReceiveKeys;
use srt::handshake::Latency;
use srt::listener::ConnectRequest;

use super::latency_ms;
use crate::bonding::Origin;
use crate::connections::Leg;
use crate::encryption::{NoKeys, keys_for};
use crate::key_work::KeyWorkDone;
use crate::publisher::NewPublisher;
use crate::reason::{GoneReason, RefusalReason};
use crate::relay::Relay;
use crate::ring::Ring;
use crate::sessions::Permit;
use crate::settings::StreamSettings;
use crate::stream::Stream;

impl Relay {
    pub(super) fn admit_publisher(
        &mut self,
        now: Instant,
        origin: &Origin,
        request: &ConnectRequest,
        permit: &Permit,
        done: Option<&KeyWorkDone>,
    ) -> Result<(), NoKeys> {
        let replaced = self.publisher_to_replace(permit)?;
        if self.find_stream(&permit.claims.stream).is_none() {
            self.check_room(origin.path)?;
        }
        let latency = self.latency(request.latency.send_ms, Duration::ZERO, permit)?;
        let meter = self.meter(&permit.claims)?;
        let keys = keys_for(permit, request, done)?;
        let settings = self.make_way(now, permit, replaced);
        if origin.link.is_some() {
            // A group carries one session; its sender's last word counts.
            self.close_group(now, origin.address, GoneReason::TakenOver);
        }
        let own = Latency {
            receive_ms: latency_ms(latency),
            send_ms: 0,
        };
        let key = self.connect(origin, request, permit, own, Timestamp(0));
        let stream = self.attach_publisher(
            now,
            &permit.claims.stream,
            NewPublisher {
                connection: key,
                session: permit.claims.session.clone(),
                route: origin.route(),
                caller_id: request.caller_id,
                isn: request.isn,
                latency,
                timestamp: request.timestamp,
                meter,
                keys: keys.map(|keys| Box::new(ReceiveKeys::new(keys.kek, &keys.seks))),
                rate_bps_max: permit.claims.rate_bps_max,
                settings,
                clock_start: now,
                is_pulled: false,
            },
        );
        if let Some(link) = origin.link {
            self.output.srtla.session_started(now, link.group);
        }
        self.joined(now, key, stream, Leg::Publisher, replaced.is_some());
        self.output.counters.admitted += 1;
        Ok(())
    }

    /// Ends what a new publisher puts an end to; says how its stream behaves.
    pub(crate) fn make_way(
        &mut self,
        now: Instant,
        permit: &Permit,
        replaced: Option<u32>,
    ) -> StreamSettings {
        if let Some(replaced) = replaced {
            // No word to the players or the log of events: the stream goes on.
            self.end(now, replaced, GoneReason::TakenOver);
        }
        let settings = StreamSettings::of(&permit.claims, &self.config);
        if settings.resume == Resume::Cut
            && let Some(stream) = self.streams_by_id.get(&permit.claims.stream).copied()
        {
            self.cut_players(now, stream);
        }
        settings
    }

    /// Whose place a new publisher takes.
    pub(crate) fn publisher_to_replace(
        &self,
        permit: &Permit,
    ) -> Result<Option<u32>, RefusalReason> {
        let Some((_, stream)) = self.find_stream(&permit.claims.stream) else {
            return self.check_new_stream().map(|()| None);
        };
        match &stream.publisher {
            Some(publisher) if publisher.session != permit.claims.session => {
                Err(RefusalReason::Conflict)
            }
            publisher => Ok(publisher.as_ref().map(|publisher| publisher.connection)),
        }
    }

    pub(crate) fn attach_publisher(
        &mut self,
        now: Instant,
        id: &StreamId,
        new: NewPublisher,
    ) -> u32 {
        if let Some(key) = self.streams_by_id.get(id).copied()
            && let Some(stream) = self.streams.item_mut(key)
        {
            stream.attach(new, now);
            return key;
        }
        let margin = self.config.latency_margin;
        let ring = Ring::new(self.config.limits.ring_bytes_max, self.chunks.clone());
        let stream = Stream::new(id.clone(), new, margin, ring, now);
        let key = self.streams.insert(stream);
        self.streams_by_id.insert(id.clone(), key);
        key
    }
}
