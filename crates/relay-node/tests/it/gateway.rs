//! A metrics-gateway that keeps what it is told.

use std::net::SocketAddr;
use std::time::Duration;

use proto::telemetry as pb;
use proto::telemetry::telemetry_server::{Telemetry, TelemetryServer};
use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tokio_stream::wrappers::TcpListenerStream;
use tonic::{Request, Response, Status, Streaming};

use crate::plane::CREDENTIAL;

const PATIENCE: Duration = Duration::from_secs(20);

pub(crate) struct Gateway {
    pub(crate) address: SocketAddr,
    reports: mpsc::Receiver<pb::NodeReport>,
    server: tokio::task::JoinHandle<()>,
}

impl Gateway {
    pub(crate) async fn start() -> Self {
        Self::start_at(SocketAddr::from(([127, 0, 0, 1], 0))).await
    }

    pub(crate) async fn start_at(address: SocketAddr) -> Self {
        let listener = TcpListener::bind(address).await.expect("a free port");
        let address = listener.local_addr().expect("bound");
        let (received, reports) = mpsc::channel(64);
        let server = tokio::spawn(async move {
            let serve = tonic::transport::Server::builder()
                .add_service(TelemetryServer::new(Service { received }))
                .serve_with_incoming(TcpListenerStream::new(listener));
            serve.await.expect("the test's server runs");
        });
        Self {
            address,
            reports,
            server,
        }
    }

    pub(crate) async fn report(&mut self) -> pb::NodeReport {
        let report = tokio::time::timeout(PATIENCE, self.reports.recv()).await;
        report.expect("a report in time").expect("the server runs")
    }

    pub(crate) async fn stop(self) {
        self.server.abort();
        let _ = self.server.await;
    }
}

struct Service {
    received: mpsc::Sender<pb::NodeReport>,
}

#[tonic::async_trait]
impl Telemetry for Service {
    async fn report(
        &self,
        request: Request<Streaming<pb::NodeReport>>,
    ) -> Result<Response<pb::ReportSummary>, Status> {
        if service_kit::grpc::bearer(request.metadata()) != Some(CREDENTIAL) {
            return Err(Status::unauthenticated("unknown credential"));
        }
        let mut stream = request.into_inner();
        let mut reports = 0;
        while let Some(report) = stream.message().await? {
            reports += 1;
            let kept = self.received.send(report).await;
            kept.map_err(|_| Status::unavailable("the gateway is gone"))?;
        }
        Ok(Response::new(pb::ReportSummary { reports }))
    }
}
