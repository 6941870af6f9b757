//! Where each datagram goes: to the listener, a connection, another relay, or nowhere.

use std::time::Instant;

use srt::handshake::{KMREQ, KMRSP};
use srt::packet::{Control, ControlHeader, DataHeader, PAYLOAD_MAX};
use srt::receiver::Arrival;
use srt::{Packet, SocketId};
use srtla::packet::Class;

use crate::Ingress;
use crate::admission::Handled;
use crate::bonding::LinkPath;
use crate::connections::Leg;
use crate::publisher::Publisher;
use crate::reason::{DropReason, GoneReason};
use crate::relay::Relay;

impl Relay {
    pub(crate) fn take(&mut self, now: Instant, ingress: Ingress, datagram: &[u8], hops: u8) {
        if let Err(reason) = self.route(now, ingress, datagram, hops) {
            self.output.drop_datagram(reason);
        }
    }

    fn route(
        &mut self,
        now: Instant,
        ingress: Ingress,
        datagram: &[u8],
        hops: u8,
    ) -> Result<(), DropReason> {
        match srtla::packet::classify(datagram) {
            Class::Srt => {}
            Class::Srtla => return self.handle_srtla(now, ingress, datagram, hops),
            Class::Unknown => return Err(DropReason::Malformed),
        }
        let destination = srt::packet::destination(datagram).ok_or(DropReason::Malformed)?;
        if destination == SocketId::LISTENER {
            return self.route_to_listener(now, ingress, datagram, hops);
        }
        let Some((key, connection)) = self.connections.find(destination) else {
            return self.route_elsewhere(now, destination, ingress, datagram, hops);
        };
        let (leg, stream, caller) = (connection.leg, connection.stream, connection.caller.0);
        let came = if caller == ingress.peer {
            None
        } else {
            Some(self.link_of(now, ingress, caller, datagram.len())?)
        };
        let packet = Packet::parse(datagram).map_err(|_| DropReason::Malformed)?;
        match (leg, packet) {
            (Leg::Publisher, Packet::Data { header, payload }) => {
                self.handle_data(now, (key, stream), &header, payload, came)
            }
            (Leg::Publisher, Packet::Control { header, body }) => {
                self.handle_publisher_control(now, key, stream, header, body)
            }
            (Leg::Player(place), Packet::Control { body, .. }) => {
                self.handle_player_control(now, key, (stream, place), body)
            }
            (Leg::Player(_), Packet::Data { .. }) => Err(DropReason::UnexpectedData),
        }
    }

    /// It is an answer to a call of ours, or the kernel could not steer it: its
    /// socket is another relay's, or nobody's.
    fn route_elsewhere(
        &mut self,
        now: Instant,
        destination: SocketId,
        ingress: Ingress,
        datagram: &[u8],
        hops: u8,
    ) -> Result<(), DropReason> {
        let owner = self.config.shard.of_socket(destination);
        if owner == self.config.shard.index() {
            let dial = self.dials.by_socket(destination);
            let dial = dial.ok_or(DropReason::UnknownSocket)?;
            return self.handle_answer(now, ingress, dial, datagram);
        }
        self.output.hand_over(owner, ingress, datagram, hops)
    }

    fn route_to_listener(
        &mut self,
        now: Instant,
        ingress: Ingress,
        datagram: &[u8],
        hops: u8,
    ) -> Result<(), DropReason> {
        if self.is_banned(ingress.peer) {
            return Err(DropReason::Banned);
        }
        if let Some(shard) = self.output.srtla.elsewhere(ingress.peer) {
            return self.output.hand_over(shard, ingress, datagram, hops);
        }
        let (header, handshake) = match Packet::parse(datagram) {
            Ok(Packet::Control {
                header,
                body: Control::Handshake(handshake),
            }) => (header, handshake),
            Ok(_) => return Err(DropReason::NotHandshake),
            Err(_) => return Err(DropReason::Malformed),
        };
        let origin = self.origin(now, ingress, datagram.len());
        if origin.link.is_none() && self.output.srtla.is_stranger(now, ingress.peer) {
            return Err(DropReason::SrtlaUnregistered);
        }
        match self.handle_handshake(now, &origin, header, &handshake)? {
            Handled::Here => Ok(()),
            Handled::Belongs(shard) => {
                self.move_group(now, &origin, shard);
                self.output.hand_over(shard, ingress, datagram, hops)
            }
        }
    }

