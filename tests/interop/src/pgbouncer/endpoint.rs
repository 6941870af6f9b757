//! An endpoint of webhooks, which counts who calls.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// Messages whose name begins so are answered late, or when all are released.
pub(super) const HELD: &str = "held";
/// Less than a delivery may take, so that no attempt fails by itself.
const HELD_MAX: Duration = Duration::from_millis(9500);
const LOOK_INTERVAL: Duration = Duration::from_millis(20);

/// The endpoint; its thread ends with the process.
pub(super) struct Endpoint {
    address: SocketAddr,
    seen: Arc<Seen>,
}

#[derive(Default)]
struct Seen {
    calls: Mutex<BTreeMap<String, usize>>,
    released: AtomicBool,
}

impl Endpoint {
    pub(super) fn start() -> anyhow::Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0")?;
        let address = listener.local_addr()?;
        let seen = Arc::new(Seen::default());
        let shared = seen.clone();
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let seen = shared.clone();
                // A caller that died is its own affair.
                std::thread::spawn(move || drop(seen.answer(stream)));
            }
        });
        Ok(Self { address, seen })
    }

    pub(super) fn url(&self) -> String {
        format!("http://{}/", self.address)
    }

    /// How often a message was delivered.
    pub(super) fn calls(&self, message: &str) -> usize {
        let calls = self.seen.calls.lock();
        let calls = calls.unwrap_or_else(PoisonError::into_inner);
        calls.get(message).copied().unwrap_or(0)
    }

    /// Answers everything at once from now on.
    pub(super) fn release(&self) {
        self.seen.released.store(true, Ordering::Relaxed);
    }
}

impl Seen {
    fn answer(&self, mut stream: TcpStream) -> std::io::Result<()> {
        let message = read_message(&stream)?;
        let calls = self.calls.lock();
        let mut calls = calls.unwrap_or_else(PoisonError::into_inner);
        *calls.entry(message.clone()).or_default() += 1;
        drop(calls);
        let began = Instant::now();
        while message.starts_with(HELD)
            && !self.released.load(Ordering::Relaxed)
            && began.elapsed() < HELD_MAX
        {
            std::thread::sleep(LOOK_INTERVAL);
        }
        stream.write_all(b"HTTP/1.1 204 No Content\r\nconnection: close\r\n\r\n")
    }
}

/// The `webhook-id` of one request, which is read whole.
fn read_message(stream: &TcpStream) -> std::io::Result<String> {
    let mut reader = BufReader::new(stream);
    let (mut message, mut length) = (String::new(), 0);
    loop {
        let mut line = String::new();
        reader.read_line(&mut line)?;
        let Some((name, value)) = line.trim_end().split_once(": ") else {
            if line.trim_end().is_empty() {
                break;
            }
            continue;
        };
        match name.to_ascii_lowercase().as_str() {
            "webhook-id" => message = value.to_owned(),
            "content-length" => length = value.parse().unwrap_or(0),
            _ => {}
        }
    }
    std::io::copy(&mut reader.take(length), &mut std::io::sink())?;
    Ok(message)
}
