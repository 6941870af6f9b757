//! Who publishes to the node until it is dropped or cut, over one link or over several.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use testkit::linksim::Impairment;
use testkit::srt_caller::{Caller, Role};
use testkit::srtla_sender::udp::UdpSender;
use testkit::srtla_sender::{KeepAlives, Uplink};

/// One SRT payload of MPEG-TS: seven packets.
const PAYLOAD: [u8; 1316] = [0x47; 1316];
const INTERVAL: Duration = Duration::from_millis(10);
const LATENCY: Duration = Duration::from_millis(120);

/// Of each link of a phone, one way.
const DELAYS_MS: [u64; Phone::LINKS] = [10, 25];
const SEED: u64 = 7;

/// A phone on two modems, of different carriers, that waits for an encoder.
pub(crate) struct Phone(UdpSender);

impl Phone {
    pub(crate) const LINKS: usize = 2;

    pub(crate) fn start(node: SocketAddr) -> Self {
        let ways = DELAYS_MS.map(|delay| Impairment::delayed(Duration::from_millis(delay)));
        let uplinks = Uplink::numbered(ways);
        Self(UdpSender::start(node, uplinks, KeepAlives::Extended, SEED).unwrap())
    }

    /// Where its encoder calls.
    pub(crate) const fn address(&self) -> SocketAddr {
        self.0.address()
    }
}

pub(crate) struct Publisher {
    stop: Arc<AtomicBool>,
    sending: Option<JoinHandle<()>>,
}

impl Publisher {
    pub(crate) fn start(node: SocketAddr, stream_token: &str) -> Self {
        let stream_id = format!("live_{stream_token}");
        let mut caller = Caller::connect(node, &stream_id, Role::Publisher, LATENCY).unwrap();
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = stop.clone();
        let sending = std::thread::spawn(move || {
            while !stopped.load(Ordering::Relaxed) {
                let sent = caller.send(&PAYLOAD).and_then(|_| caller.service());
                if sent.is_err() || caller.is_closed() {
                    // Cut: the test looks whether it should be.
                    return;
                }
                std::thread::sleep(INTERVAL);
            }
        });
        Self {
            stop,
            sending: Some(sending),
        }
    }

    /// Whether the node lets it publish no longer.
    pub(crate) fn is_cut(&self) -> bool {
        self.sending.as_ref().is_none_or(JoinHandle::is_finished)
    }
}

impl Drop for Publisher {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(sending) = self.sending.take() {
            let _ = sending.join();
        }
    }
}
