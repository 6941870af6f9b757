//! Connections of gRPC, bounded. Until a caller has shown a credential its connection is a
//! stranger's: there are a few of those, of one network fewer, and none of them stays long,
//! so that whoever says nothing takes nobody's place.
//!
//! ```text
//!  accept ──▶ a place among all ──▶ a place among strangers ──▶ TLS ──▶ HTTP/2 ──▶ call
//!                                            ▲                                      │
//!                                            └── free again ◀── admit(extensions) ──┘
//! ```

use std::io;
use std::net::IpAddr;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use futures_util::Stream;
use serde::{Deserialize, Serialize};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio::time::Sleep;
use tokio_rustls::TlsAcceptor;
use tokio_util::task::AbortOnDropHandle;
use tonic::Extensions;
use tonic::transport::server::Connected;

use super::certificate::{Certificate, Files};
use crate::config::check_positive;
use crate::places::{Place, Places, network};
use crate::tls::HANDSHAKE_TIMEOUT;

/// Waits this long when the process has no more descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// How many connections a gRPC listener takes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Connections {
    /// At the same time; more are closed.
    pub max: usize,
    /// Of them, those of callers that have shown no credential yet.
    pub strangers_max: usize,
    /// And from one network (an IPv4 address, a /64 of IPv6).
    pub strangers_each_max: usize,
    /// How long a caller may take to show one, TLS included.
    pub stranger_seconds: u32,
}

impl Default for Connections {
    fn default() -> Self {
        Self {
            max: 20_000,
            strangers_max: 4096,
            strangers_each_max: 128,
            stranger_seconds: 20,
        }
    }
}

impl Connections {
    pub(crate) fn validate(&self) -> Result<(), String> {
        check_positive(&[
            ("kit.grpc.connections.max", self.max),
            ("kit.grpc.connections.strangers_max", self.strangers_max),
            (
                "kit.grpc.connections.strangers_each_max",
                self.strangers_each_max,
            ),
        ])?;
        let seconds = [(
            "kit.grpc.connections.stranger_seconds",
            self.stranger_seconds,
        )];
        check_positive(&seconds)
    }
}

/// A caller has shown a credential that is good: its connection is a stranger's no more.
pub fn admit(extensions: &Extensions) {
    if let Some(admission) = extensions.get::<Admission>() {
        admission.admit();
    }
}

/// The accepted connections of a listener, for tonic.
pub struct Incoming {
    listener: TcpListener,
    all: Places<IpAddr>,
    strangers: Places<IpAddr>,
    patience: Duration,
    /// No descriptor was left.
    pause: Option<Pin<Box<Sleep>>>,
    tls: Option<Tls>,
}

/// What TLS takes.
struct Tls {
    acceptor: TlsAcceptor,
    /// Those that are not done; each has a place.
    handshakes: JoinSet<io::Result<Connection>>,
    _follower: AbortOnDropHandle<()>,
}

impl Tls {
    fn new(files: Files) -> anyhow::Result<Self> {
        let certificate = Arc::new(Certificate::read(files)?);
        Ok(Self {
            acceptor: certificate.acceptor()?,
            handshakes: JoinSet::new(),
            _follower: AbortOnDropHandle::new(tokio::spawn(certificate.follow())),
        })
    }

    fn begin(&mut self, stream: TcpStream, seat: Seat) {
        let handshake = self.acceptor.accept(stream);
        self.handshakes.spawn(async move {
            let stream = tokio::time::timeout(HANDSHAKE_TIMEOUT, handshake).await??;
            Ok(seat.connection(stream))
        });
    }

    /// The next handshake that succeeds.
    fn poll_done(&mut self, cx: &mut Context<'_>) -> Poll<Connection> {
        while let Poll::Ready(Some(done)) = self.handshakes.poll_join_next(cx) {
            match done {
                Ok(Ok(connection)) => return Poll::Ready(connection),
                Ok(Err(error)) => tracing::debug!(%error, "A caller made no TLS"),
                Err(error) => tracing::error!(%error, "A TLS handshake ended"),
            }
        }
        Poll::Pending
    }
}

impl Incoming {
    /// Takes connections from a listener, by TLS when there are files for it.
    pub(crate) fn new(
        listener: TcpListener,
        connections: &Connections,
        files: Option<Files>,
    ) -> anyhow::Result<Self> {
        let Connections {
            max,
            strangers_max,
            strangers_each_max,
            stranger_seconds,
        } = *connections;
        Ok(Self {
            listener,
            all: Places::new(max, max),
            strangers: Places::new(strangers_max, strangers_each_max),
            patience: Duration::from_secs(stranger_seconds.into()),
            pause: None,
            tls: files.map(Tls::new).transpose()?,
        })
    }

