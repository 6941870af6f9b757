//! Serves HTTP to strangers: a bounded number of connections, of which one address has a
//! few at most, and a deadline for the head of each request, so that whoever dawdles
//! takes nobody's place for long.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::ConnectInfo;
use axum::http::Request;
use hyper::body::Incoming;
use hyper::server::conn::{http1, http2};
use hyper::service::{Service as _, service_fn};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::graceful::GracefulConnection;
use hyper_util::service::TowerToHyperService;
use socket2::SockRef;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::places::Places;

/// The largest head of a request, in bytes: browsers bring cookies of other pages on the
/// same host.
const HEAD_BYTES_MAX: usize = 64 << 10;
/// What a connection of HTTP/2 begins with; no method of HTTP/1.1 does.
const HTTP2: &[u8; 3] = b"PRI";
const STREAMS_PER_CONNECTION_MAX: u32 = 64;
/// A peer that acknowledges nothing for this long is gone (`TCP_USER_TIMEOUT`).
const SILENT_MAX: Duration = Duration::from_secs(30);
/// Waits this long when the process has no more descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// What one peer is granted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Terms {
    /// With whom its connections count together; none: they do not, such as a proxy's that
    /// brings everybody.
    pub holder: Option<IpAddr>,
    /// How long a request's head may take, and how long a connection may idle.
    pub head_timeout: Duration,
}

/// What connections may take.
#[derive(Clone)]
pub struct Bounds {
    /// One for each connection.
    pub connections: Places<IpAddr>,
    /// What a peer is granted, by its address; IPv4 is never mapped to IPv6.
    pub terms: Arc<dyn Fn(IpAddr) -> Terms + Send + Sync>,
    /// Whether gRPC is answered as well, by HTTP/2 with prior knowledge.
    pub http2: bool,
}

/// Answers HTTP/1.1, and HTTP/2 if the bounds say so, by `router`, with [`ConnectInfo`] among the extensions, until the
/// shutdown; then lets the requests under way end.
pub async fn serve(
    listener: TcpListener,
    router: Router,
    bounds: Bounds,
    shutdown: CancellationToken,
) {
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            () = shutdown.cancelled() => break,
            accepted = listener.accept() => match accepted {
                Ok((stream, peer)) => {
                    let terms = (bounds.terms)(peer.ip().to_canonical());
                    // Beyond the bounds it is closed without a word: writing one would
                    // take the time of those who are served.
                    if let Ok(place) = bounds.connections.take(terms.holder) {
                        let patience = (terms.head_timeout, bounds.http2);
                        let served =
                            serve_one((stream, peer), router.clone(), patience, shutdown.clone());
                        connections.spawn(async move {
                            served.await;
                            drop(place);
                        });
                    }
                }
                Err(error) => pause_after(&error).await,
            },
            Some(_) = connections.join_next() => {}
        }
    }
    while connections.join_next().await.is_some() {}
}

async fn pause_after(error: &io::Error) {
    tracing::warn!(%error, "The HTTP listener cannot accept");
    tokio::time::sleep(ACCEPT_PAUSE).await;
}

async fn serve_one(
    (stream, peer): (TcpStream, SocketAddr),
    router: Router,
    (head_timeout, http2): (Duration, bool),
    shutdown: CancellationToken,
) {
    let silent_max = SockRef::from(&stream).set_tcp_user_timeout(Some(SILENT_MAX));
    if let Err(error) = silent_max.and_then(|()| stream.set_nodelay(true)) {
        tracing::debug!(%error, "A connection takes no options");
    }
    let router = TowerToHyperService::new(router);
    let answer = service_fn(move |mut request: Request<Incoming>| {
        request.extensions_mut().insert(ConnectInfo(peer));
        router.call(request)
    });
    if http2 && begins_http2(&stream, head_timeout).await {
        let connection = http2::Builder::new(TokioExecutor::new())
            .timer(TokioTimer::new())
            .keep_alive_interval(head_timeout)
            .max_concurrent_streams(STREAMS_PER_CONNECTION_MAX)
            .serve_connection(TokioIo::new(stream), answer);
        until_ended(connection, &shutdown).await;
    } else {
        let connection = http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(head_timeout)
            .max_buf_size(HEAD_BYTES_MAX)
            .serve_connection(TokioIo::new(stream), answer);
        until_ended(connection, &shutdown).await;
    }
}

/// What goes wrong is the peer's doing, and the peer sees it.
async fn until_ended(connection: impl GracefulConnection, shutdown: &CancellationToken) {
    let mut connection = std::pin::pin!(connection);
    tokio::select! {
        _ = connection.as_mut() => return,
        () = shutdown.cancelled() => connection.as_mut().graceful_shutdown(),
    }
    let _ = connection.await;
}

/// Whether the peer's first bytes are those of HTTP/2 (RFC 9113 section 3.4); they stay
/// where they are. A peer that says nothing in time is left to HTTP/1.1, which ends it.
async fn begins_http2(stream: &TcpStream, patience: Duration) -> bool {
    let mut first = [0; HTTP2.len()];
    let peeked = tokio::time::timeout(patience, stream.peek(&mut first)).await;
    matches!(peeked, Ok(Ok(_)) if first == *HTTP2)
}
