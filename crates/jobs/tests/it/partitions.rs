//! The gateway is asked to make partitions, until it has made them.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use model::job::JobState;
use proto::telemetry::upkeep_server::{Upkeep, UpkeepServer};
use proto::telemetry::{MakePartitionsRequest, MakePartitionsResponse};
use secrecy::SecretString;
use service_kit::GrpcConfig;
use storage::queue::NewJob;
use streamhaul_jobs::Gateway;
use streamhaul_jobs::job::Registry;
use streamhaul_jobs::jobs::TelemetryPartitions;
use testkit::control_plane::SERVICE_TOKEN;
use tokio::net::TcpListener;
use tonic::transport::Server;
use tonic::transport::server::TcpIncoming;
use tonic::{Request, Response, Status};

use crate::world::{World, settings};

/// A gateway whose writers are in the way of the first call.
#[derive(Clone, Default)]
struct Fake(Arc<AtomicU32>);

#[tonic::async_trait]
impl Upkeep for Fake {
    async fn make_partitions(
        &self,
        request: Request<MakePartitionsRequest>,
    ) -> Result<Response<MakePartitionsResponse>, Status> {
        let shown = request.metadata().get("authorization");
        let expected = format!("Bearer {SERVICE_TOKEN}");
        if shown.is_none_or(|shown| shown.as_bytes() != expected.as_bytes()) {
            return Err(Status::unauthenticated("who are you?"));
        }
        match self.0.fetch_add(1, Ordering::Relaxed) {
            0 => Err(Status::aborted("writers are in the way")),
            _ => Ok(Response::new(MakePartitionsResponse {
                made: 15,
                stray_events: 0,
            })),
        }
    }
}

impl Fake {
    async fn serve(&self) -> SocketAddr {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let address = listener.local_addr().unwrap();
        let router = Server::builder().add_service(UpkeepServer::new(self.clone()));
        tokio::spawn(router.serve_with_incoming(TcpIncoming::from(listener)));
        address
    }
}

fn registry(gateway: SocketAddr, token: &str) -> Registry {
    let (uri, token) = (format!("http://{gateway}"), SecretString::from(token));
    let gateway = Gateway::new((&GrpcConfig::default(), &uri), &token).unwrap();
    Registry::default().with(TelemetryPartitions::new(gateway))
}

#[tokio::test]
async fn telemetry_partitions_asks_until_they_are_made() {
    let (world, fake) = (World::new().await, Fake::default());
    let registry = registry(fake.serve().await, SERVICE_TOKEN);
    let engine = world.engine(registry, settings());
    let id = world.enqueue(NewJob::new(TelemetryPartitions::KIND)).await;
    let job = world.wait_for(id, JobState::Completed).await;
    engine.stop().await;
    assert_eq!((job.attempt, fake.0.load(Ordering::Relaxed)), (2, 2));
    assert!(job.last_error.unwrap().contains("in the way"));
}

#[tokio::test]
async fn a_gateway_of_another_instance_is_not_obeyed() {
    let (world, fake) = (World::new().await, Fake::default());
    let registry = registry(fake.serve().await, "sh_svc_wrong");
    let engine = world.engine(registry, settings());
    let id = world.enqueue(NewJob::new(TelemetryPartitions::KIND)).await;
    let job = world.wait_for(id, JobState::Retryable).await;
    engine.stop().await;
    assert!(job.last_error.unwrap().contains("who are you?"));
    assert_eq!(fake.0.load(Ordering::Relaxed), 0);
}
