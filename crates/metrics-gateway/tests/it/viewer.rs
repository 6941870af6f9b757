//! A viewer that reads server-sent events off a plain socket.

use std::net::SocketAddr;

use serde_json::Value;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader, Lines};
use tokio::net::tcp::OwnedReadHalf;
use tokio::net::{TcpSocket, TcpStream};

use crate::world::PATIENCE;

const RECEIVE_BUFFER_BYTES: u32 = 16 * 1024;

pub(crate) struct Viewer {
    lines: Lines<BufReader<OwnedReadHalf>>,
    /// The connection lives as long as both halves.
    _requests: tokio::net::tcp::OwnedWriteHalf,
}

#[derive(Debug)]
pub(crate) struct Event {
    pub(crate) name: String,
    pub(crate) id: Option<i64>,
    pub(crate) data: Value,
}

impl Viewer {
    /// Asks for a session's live view; the answer must be a stream.
    pub(crate) async fn open(http: SocketAddr, session: &str, headers: &str) -> Self {
        let stream = request(http, session, headers).await;
        let (reading, writing) = stream.into_split();
        let mut viewer = Self {
            lines: BufReader::new(reading).lines(),
            _requests: writing,
        };
        let status = viewer.line().await.unwrap();
        assert!(status.contains(" 200 "), "{status}");
        while !viewer.line().await.unwrap().is_empty() {}
        viewer
    }

    /// The next event; `None` when the stream ended.
    pub(crate) async fn next(&mut self) -> Option<Event> {
        let (mut name, mut id, mut data) = (None, None, None);
        loop {
            let line = self.line().await?;
            if let Some(text) = line.strip_prefix("event: ") {
                name = Some(text.to_owned());
            } else if let Some(text) = line.strip_prefix("id: ") {
                id = Some(text.parse().unwrap());
            } else if let Some(text) = line.strip_prefix("data: ") {
                data = Some(serde_json::from_str(text).unwrap());
            } else if line.is_empty()
                && let (Some(name), Some(data)) = (name.take(), data.take())
            {
                return Some(Event { name, id, data });
            }
        }
    }

    /// The next line.
    async fn line(&mut self) -> Option<String> {
        let line = tokio::time::timeout(PATIENCE, self.lines.next_line()).await;
        line.expect("a line within our patience").ok().flatten()
    }
}

/// A connection whose answer nobody has read yet. It speaks HTTP/1.0, so that the
/// body comes without chunks.
pub(crate) async fn request(http: SocketAddr, session: &str, headers: &str) -> TcpStream {
    let socket = TcpSocket::new_v4().unwrap();
    // Little room, so that a viewer that does not read is soon noticed.
    socket.set_recv_buffer_size(RECEIVE_BUFFER_BYTES).unwrap();
    let mut stream = socket.connect(http).await.unwrap();
    let request = format!("GET /v1/sessions/{session}/live HTTP/1.0\r\nHost: x\r\n{headers}\r\n");
    stream.write_all(request.as_bytes()).await.unwrap();
    stream
}
