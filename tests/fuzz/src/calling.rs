//! The calling end of a handshake, and a listener that answers anything.

use std::net::SocketAddr;
use std::time::Duration;

use srt::caller::{Caller, Error, PATIENCE, Progress, Settings};
use srt::handshake::{Handshake, Kind, Latency, MAGIC, StreamId, VERSION};
use srt::packet::{Control, ControlHeader, HEADER_LEN};
use srt::{Packet, Seq, SocketId, Timestamp};

use crate::input::Input;

const OUR_ID: SocketId = SocketId(0x1234_5678);

/// A listener's answers and the time between them. An attempt ends once, and in
/// time; it asks at most every 250 ms and once more for the cookie.
pub fn caller(bytes: &[u8]) {
    let mut input = Input::new(bytes);
    let mut now = crate::start();
    let started = now;
    let mut caller = Caller::new(settings(&mut input), now);
    let (mut is_over, mut requests, mut cookies) = (false, 0, 0);
    while !input.is_empty() && !is_over {
        if input.below(4) == 0 {
            now += Duration::from_millis(u64::from(input.u16() % 1000));
            is_over = caller.handle_timeout(now).is_err();
            if let Some(request) = caller.poll_request(now, Timestamp(5)) {
                requests += 1;
                check_request(request);
            }
        } else {
            let answer = answer(&mut input);
            match take(&mut caller, now, &answer) {
                Some(Ok(Progress::Concluding)) => cookies += 1,
                Some(Ok(Progress::Connected(agreed))) => {
                    assert!((1..=1456).contains(&agreed.payload_max));
                    is_over = true;
                }
                Some(Err(Error::Failed(_))) => is_over = true,
                Some(Err(Error::Ignored(_))) | None => {}
            }
        }
    }
    assert!(cookies <= 1);
    assert!(requests <= 2 + (now - started).as_millis() / 250);
    assert!(is_over || now < started + PATIENCE || caller.poll_timeout().is_some());
    assert!(!is_over || caller.poll_timeout().is_none());
    assert!(
        !is_over
            || caller
                .poll_request(now + Duration::from_secs(1), Timestamp(0))
                .is_none()
    );
}

fn settings(input: &mut Input<'_>) -> Settings {
    Settings {
        to: SocketAddr::from(([192, 0, 2, 1], 5000)),
        socket_id: OUR_ID,
        isn: Seq::new(input.u32()),
        stream_id: std::str::from_utf8(input.short_bytes())
            .ok()
            .and_then(StreamId::new),
        latency: Latency::both(input.u16()),
        key: None,
        patience: PATIENCE,
    }
}

fn check_request(request: &[u8]) {
    let parsed = Packet::parse(request);
    let Ok(Packet::Control {
        header,
        body: Control::Handshake(handshake),
    }) = parsed
    else {
        panic!("a request that is no handshake")
    };
    assert_eq!(
        (header.destination, handshake.socket_id),
        (SocketId::LISTENER, OUR_ID)
    );
    assert!(handshake.extensions().is_ok());
}

/// Anything, or a handshake with some fields right.
fn answer(input: &mut Input<'_>) -> Vec<u8> {
    if input.below(3) == 0 {
        return input.short_bytes().to_vec();
    }
    let choices = input.u8();
    let kind = match choices % 4 {
        0 => Kind::Induction,
        1 | 2 => Kind::Conclusion,
        _ => Kind::Other(input.u32()),
    };
    let handshake = Handshake {
        version: if choices & 4 == 0 {
            VERSION
        } else {
            input.u32()
        },
        encryption: if choices & 8 == 0 { 0 } else { input.u16() },
        extension: if choices & 16 == 0 {
            MAGIC
        } else {
            input.u16()
        },
        isn: Seq::new(input.u32()),
        mtu: if choices & 32 == 0 { 1500 } else { input.u32() },
        flow_window: 8192,
        kind,
        socket_id: SocketId(input.u32()),
        cookie: u32::from(input.u8() % 2),
        peer_ip: [0; 16],
        blocks: srt::handshake::Blocks(input.short_bytes()),
    };
    let header = ControlHeader {
        timestamp: Timestamp(input.u32()),
        destination: OUR_ID,
    };
    let mut packet = vec![0; handshake.packet_len()];
    assert!(handshake.write(&mut packet, header) >= HEADER_LEN);
    packet
}

fn take(
    caller: &mut Caller,
    now: std::time::Instant,
    answer: &[u8],
) -> Option<Result<Progress, Error>> {
    match Packet::parse(answer) {
        Ok(Packet::Control {
            header,
            body: Control::Handshake(handshake),
        }) => Some(caller.handle(now, header, &handshake)),
        _ => None,
    }
}
