//! An SRT listener that refuses everybody, and remembers what they asked for.

use std::net::UdpSocket;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use srt::listener::{self, Step};
use srt::packet::Control;
use srt::{Packet, RejectReason, Timestamp};

/// It answers until it is dropped.
pub(crate) struct Listener {
    port: u16,
    asked_for: Arc<Mutex<Vec<String>>>,
    /// Whoever answers holds this only weakly.
    _here: Arc<()>,
}

impl Listener {
    pub(crate) fn start() -> Self {
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        socket
            .set_read_timeout(Some(Duration::from_millis(100)))
            .unwrap();
        let (here, asked_for) = (Arc::new(()), Arc::default());
        let listener = Self {
            port: socket.local_addr().unwrap().port(),
            asked_for: Arc::clone(&asked_for),
            _here: here.clone(),
        };
        let here = Arc::downgrade(&here);
        std::thread::spawn(move || {
            while here.strong_count() > 0 {
                answer(&socket, &asked_for);
            }
        });
        listener
    }

    pub(crate) const fn port(&self) -> u16 {
        self.port
    }

    /// The stream ids of the callers it refused.
    pub(crate) fn asked_for(&self) -> Vec<String> {
        self.asked_for.lock().unwrap().clone()
    }
}

fn answer(socket: &UdpSocket, asked_for: &Mutex<Vec<String>>) {
    let mut buffer = [0; 2048];
    let Ok((length, from)) = socket.recv_from(&mut buffer) else {
        return;
    };
    let Ok(Packet::Control {
        header,
        body: Control::Handshake(handshake),
    }) = Packet::parse(&buffer[..length])
    else {
        return;
    };
    let reply = match listener::Listener::new([7; 16]).handle(0, from, &handshake, header.timestamp)
    {
        Step::Reply(reply) | Step::Reject(_, reply) => reply,
        Step::Request(request) => {
            let stream_id = request.stream_id.as_ref().map(|it| it.as_str().to_owned());
            asked_for.lock().unwrap().extend(stream_id);
            request.reject(RejectReason::BAD_REQUEST, Timestamp(0))
        }
        Step::Drop(_) => return,
    };
    socket.send_to(&reply, from).unwrap();
}
