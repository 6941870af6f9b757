//! NOALBS connects, and is told each second.

use std::sync::Arc;
use std::time::Duration;

use axum::extract::ws::{Message, WebSocket, WebSocketUpgrade};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use tokio::sync::OwnedSemaphorePermit;

use super::dialect::Dialect;
use super::keys::KeyDigest;
use super::metrics::{self, OpenSocket, Refusal};
use super::source::Place;
use super::{Found, Stats};

/// Clients have nothing to say but pings.
const MESSAGE_BYTES_MAX: usize = 1024;
/// Of these so many between two seconds.
const FRAMES_MAX: u32 = 16;
/// A client that takes nothing for so long is cut.
const SEND_TIME_MAX: Duration = Duration::from_secs(10);
const RETRY_SECONDS: &str = "10";

/// A client that goes on after the HTTP, with what it occupies.
struct Client {
    stats: Stats,
    digest: KeyDigest,
    _place: Arc<Place>,
    _permit: OwnedSemaphorePermit,
    _open: OpenSocket,
}

/// Why a client is told nothing more.
struct Over;

pub(super) fn start(
    stats: Stats,
    digest: KeyDigest,
    place: Arc<Place>,
    upgrade: WebSocketUpgrade,
) -> Response {
    let Ok(permit) = Arc::clone(&stats.sockets).try_acquire_owned() else {
        metrics::refused(Refusal::SocketsFull);
        let retry = [(header::RETRY_AFTER, RETRY_SECONDS)];
        return (StatusCode::SERVICE_UNAVAILABLE, retry).into_response();
    };
    let client = Client {
        stats,
        digest,
        _place: place,
        _permit: permit,
        _open: OpenSocket::new(),
    };
    upgrade
        .max_message_size(MESSAGE_BYTES_MAX)
        .max_frame_size(MESSAGE_BYTES_MAX)
        .on_upgrade(|socket| client.run(socket))
}

impl Client {
    /// Tells what there is, then each second's, until the key is gone.
    async fn run(self, mut socket: WebSocket) {
        let mut boards = self.stats.boards.clone();
        let mut told = self.tell(&mut socket).await;
        let mut frames = 0;
        while told.is_ok() {
            told = tokio::select! {
                changed = boards.changed() => match changed {
                    Ok(()) => {
                        frames = 0;
                        self.tell(&mut socket).await
                    }
                    Err(_) => Err(Over),
                },
                frame = socket.recv() => {
                    frames += 1;
                    hear(frame.as_ref(), frames)
                }
            };
        }
        let _ = tokio::time::timeout(SEND_TIME_MAX, socket.send(Message::Close(None))).await;
    }

    async fn tell(&self, socket: &mut WebSocket) -> Result<(), Over> {
        let found = self.stats.find(&self.digest);
        let Found {
            stream,
            observed_at,
        } = found.map_err(|_| Over)?;
        let text = Dialect::WebSocket.encode(stream.as_deref(), observed_at);
        let sent = tokio::time::timeout(SEND_TIME_MAX, socket.send(Message::Text(text.into())));
        match sent.await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(_)) | Err(_) => Err(Over),
        }
    }
}

/// Pings are answered by the library.
fn hear(frame: Option<&Result<Message, axum::Error>>, frames: u32) -> Result<(), Over> {
    match frame {
        Some(Ok(Message::Ping(_) | Message::Pong(_))) if frames <= FRAMES_MAX => Ok(()),
        _ => Err(Over),
    }
}
