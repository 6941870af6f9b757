//! The job that makes the DNS say what the control plane says.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use model::job::JobState;
use proto::fleet::dns_server::{Dns, DnsServer};
use proto::fleet::{
    ClaimDnsChangesRequest, ClaimDnsChangesResponse, DnsChange, DnsCounts, DnsOutcome, DnsResult,
    ReportDnsChangesRequest, ReportDnsChangesResponse,
};
use secrecy::SecretString;
use service_kit::GrpcConfig;
use storage::queue::NewJob;
use streamhaul_jobs::Names;
use streamhaul_jobs::dns::{Error, Provider, Record};
use streamhaul_jobs::job::Registry;
use streamhaul_jobs::jobs::SyncDns;
use testkit::control_plane::SERVICE_TOKEN;
use tokio_util::sync::{CancellationToken, DropGuard};
use tonic::transport::Server;
use tonic::transport::server::TcpIncoming;
use tonic::{Request, Response, Status};

use crate::world::{World, settings};

/// A control plane that wants these records, and hears what became of them.
#[derive(Clone, Default)]
struct Wanting(Arc<Mutex<Inner>>);

#[derive(Default)]
struct Inner {
    wanted: VecDeque<DnsChange>,
    outcomes: Vec<DnsOutcome>,
}

impl Wanting {
    fn want(&self, hosts: &[&str]) {
        let mut inner = self.0.lock().unwrap();
        for (number, host) in hosts.iter().enumerate() {
            inner.wanted.push_back(DnsChange {
                stream_id: format!("str_{number}"),
                claim: 1,
                name: format!("name{number}.live.example.com"),
                host: (*host).to_owned(),
                ttl_seconds: 60,
            });
        }
    }

    /// How each name ended, and why.
    fn heard(&self) -> Vec<(String, DnsResult, String)> {
        let inner = self.0.lock().unwrap();
        let outcomes = inner.outcomes.iter();
        outcomes
            .map(|it| {
                let name = it.change.as_ref().unwrap().name.clone();
                (name, it.result(), it.failure.clone())
            })
            .collect()
    }
}

#[tonic::async_trait]
impl Dns for Wanting {
    async fn claim_dns_changes(
        &self,
        request: Request<ClaimDnsChangesRequest>,
    ) -> Result<Response<ClaimDnsChangesResponse>, Status> {
        let request = request.into_inner();
        let timeout = Duration::from_secs(100);
        assert!(Duration::from_millis(request.claim_ms.into()) > timeout);
        let mut inner = self.0.lock().unwrap();
        let count = inner.wanted.len().min(request.limit as usize);
        Ok(Response::new(ClaimDnsChangesResponse {
            changes: inner.wanted.drain(..count).collect(),
            counts: Some(DnsCounts::default()),
        }))
    }

    async fn report_dns_changes(
        &self,
        request: Request<ReportDnsChangesRequest>,
    ) -> Result<Response<ReportDnsChangesResponse>, Status> {
        let outcomes = request.into_inner().outcomes;
        self.0.lock().unwrap().outcomes.extend(outcomes);
        Ok(Response::new(ReportDnsChangesResponse {}))
    }
}

async fn serving(wanting: &Wanting) -> (Names, DropGuard) {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let uri = format!("http://{}", listener.local_addr().unwrap());
    let stop = CancellationToken::new();
    let server = Server::builder()
        .add_service(DnsServer::new(wanting.clone()))
        .serve_with_incoming_shutdown(TcpIncoming::from(listener), stop.clone().cancelled_owned());
    tokio::spawn(server);
    let names = Names::new(
        (&GrpcConfig::default(), &uri),
        &SecretString::from(SERVICE_TOKEN),
    )
    .unwrap();
    (names, stop.drop_guard())
}

/// A provider that fails as the test says, by what a name should point at.
#[derive(Clone, Default)]
struct Scripted {
    written: Arc<Mutex<Vec<Record>>>,
    trouble: Arc<Mutex<VecDeque<(&'static str, Error)>>>,
}

impl Scripted {
    fn fail(&self, target: &'static str, error: Error) {
        self.trouble.lock().unwrap().push_back((target, error));
    }

