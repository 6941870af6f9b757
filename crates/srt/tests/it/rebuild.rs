//! Builds the datagram that a parsed packet came from.

use streamhaul_srt::packet::{Control, ControlHeader, DATAGRAM_MAX, HEADER_LEN, Packet, build};

/// The canonical datagram of `packet`.
pub(crate) fn rebuild(packet: &Packet<'_>) -> Vec<u8> {
    let mut out = vec![0; 2 * DATAGRAM_MAX];
    let length = match packet {
        Packet::Data { header, payload } => {
            build::data_header(&mut out, header);
            out[HEADER_LEN..HEADER_LEN + payload.len()].copy_from_slice(payload);
            HEADER_LEN + payload.len()
        }
        Packet::Control { header, body } => control(&mut out, *header, body),
    };
    out.truncate(length);
    out
}

fn control(out: &mut [u8], header: ControlHeader, body: &Control<'_>) -> usize {
    match *body {
        Control::Handshake(handshake) => handshake.write(out, header),
        Control::KeepAlive => build::keepalive(out, header),
        Control::Ack(ack) => build::ack(out, header, &ack),
        Control::Nak(nak) => build::nak(out, header, nak.ranges()),
        Control::Shutdown => build::shutdown(out, header),
        Control::AckAck { number } => build::ackack(out, header, number),
        Control::DropReq { message, range } => build::dropreq(out, header, message, range),
        Control::User { subtype, body } => build::user(out, header, subtype, body),
        Control::CongestionWarning | Control::PeerError { .. } => {
            unreachable!("nothing builds {body:?}")
        }
    }
}
