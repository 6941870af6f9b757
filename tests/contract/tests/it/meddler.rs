//! What may stand between a plugin and a control plane: a proxy that fails and loses answers
//! of the relay's endpoints, and changes what it lets through, as a newer version would.
//!
//! ```text
//! plugin ─▶ meddler ─▶ control plane        of four requests: answer lost (502), not asked
//!        ◀── changed ◀──                    (503), changed, changed
//! ```

use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;

use serde_json::{Map, Value, json};
use streamhaul_contract::{Exchange, Request, Wire};

const RELAY: &str = "/api/v1/relay/";
/// What the plugin does without.
const OPTIONAL: [&str; 8] = [
    "entitlement",
    "linked_accounts",
    "poll_interval_seconds",
    "provision_step",
    "srt_port",
    "stream_slots",
    "timers",
    "usage",
];
/// Headers that go on to the control plane.
const PASSED: [&str; 2] = ["Authorization", "Idempotency-Key"];

pub(crate) struct Meddler {
    address: SocketAddr,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Meddler {
    /// Stands before a control plane until it is dropped.
    pub(crate) fn start(control_plane: &str) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
        let address = listener.local_addr().unwrap();
        let stop = Arc::new(AtomicBool::new(false));
        let (wire, stopped) = (Wire::new(control_plane), stop.clone());
        let thread = std::thread::spawn(move || {
            let mut meddling = Meddling { wire, relayed: 0 };
            for stream in listener.incoming() {
                if stopped.load(Ordering::Relaxed) {
                    return;
                }
                // A caller that went away needs no answer.
                let _ = stream.and_then(|stream| meddling.serve(&stream));
            }
        });
        Self {
            address,
            stop,
            thread: Some(thread),
        }
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.address)
    }
}

impl Drop for Meddler {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        // It waits for somebody to call.
        let _ = TcpStream::connect(self.address);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

struct Meddling {
    wire: Wire,
    /// Requests to the relay's endpoints.
    relayed: u32,
}

impl Meddling {
    /// One request and its answer; then the connection ends.
    fn serve(&mut self, stream: &TcpStream) -> io::Result<()> {
        let request = read(&mut BufReader::new(stream))?;
        let (status, body) = self.answer(request);
        let body = if body.is_null() {
            String::new()
        } else {
            body.to_string()
        };
        let length = body.len();
        let mut stream = stream;
        write!(
            stream,
            "HTTP/1.1 {status} \r\ncontent-length: {length}\r\nconnection: close\r\n\r\n{body}"
        )
    }

    fn answer(&mut self, request: Request) -> (u16, Value) {
        let fate = match request.path.starts_with(RELAY) {
            true => self.relayed % 4,
            false => 3,
        };
        self.relayed += u32::from(request.path.starts_with(RELAY));
        match fate {
            0 => {
                let _lost = self.wire.ask(request);
                (502, Value::Null)
            }
            1 => (503, json!({"error": {"code": "unavailable"}})),
            _ => self.wire.ask(request).map_or((502, Value::Null), changed),
        }
    }
}

fn changed(exchange: Exchange) -> (u16, Value) {
    let body = match exchange.body {
        Value::Object(fields) if exchange.request.path.ends_with("/start") => bare(fields),
        other => other,
    };
    (exchange.status, as_newer(body))
}

/// A session without its wrapping, under the older name of its identifier.
fn bare(mut body: Map<String, Value>) -> Value {
    let Some(Value::Object(mut session)) = body.remove("session") else {
        return Value::Object(body);
    };
    let id = session.remove("session_id");
    session.insert("id".to_owned(), id.unwrap_or_default());
    Value::Object(session)
}

/// Without what may be absent, and with what nobody knows.
fn as_newer(value: Value) -> Value {
    match value {
        Value::Object(fields) => {
            let is_kept = |(name, _): &(String, Value)| !OPTIONAL.contains(&name.as_str());
            let kept = fields.into_iter().filter(is_kept);
            let mut newer: Map<_, _> = kept.map(|(name, value)| (name, as_newer(value))).collect();
            newer.insert("newer".to_owned(), json!({"than": ["the plugin", null]}));
            Value::Object(newer)
        }
        Value::Array(items) => items.into_iter().map(as_newer).collect(),
        other => other,
    }
}

/// One request of HTTP/1.1 (RFC 9112), as far as the plugin's client writes it.
fn read(from: &mut impl BufRead) -> io::Result<Request> {
    let mut line = String::new();
    from.read_line(&mut line)?;
    let mut words = line.split(' ');
    let method = words.next().unwrap_or_default();
    let mut request = Request::get(words.next().unwrap_or_default());
    let mut length = 0;
    loop {
        let mut header = String::new();
        from.read_line(&mut header)?;
        let Some((name, value)) = header.trim().split_once(": ") else {
            break;
        };
        if name.eq_ignore_ascii_case("content-length") {
            length = value.parse().map_err(io::Error::other)?;
        }
        let passed = PASSED
            .iter()
            .find(|passed| passed.eq_ignore_ascii_case(name));
        if let Some(name) = passed {
            request = request.with(name, value);
        }
    }
    if method == "POST" {
        let mut body = Vec::new();
        from.take(length).read_to_end(&mut body)?;
        request.method = "POST";
        request.body = Some(serde_json::from_slice(&body)?);
    }
    Ok(request)
}