    fn handle_data(
        &mut self,
        now: Instant,
        (key, stream): (u32, u32),
        header: &DataHeader,
        payload: &[u8],
        came: Option<LinkPath>,
    ) -> Result<(), DropReason> {
        if payload.len() > PAYLOAD_MAX {
            return Err(DropReason::OutOfWindow);
        }
        let stream_key = stream;
        let stream = self
            .streams
            .item_mut(stream_key)
            .ok_or(DropReason::UnknownSocket)?;
        if stream.is_stale(now, header.timestamp) {
            self.close(now, key, GoneReason::Stale);
            return Err(DropReason::OutOfWindow);
        }
        let publisher = stream.publisher.as_ref();
        let publisher = publisher.ok_or(DropReason::UnknownSocket)?;
        let payload = match publisher.open(header, payload, &mut self.clear) {
            Ok(payload) => payload,
            Err(reason) => {
                // Its link carried it, whatever it is good for.
                if let Some(came) = came {
                    let arrival = Arrival::OutOfWindow;
                    self.output.acknowledge(now, came, header, arrival);
                }
                return Err(reason);
            }
        };
        stream.handle_data(now, header, payload, came, &mut self.output);
        if let Some(release) = &stream.release {
            self.releases.set(stream_key, release.at());
        }
        if stream.publisher.as_ref().is_some_and(Publisher::is_used_up) {
            self.close(now, key, GoneReason::BytesUsed);
        } else {
            self.publisher_heard(now, key);
        }
        Ok(())
    }

    fn handle_publisher_control(
        &mut self,
        now: Instant,
        key: u32,
        stream: u32,
        header: ControlHeader,
        body: Control<'_>,
    ) -> Result<(), DropReason> {
        if let Control::User {
            subtype: KMREQ,
            body,
        } = body
        {
            self.handle_key_request(now, key, body)?;
            self.publisher_heard(now, key);
            return Ok(());
        }
        let stream = self
            .streams
            .item_mut(stream)
            .ok_or(DropReason::UnknownSocket)?;
        match body {
            Control::AckAck { number } => stream.handle_ackack(now, number, header.timestamp),
            Control::DropReq { range, .. } => {
                if let Some(publisher) = &mut stream.publisher {
                    publisher.handle_drop_request(range);
                }
            }
            Control::KeepAlive => {}
            Control::Shutdown => {
                self.close(now, key, GoneReason::Closed);
                return Ok(());
            }
            // An answer that we have already.
            Control::Handshake(_) => return Err(DropReason::StaleHandshake),
            _ => return Err(DropReason::UnexpectedControl),
        }
        self.publisher_heard(now, key);
        Ok(())
    }

    fn publisher_heard(&mut self, now: Instant, key: u32) {
        let Some(connection) = self.connections.connection(key) else {
            return;
        };
        let Some(stream) = self.streams.item_mut(connection.stream) else {
            return;
        };
        if let Some(publisher) = &mut stream.publisher {
            publisher.heard(now);
            let at = publisher.poll_timeout(self.config.publisher_timeout);
            self.timers.set(key, Some(at));
        }
    }

    fn handle_player_control(
        &mut self,
        now: Instant,
        key: u32,
        (stream, place): (u32, u32),
        body: Control<'_>,
    ) -> Result<(), DropReason> {
        let stream = self
            .streams
            .item_mut(stream)
            .ok_or(DropReason::UnknownSocket)?;
        let (player, source) = stream
            .player_and_source(place)
            .ok_or(DropReason::UnknownSocket)?;
        match body {
            Control::Ack(ack) => player.handle_ack(now, source.timeline, &ack, &mut self.output),
            Control::Nak(nak) => player.handle_nak(now, source, &nak, &mut self.output),
            Control::User {
                subtype: KMRSP,
                body,
            } => player.handle_key_answer(body)?,
            Control::KeepAlive => {}
            Control::Shutdown => {
                self.close(now, key, GoneReason::Closed);
                return Ok(());
            }
            // An answer that we have already.
            Control::Handshake(_) => return Err(DropReason::StaleHandshake),
            _ => return Err(DropReason::UnexpectedControl),
        }
        player.heard(now);
        Ok(())
    }
}
