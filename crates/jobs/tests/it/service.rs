//! The whole service: its gRPC door, its schedules, its admin listener.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};

use proto::jobs as pb;
use proto::jobs::jobs_client::JobsClient;
use secrecy::SecretString;
use service_kit::grpc::BearerInterceptor;
use service_kit::{KitConfig, Running};
use streamhaul_jobs::{Config, Schedules};
use testkit::control_plane::SERVICE_TOKEN;
use testkit::database::TestDb;
use tonic::Code;
use tonic::service::interceptor::InterceptedService;
use tonic::transport::{Channel, Endpoint};

use crate::fake_api::FakeApi;
use crate::world::{PATIENCE, until};

type Client = JobsClient<InterceptedService<Channel, BearerInterceptor>>;

struct Service {
    running: Option<Running>,
    grpc: SocketAddr,
    admin: SocketAddr,
    api: FakeApi,
    _database: TestDb,
    _token: tempfile::NamedTempFile,
}

impl Service {
    async fn start(schedules: Schedules) -> Self {
        let (database, api) = (TestDb::new().await, FakeApi::start().await);
        let mut token = tempfile::NamedTempFile::new().unwrap();
        writeln!(token, "{SERVICE_TOKEN}").unwrap();
        let grpc = free_address();
        let config = Config {
            kit: KitConfig::with_admin_port(0),
            listen_grpc: grpc,
            database_url: database.url().into(),
            service_token_file: token.path().to_owned(),
            api_grpc: api.uri(),
            schedules,
            ..Config::default()
        };
        let running = service_kit::launch("jobs", config, streamhaul_jobs::run).unwrap();
        let admin = running.admin_addr();
        tokio::task::block_in_place(|| running.wait_ready(PATIENCE)).unwrap();
        Self {
            running: Some(running),
            grpc,
            admin,
            api,
            _database: database,
            _token: token,
        }
    }

    fn client(&self, token: &str) -> Client {
        let bearer = BearerInterceptor::new(&SecretString::from(token)).unwrap();
        JobsClient::with_interceptor(self.channel(), bearer)
    }

    fn channel(&self) -> Channel {
        let endpoint = Endpoint::from_shared(format!("http://{}", self.grpc)).unwrap();
        endpoint.connect_lazy()
    }

    fn admin(&self, path: &str) -> String {
        let mut stream = TcpStream::connect(self.admin).unwrap();
        write!(
            stream,
            "GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
        )
        .unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        answer
    }

    fn stop(mut self) {
        let running = self.running.take().unwrap();
        running.shutdown();
        tokio::task::block_in_place(|| running.join()).unwrap();
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        if let Some(running) = &self.running {
            running.shutdown();
        }
    }
}

fn free_address() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    listener.local_addr().unwrap()
}

fn never() -> Schedules {
    Schedules {
        expire_sessions_seconds: 0,
        sweep_nodes_seconds: 0,
        ..Schedules::default()
    }
}

fn request(kind: &str) -> pb::EnqueueRequest {
    pb::EnqueueRequest {
        kind: kind.to_owned(),
        ..Default::default()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_is_enqueued_run_and_listed() {
    let service = Service::start(never()).await;
    let mut client = service.client(SERVICE_TOKEN);
    let response = client.enqueue(request("sweep_nodes")).await.unwrap();
    let response = response.into_inner();
    assert!(response.created);
    assert_eq!(response.job.unwrap().arguments_json, "{}");
    let job = until(async || {
        let completed = pb::ListRequest {
            state: pb::JobState::Completed.into(),
            ..Default::default()
        };
        let list = client.clone().list(completed).await.unwrap();
        list.into_inner().jobs.pop()
    })
    .await;
    assert_eq!((job.kind.as_str(), job.attempt), ("sweep_nodes", 1));
    assert_eq!(service.api.script.silent_after_ms(), [15_000]);
    service.stop();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_unique_key_finds_the_live_job() {
    let service = Service::start(never()).await;
    let mut client = service.client(SERVICE_TOKEN);
    let far = pb::EnqueueRequest {
        unique_key: "one".to_owned(),
        run_at_unix_ms: far_ahead_ms(),
        ..request("sweep_nodes")
    };
    let first = client.enqueue(far.clone()).await.unwrap().into_inner();
    let second = client.enqueue(far).await.unwrap().into_inner();
    assert_eq!((first.created, second.created), (true, false));
    assert_eq!(first.job, second.job);
    assert_eq!(first.job.unwrap().state(), pb::JobState::Scheduled);
}

fn far_ahead_ms() -> i64 {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    i64::try_from(now.unwrap().as_millis()).unwrap() + 3_600_000
}

#[tokio::test(flavor = "multi_thread")]
async fn the_door_refuses_strangers_and_nonsense() {
    let service = Service::start(never()).await;
    let stranger = service
        .client("sh_svc_wrong")
        .enqueue(request("sweep_nodes"))
        .await;
    assert_eq!(stranger.unwrap_err().code(), Code::Unauthenticated);
    let list = JobsClient::new(service.channel())
        .list(pb::ListRequest::default())
        .await;
    assert_eq!(list.unwrap_err().code(), Code::Unauthenticated);

    let mut client = service.client(SERVICE_TOKEN);
    let unknown = client.enqueue(request("make_coffee")).await.unwrap_err();
    assert_eq!(unknown.code(), Code::InvalidArgument);
    assert!(unknown.message().contains("expire_sessions, sweep_nodes"));
    let huge = pb::EnqueueRequest {
        arguments_json: format!(r#"{{"a":"{}"}}"#, "x".repeat(70_000)),
        ..request("sweep_nodes")
    };
    assert_eq!(
        client.enqueue(huge).await.unwrap_err().code(),
        Code::InvalidArgument
    );
    let many = pb::ListRequest {
        limit: 501,
        ..Default::default()
    };
    assert_eq!(
        client.list(many).await.unwrap_err().code(),
        Code::InvalidArgument
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn schedules_run_and_every_series_is_shown() {
    let service = Service::start(Schedules {
        expire_sessions_seconds: 1,
        sweep_nodes_seconds: 1,
        sync_dns_seconds: 0,
        offline_after_seconds: 7,
    })
    .await;
    service.api.script.silence("nod_1");
    service.api.script.make_expirable(3);
    let shown = until(async || {
        let shown = service.admin("/metrics");
        let done = [
            "streamhaul_jobs_nodes_swept_total 1\n",
            "streamhaul_jobs_sessions_expired_total 3\n",
            r#"streamhaul_jobs_schedule_last_success_timestamp_seconds{schedule="sweep_nodes"} 1"#,
        ]
        .iter()
        .all(|line| shown.contains(line));
        done.then_some(shown)
    })
    .await;
    assert!(service.api.script.silent_after_ms().contains(&7000));
    for series in [
        r#"streamhaul_jobs_depth{state="available"}"#,
        r#"streamhaul_jobs_depth{state="discarded"} 0"#,
        "streamhaul_jobs_oldest_available_age_seconds ",
        r#"streamhaul_jobs_attempts_total{job="sweep_nodes",outcome="panicked"} 0"#,
        r#"streamhaul_jobs_discards_total{job="expire_sessions"} 0"#,
        r#"streamhaul_jobs_rescues_total{job="expire_sessions"} 0"#,
        r#"streamhaul_jobs_run_duration_seconds_bucket{job="sweep_nodes",outcome="completed""#,
    ] {
        assert!(shown.contains(series), "{series} is not in\n{shown}");
    }
    service.stop();
}
