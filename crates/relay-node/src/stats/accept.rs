//! Connections, each bounded in number, in time and in what it may send.

use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use hyper::Request;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::{Service as _, service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use socket2::{Domain, Socket, Type};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

use super::metrics;
use super::source::{Place, Places, Source};
use crate::sockets::lacks_ipv6;

/// Browsers bring cookies of other pages on the same host.
const HEAD_BYTES_MAX: usize = 16 << 10;
/// A peer that takes nothing for so long is cut.
const PEER_SILENT_MAX: Duration = Duration::from_secs(20);
/// Connections that wait to be accepted.
const ACCEPT_BACKLOG: i32 = 256;
/// Waits this long when the process has no more descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// How long things may take.
#[derive(Debug, Clone, Copy)]
pub(super) struct Times {
    /// A request's head, and a connection's idling.
    head_max: Duration,
    /// A connection is asked to end after this, whatever it does; WebSockets are not.
    life_max: Duration,
    /// Ending, then.
    end_max: Duration,
}

impl Default for Times {
    fn default() -> Self {
        Self {
            head_max: Duration::from_secs(15),
            life_max: Duration::from_secs(600),
            end_max: Duration::from_secs(5),
        }
    }
}

/// Binds the listener. `[::]` takes IPv4 too; where there is no IPv6 it becomes
/// `0.0.0.0`.
///
/// # Errors
/// When the kernel refuses.
pub(crate) fn bind(address: SocketAddr) -> io::Result<TcpListener> {
    match bind_one(address) {
        Err(error) if lacks_ipv6(&error) && address.ip() == Ipv6Addr::UNSPECIFIED => {
            bind_one((Ipv4Addr::UNSPECIFIED, address.port()).into())
        }
        bound => bound,
    }
}

fn bind_one(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, None)?;
    if address.is_ipv6() {
        socket.set_only_v6(false)?;
    }
    // The ports of connections of a node that was here a moment ago.
    socket.set_reuse_address(true)?;
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    socket.listen(ACCEPT_BACKLOG)?;
    TcpListener::from_std(socket.into())
}

/// Serves forever.
pub(super) async fn serve(listener: TcpListener, places: Places, router: Router, times: Times) {
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok((stream, from)) => {
                    if let Some(place) = place(&places, from) {
                        let place = Arc::new(place);
                        connections.spawn(serve_one(stream, place, router.clone(), times));
                    }
                }
                Err(error) => pause_after(&error).await,
            },
            Some(_) = connections.join_next() => {}
        }
    }
}

fn place(places: &Places, from: SocketAddr) -> Option<Place> {
    let taken = places.take(Source::of(from.ip()));
    taken.map_err(metrics::refused).ok()
}

async fn pause_after(error: &io::Error) {
    tracing::warn!(%error, "the statistics listener cannot accept");
    tokio::time::sleep(ACCEPT_PAUSE).await;
}

/// The place goes with the requests, so that a WebSocket keeps it.
async fn serve_one(stream: TcpStream, place: Arc<Place>, router: Router, times: Times) {
    if let Err(error) = set_options(&stream) {
        tracing::debug!(%error, "a connection for statistics takes no options");
    }
    let router = TowerToHyperService::new(router);
    let answer = service_fn(move |mut request: Request<Incoming>| {
        request.extensions_mut().insert(Arc::clone(&place));
        router.call(request)
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(times.head_max)
        .max_buf_size(HEAD_BYTES_MAX)
        .serve_connection(TokioIo::new(stream), answer)
        .with_upgrades();
    let mut connection = std::pin::pin!(connection);
    // What goes wrong is the peer's doing, and the peer sees it.
    let lived = tokio::time::timeout(times.life_max, connection.as_mut()).await;
    if lived.is_err() {
        connection.as_mut().graceful_shutdown();
        let _ = tokio::time::timeout(times.end_max, connection).await;
    }
}

fn set_options(stream: &TcpStream) -> io::Result<()> {
    stream.set_nodelay(true)?;
    socket2::SockRef::from(stream).set_tcp_user_timeout(Some(PEER_SILENT_MAX))
}

#[cfg(test)]
mod tests {
    use axum::routing::get;
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

    use super::*;
    use crate::stats::StatsLimits;

    const SHORT: Duration = Duration::from_millis(50);
    const LONG: Duration = Duration::from_secs(600);

    #[tokio::test]
    async fn one_listener_takes_both_families() {
        let listener = bind(SocketAddr::from((Ipv6Addr::UNSPECIFIED, 0))).unwrap();
        let port = listener.local_addr().unwrap().port();
        TcpStream::connect((Ipv4Addr::LOCALHOST, port))
            .await
            .unwrap();
    }

    async fn listen(times: Times) -> SocketAddr {
        let listener = bind(SocketAddr::from((Ipv4Addr::LOCALHOST, 0))).unwrap();
        let address = listener.local_addr().unwrap();
        let places = Places::new(&StatsLimits::default());
        let router = Router::new().route("/", get(|| async { "here" }));
        tokio::spawn(serve(listener, places, router, times));
        address
    }

    /// Everything that comes until the server ends the connection.
    async fn read_all(stream: &mut TcpStream) -> String {
        let mut all = String::new();
        stream.read_to_string(&mut all).await.unwrap();
        all
    }

    #[tokio::test]
    async fn a_client_that_never_finishes_its_request_is_cut() {
        let address = listen(Times {
            head_max: SHORT,
            life_max: LONG,
            end_max: LONG,
        })
        .await;
        let mut slow = TcpStream::connect(address).await.unwrap();
        slow.write_all(b"GET / HTTP/1.1\r\nhost: x\r\nx-a: ")
            .await
            .unwrap();
        let answer = read_all(&mut slow).await;
        assert!(!answer.contains("here"), "{answer}");
    }

    #[tokio::test]
    async fn a_client_that_never_asks_is_cut() {
        let address = listen(Times {
            head_max: SHORT,
            life_max: LONG,
            end_max: LONG,
        })
        .await;
        let mut idle = TcpStream::connect(address).await.unwrap();
        assert_eq!(read_all(&mut idle).await, "");
        let mut idle = TcpStream::connect(address).await.unwrap();
        idle.write_all(b"GET / HTTP/1.1\r\nhost: x\r\n\r\n")
            .await
            .unwrap();
        let answer = read_all(&mut idle).await;
        assert!(answer.ends_with("here"), "{answer}");
    }

    #[tokio::test]
    async fn a_connection_ends_some_day() {
        let address = listen(Times {
            head_max: LONG,
            life_max: SHORT,
            end_max: SHORT,
        })
        .await;
        let mut stream = TcpStream::connect(address).await.unwrap();
        stream.write_all(b"GET / HTTP/1.1\r\n").await.unwrap();
        assert_eq!(read_all(&mut stream).await, "");
    }
}
