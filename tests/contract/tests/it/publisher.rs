//! A phone that publishes to the node until it is dropped or cut.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use testkit::srt_caller::{Caller, Role};

/// One SRT payload of MPEG-TS: seven packets.
const PAYLOAD: [u8; 1316] = [0x47; 1316];
const INTERVAL: Duration = Duration::from_millis(10);
const LATENCY: Duration = Duration::from_millis(120);

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
