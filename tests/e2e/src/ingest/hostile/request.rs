//! Requests written by hand, as no client would write them.

use std::io::{self, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use crate::ingest::sender::Target;

const PATIENCE: Duration = Duration::from_secs(30);
/// More than any answer has.
const ANSWER_BYTES_MAX: u64 = 16 << 10;

/// A request to the intake.
#[derive(Debug, Clone)]
pub(super) struct Request {
    path: String,
    headers: Vec<(&'static str, String)>,
    body: Vec<u8>,
}

impl Request {
    /// A batch that is signed as it should be, at that time in Unix seconds.
    pub(super) fn signed(target: &Target, seconds: i64, body: impl Into<Vec<u8>>) -> Self {
        let body = body.into();
        let signature = target.sign(seconds, &body);
        Self {
            path: target.path(),
            headers: vec![
                ("host", "gateway".to_owned()),
                ("x-timestamp", seconds.to_string()),
                ("x-signature", signature),
            ],
            body,
        }
    }

    /// The same with another header.
    pub(super) fn with(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.headers.push((name, value.into()));
        self
    }

    /// What comes before a body that is framed so.
    pub(super) fn head(&self, framing: &str) -> Vec<u8> {
        let mut head = format!("POST {} HTTP/1.1\r\n{framing}\r\n", self.path);
        for (name, value) in &self.headers {
            head.push_str(&format!("{name}: {value}\r\n"));
        }
        head.push_str("\r\n");
        head.into_bytes()
    }

    /// All of it.
    pub(super) fn bytes(&self) -> Vec<u8> {
        let mut bytes = self.head(&format!("content-length: {}", self.body.len()));
        bytes.extend_from_slice(&self.body);
        bytes
    }

    /// Sends it over a connection of its own.
    pub(super) fn send(self, address: SocketAddr) -> io::Result<Answer> {
        let mut stream = connect(address)?;
        stream.write_all(&self.with("connection", "close").bytes())?;
        Answer::read(stream)
    }
}

/// A connection that is not waited for without end.
pub(super) fn connect(address: SocketAddr) -> io::Result<TcpStream> {
    let stream = TcpStream::connect(address)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    Ok(stream)
}

/// What came back.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) status: u16,
    text: String,
}

/// What no answer says: names of what is behind the gateway.
const INSIDES: [&str; 7] = [
    "sql",
    "postgres",
    "telemetry.",
    "relation",
    "constraint",
    ".rs",
    "panick",
];

impl Answer {
    /// Reads to the end of the connection.
    pub(super) fn read(stream: TcpStream) -> io::Result<Self> {
        let mut bytes = Vec::new();
        let read = stream.take(ANSWER_BYTES_MAX).read_to_end(&mut bytes);
        let text = String::from_utf8_lossy(&bytes).to_lowercase();
        let status = text
            .split(' ')
            .nth(1)
            .and_then(|status| status.parse().ok());
        // A server that refuses a body may reset the connection after its answer.
        match (status, read) {
            (Some(status), _) => Ok(Self { status, text }),
            (None, Err(error)) => Err(error),
            (None, Ok(_)) => Err(io::ErrorKind::UnexpectedEof.into()),
        }
    }

    /// Whether it tells something of what is behind the gateway.
    pub(super) fn tells(&self) -> bool {
        INSIDES.iter().any(|word| self.text.contains(word))
    }
}
