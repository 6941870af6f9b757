//! Players: which stream one joins, from where on, and with how much latency.

use std::time::Instant;

use model::settings::Start;
use srt::handshake::Latency;
use srt::listener::ConnectRequest;

use super::latency_ms;
use crate::bonding::Origin;
use crate::connections::Leg;
use crate::encryption::{NoKeys, keys_for};
use crate::key_work::KeyWorkDone;
use crate::player::NewPlayer;
use crate::reason::RefusalReason;
use crate::relay::Relay;
use crate::sessions::Permit;
use crate::stream::Stream;

impl Relay {
    pub(super) fn admit_player(
        &mut self,
        now: Instant,
        origin: &Origin,
        request: &ConnectRequest,
        permit: &Permit,
        done: Option<&KeyWorkDone>,
    ) -> Result<(), NoKeys> {
        if origin.link.is_some() {
            // Bonding is for what goes up.
            return Err(RefusalReason::Unsupported.into());
        }
        let (stream_key, stream) = self.stream_to_play(permit)?;
        self.check_room(origin.path)?;
        let least = stream.player_latency();
        let latency = self.latency(request.latency.receive_ms, least, permit)?;
        let from_start = permit.claims.start != Some(Start::Newest);
        let first_index = stream.first_index(now, from_start);
        let settings = srt::sender::Settings {
            destination: request.caller_id,
            isn: request.isn,
            first_index,
            timeline_offset_us: stream.player_offset_us(now),
            latency,
            window_packets: request.flow_window,
        };
        let clock = stream.timeline.now(now);
        let own = Latency {
            receive_ms: 0,
            send_ms: latency_ms(latency),
        };
        let timestamp = clock.shifted_us(settings.timeline_offset_us);
        let meter = self.meter(&permit.claims)?;
        let keys = keys_for(permit, request, done)?;
        let sealer = keys.map(|keys| self.sealer(keys));
        let key = self.connect(origin, request, permit, own, timestamp);
        self.players_made += 1;
        let new = NewPlayer {
            id: self.players_made,
            connection: key,
            session: permit.claims.session.clone(),
            path: origin.path,
            payload_max: request.payload_max(),
            settings,
            meter,
            sealer,
        };
        if let Some(stream) = self.streams.item_mut(stream_key) {
            let leg = Leg::Player(stream.add_player(new, now));
            self.joined(now, key, stream_key, leg, false);
            self.output.counters.admitted += 1;
        }
        Ok(())
    }

    /// The stream that a new player may join.
    fn stream_to_play(&self, permit: &Permit) -> Result<(u32, &Stream), RefusalReason> {
        let Some((key, stream)) = self.find_stream(&permit.claims.stream) else {
            return Err(if self.draining {
                RefusalReason::Draining
            } else {
                RefusalReason::NoPublisher
            });
        };
        self.check_players(stream, permit)?;
        Ok((key, stream))
    }

    fn check_players(&self, stream: &Stream, permit: &Permit) -> Result<(), RefusalReason> {
        let node_max = self.config.limits.players_per_stream_max;
        let players_max = permit
            .claims
            .players_max
            .map_or(node_max, |max| max.min(node_max));
        if stream.players.len() < players_max as usize {
            Ok(())
        } else {
            Err(RefusalReason::SessionFull)
        }
    }
}
