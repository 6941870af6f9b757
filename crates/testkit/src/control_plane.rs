//! A control plane for services that ask one: the test says what it answers, this
//! serves it over real gRPC to callers who know the service token.

use std::io;
use std::net::SocketAddr;

use proto::fleet::control_server::{Control, ControlServer};
use proto::fleet::upkeep_server::{Upkeep, UpkeepServer};
use tokio::net::TcpListener;
use tokio_util::sync::{CancellationToken, DropGuard};
use tonic::transport::Server;
use tonic::transport::server::Router;
use tonic::transport::server::TcpIncoming;
use tonic::{Request, Status};

/// What every caller must present.
pub const SERVICE_TOKEN: &str =
    "sh_svc_00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff";

/// The control plane, until it is dropped.
#[derive(Debug)]
pub struct ControlPlane {
    address: SocketAddr,
    _stop: DropGuard,
}

impl ControlPlane {
    /// Serves `answers` on a free port.
    ///
    /// # Errors
    /// Those of the system.
    pub async fn start(answers: impl Control) -> io::Result<Self> {
        Self::start_at(SocketAddr::from(([127, 0, 0, 1], 0)), answers).await
    }

    /// Serves `answers` where an earlier one was.
    ///
    /// # Errors
    /// Those of the system.
    pub async fn start_at(address: SocketAddr, answers: impl Control) -> io::Result<Self> {
        let control = ControlServer::with_interceptor(answers, authorized);
        Self::serve(address, Server::builder().add_service(control)).await
    }

    /// The same, upkeep as well.
    ///
    /// # Errors
    /// Those of the system.
    pub async fn start_whole_at(
        address: SocketAddr,
        answers: impl Control + Upkeep + Clone,
    ) -> io::Result<Self> {
        let control = ControlServer::with_interceptor(answers.clone(), authorized);
        let upkeep = UpkeepServer::with_interceptor(answers, authorized);
        let router = Server::builder().add_service(control).add_service(upkeep);
        Self::serve(address, router).await
    }

    async fn serve(address: SocketAddr, router: Router) -> io::Result<Self> {
        let listener = TcpListener::bind(address).await?;
        let address = listener.local_addr()?;
        let stop = CancellationToken::new();
        let incoming = TcpIncoming::from(listener);
        let server = router.serve_with_incoming_shutdown(incoming, stop.clone().cancelled_owned());
        tokio::spawn(server);
        Ok(Self {
            address,
            _stop: stop.drop_guard(),
        })
    }

    /// Where it listens.
    #[must_use]
    pub const fn address(&self) -> SocketAddr {
        self.address
    }

    /// The same for a client.
    #[must_use]
    pub fn uri(&self) -> String {
        format!("http://{}", self.address)
    }
}

fn authorized(request: Request<()>) -> Result<Request<()>, Status> {
    let expected = format!("Bearer {SERVICE_TOKEN}");
    match request.metadata().get("authorization") {
        Some(given) if given.as_bytes() == expected.as_bytes() => Ok(request),
        _ => Err(Status::unauthenticated("who are you?")),
    }
}