    fn names(&self) -> Vec<String> {
        let written = self.written.lock().unwrap();
        written.iter().map(|record| record.name.clone()).collect()
    }
}

impl Provider for Scripted {
    fn apply<'a>(&'a self, record: &'a Record) -> BoxFuture<'a, Result<(), Error>> {
        let target = record.target.as_ref().map(ToString::to_string);
        let mut trouble = self.trouble.lock().unwrap();
        let fails = trouble
            .front()
            .is_some_and(|(it, _)| Some(*it) == target.as_deref());
        let result = if fails {
            Err(trouble.pop_front().unwrap().1)
        } else {
            self.written.lock().unwrap().push(record.clone());
            Ok(())
        };
        async { result }.boxed()
    }
}

fn registry(names: Names, provider: &Scripted) -> Registry {
    Registry::default().with(SyncDns::new(names, Some(Arc::new(provider.clone()))))
}

#[tokio::test(flavor = "multi_thread")]
async fn every_record_is_written_and_reported() {
    let (world, wanting, provider) = (World::new().await, Wanting::default(), Scripted::default());
    let (names, _serving) = serving(&wanting).await;
    let many: Vec<String> = (1..=120).map(|host| format!("192.0.2.{host}")).collect();
    let mut hosts: Vec<&str> = many.iter().map(String::as_str).collect();
    hosts.push("");
    wanting.want(&hosts);
    let engine = world.engine(registry(names, &provider), settings());
    let id = world.enqueue(NewJob::new(SyncDns::KIND)).await;
    world.wait_for(id, JobState::Completed).await;
    engine.stop().await;
    let heard = wanting.heard();
    assert_eq!(heard.len(), 121);
    assert!(
        heard
            .iter()
            .all(|(_, result, _)| *result == DnsResult::Done)
    );
    assert_eq!(provider.names().len(), 121);
    assert_eq!(provider.written.lock().unwrap()[120].target, None);
}

#[tokio::test(flavor = "multi_thread")]
async fn one_bad_record_harms_no_other() {
    let (world, wanting, provider) = (World::new().await, Wanting::default(), Scripted::default());
    let (names, _serving) = serving(&wanting).await;
    wanting.want(&["192.0.2.1", "what is this?", "192.0.2.2", "192.0.2.3"]);
    provider.fail("192.0.2.2", Error::Refused("no".to_owned()));
    let engine = world.engine(registry(names, &provider), settings());
    let id = world.enqueue(NewJob::new(SyncDns::KIND)).await;
    world.wait_for(id, JobState::Completed).await;
    engine.stop().await;
    let results: Vec<DnsResult> = wanting.heard().iter().map(|heard| heard.1).collect();
    let (done, failed) = (DnsResult::Done, DnsResult::Failed);
    assert_eq!(results, [done, failed, failed, done]);
    assert!(
        wanting.heard()[1]
            .2
            .contains("neither an address nor a host name")
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_provider_that_is_away_is_asked_once_and_again_later() {
    let (world, wanting, provider) = (World::new().await, Wanting::default(), Scripted::default());
    let (names, _serving) = serving(&wanting).await;
    wanting.want(&["192.0.2.1", "192.0.2.2", "192.0.2.3"]);
    provider.fail("192.0.2.2", Error::Unavailable("no route".to_owned()));
    let engine = world.engine(registry(names, &provider), settings());
    let id = world.enqueue(NewJob::new(SyncDns::KIND)).await;
    let job = world.wait_for(id, JobState::Completed).await;
    engine.stop().await;
    assert_eq!(job.attempt, 2);
    assert!(job.last_error.unwrap().contains("no route"));
    let results: Vec<DnsResult> = wanting.heard().iter().map(|heard| heard.1).collect();
    let (done, failed, left) = (DnsResult::Done, DnsResult::Failed, DnsResult::Left);
    assert_eq!(results, [done, failed, left], "the rest was not tried");
    assert_eq!(provider.names().len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_provider_that_wants_to_be_left_alone_is() {
    let (world, wanting, provider) = (World::new().await, Wanting::default(), Scripted::default());
    let (names, _serving) = serving(&wanting).await;
    wanting.want(&["192.0.2.1", "192.0.2.2"]);
    provider.fail("192.0.2.1", Error::RateLimited(Duration::from_secs(3600)));
    let engine = world.engine(registry(names, &provider), settings());
    let id = world.enqueue(NewJob::new(SyncDns::KIND)).await;
    let job = world.wait_for(id, JobState::Scheduled).await;
    engine.stop().await;
    let wait = job.run_at.since(world.queue.now().await.unwrap());
    assert!(wait > Duration::from_secs(3000), "{wait:?}");
    assert_eq!(provider.names(), [""; 0]);
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_provider_nothing_is_claimed() {
    let (world, wanting) = (World::new().await, Wanting::default());
    let (names, _serving) = serving(&wanting).await;
    wanting.want(&["192.0.2.1"]);
    let registry = Registry::default().with(SyncDns::new(names, None));
    let engine = world.engine(registry, settings());
    let id = world.enqueue(NewJob::new(SyncDns::KIND)).await;
    world.wait_for(id, JobState::Completed).await;
    engine.stop().await;
    assert_eq!(wanting.0.lock().unwrap().wanted.len(), 1);
    assert_eq!(wanting.heard(), []);
}