    /// The places of a connection; without one it is closed and no word is said.
    fn seat(&self, stream: &TcpStream, peer: IpAddr) -> Option<Seat> {
        let place = self.all.take(None).ok()?;
        let strangers = self.strangers.take(Some(network(peer))).ok()?;
        if let Err(error) = stream.set_nodelay(true) {
            tracing::debug!(%error, "A connection takes no options");
        }
        Some(Seat {
            deadline: Box::pin(tokio::time::sleep(self.patience)),
            admission: Admission(Arc::new(Mutex::new(Some(strangers)))),
            place,
        })
    }

    fn poll_pause(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if let Some(pause) = &mut self.pause {
            ready!(pause.as_mut().poll(cx));
            self.pause = None;
        }
        Poll::Ready(())
    }
}

impl Stream for Incoming {
    type Item = io::Result<Connection>;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let it = self.get_mut();
        loop {
            if let Some(tls) = &mut it.tls
                && let Poll::Ready(connection) = tls.poll_done(cx)
            {
                return Poll::Ready(Some(Ok(connection)));
            }
            ready!(it.poll_pause(cx));
            match ready!(it.listener.poll_accept(cx)) {
                Ok((stream, peer)) => match (it.seat(&stream, peer.ip()), &mut it.tls) {
                    (None, _) => {}
                    (Some(seat), Some(tls)) => tls.begin(stream, seat),
                    (Some(seat), None) => {
                        return Poll::Ready(Some(Ok(seat.connection(stream))));
                    }
                },
                // tonic would end the server over a want of descriptors.
                Err(error) => {
                    tracing::warn!(%error, "The gRPC listener cannot accept");
                    it.pause = Some(Box::pin(tokio::time::sleep(ACCEPT_PAUSE)));
                }
            }
        }
    }
}

/// What a connection has from the moment that it is accepted.
struct Seat {
    deadline: Pin<Box<Sleep>>,
    admission: Admission,
    place: Place<IpAddr>,
}

impl Seat {
    fn connection(self, stream: impl Bytes + 'static) -> Connection {
        Connection {
            stream: Box::pin(stream),
            deadline: Some(self.deadline),
            admission: self.admission,
            _place: self.place,
        }
    }
}

/// A stream of bytes, in the clear or by TLS.
trait Bytes: AsyncRead + AsyncWrite + Send {}

impl<T: AsyncRead + AsyncWrite + Send> Bytes for T {}

/// An accepted connection.
pub struct Connection {
    stream: Pin<Box<dyn Bytes>>,
    /// When a stranger's time is up; none once it is admitted.
    deadline: Option<Pin<Box<Sleep>>>,
    admission: Admission,
    _place: Place<IpAddr>,
}

/// Whether a connection is a stranger's: as long as it has a place among them.
#[derive(Clone)]
pub struct Admission(Arc<Mutex<Option<Place<IpAddr>>>>);

impl Admission {
    fn admit(&self) {
        drop(self.place().take());
    }

    fn is_given(&self) -> bool {
        self.place().is_none()
    }

    fn place(&self) -> MutexGuard<'_, Option<Place<IpAddr>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Connected for Connection {
    type ConnectInfo = Admission;

    fn connect_info(&self) -> Admission {
        self.admission.clone()
    }
}

impl Connection {
    /// Fails once a stranger's time is up.
    fn check(&mut self, cx: &mut Context<'_>) -> io::Result<()> {
        let Some(deadline) = &mut self.deadline else {
            return Ok(());
        };
        if self.admission.is_given() {
            self.deadline = None;
            return Ok(());
        }
        match deadline.as_mut().poll(cx) {
            Poll::Pending => Ok(()),
            Poll::Ready(()) => Err(io::ErrorKind::TimedOut.into()),
        }
    }
}

impl AsyncRead for Connection {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let it = self.get_mut();
        it.check(cx)?;
        it.stream.as_mut().poll_read(cx, buffer)
    }
}

impl AsyncWrite for Connection {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let it = self.get_mut();
        it.check(cx)?;
        it.stream.as_mut().poll_write(cx, bytes)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let it = self.get_mut();
        it.check(cx)?;
        it.stream.as_mut().poll_write_vectored(cx, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.get_mut().stream.as_mut().poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.get_mut().stream.as_mut().poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_bound_is_nothing() {
        assert_eq!(Connections::default().validate(), Ok(()));
        let none = Connections {
            stranger_seconds: 0,
            ..Connections::default()
        };
        let refused = none.validate().unwrap_err();
        assert!(refused.contains("stranger_seconds"), "{refused}");
    }
}
