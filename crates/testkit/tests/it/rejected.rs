//! A refused caller says with which code.

use std::net::UdpSocket;
use std::time::Duration;

use srt::listener::{Listener, Step};
use srt::packet::Control;
use srt::{Packet, RejectReason, Timestamp};
use streamhaul_testkit::srt_caller::{Caller, Error, Role};

/// Refuses one caller.
fn refuse(socket: &UdpSocket) {
    let listener = Listener::new([1; 16]);
    let mut buffer = [0; 2048];
    loop {
        let (length, from) = socket.recv_from(&mut buffer).unwrap();
        let Ok(Packet::Control {
            body: Control::Handshake(handshake),
            ..
        }) = Packet::parse(&buffer[..length])
        else {
            continue;
        };
        match listener.handle(0, from, &handshake, Timestamp(0)) {
            Step::Reply(reply) => socket.send_to(&reply, from).unwrap(),
            Step::Request(request) => {
                let reply = request.reject(RejectReason::NOT_FOUND, Timestamp(0));
                socket.send_to(&reply, from).unwrap();
                return;
            }
            other => panic!("{other:?}"),
        };
    }
}

#[test]
fn a_rejection_has_its_code() {
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    let to = socket.local_addr().unwrap();
    let node = std::thread::spawn(move || refuse(&socket));
    let error = Caller::connect(
        to,
        "live_nobody",
        Role::Publisher,
        Duration::from_millis(120),
    )
    .unwrap_err();
    assert!(matches!(error, Error::Rejected { code: 2404 }), "{error}");
    assert_eq!(error.to_string(), "rejected with 2404: not_found");
    node.join().unwrap();
}

#[test]
fn silence_times_out() {
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    let to = socket.local_addr().unwrap();
    let error =
        Caller::connect(to, "live_nobody", Role::Player, Duration::from_millis(120)).unwrap_err();
    assert!(matches!(error, Error::TimedOut), "{error}");
}
