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
    Schedules::none()
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
    assert!(unknown.message().contains("expire_bans, expire_sessions"));
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
async fn jobs_are_looked_at_cancelled_and_tried_again() {
    let service = Service::start(never()).await;
    let mut client = service.client(SERVICE_TOKEN);
    let far = pb::EnqueueRequest {
        run_at_unix_ms: far_ahead_ms(),
        priority: 1,
        ..request("sweep_nodes")
    };
    let made = client.enqueue(far).await.unwrap().into_inner().job.unwrap();
    assert_eq!((made.priority, made.queue.as_str()), (1, "default"));
    let id = made.id;
    let got = client
        .get(pb::GetRequest { id })
        .await
        .unwrap()
        .into_inner();
    assert_eq!(got.job.unwrap(), made);
    let cancelled = client
        .cancel(pb::CancelRequest { id })
        .await
        .unwrap()
        .into_inner();
    assert_eq!(cancelled.job.unwrap().state(), pb::JobState::Cancelled);
    let again = client.cancel(pb::CancelRequest { id }).await.unwrap_err();
    assert_eq!(again.code(), Code::FailedPrecondition);
    client.retry(pb::RetryRequest { id }).await.unwrap();
    until(async || {
        let got = client
            .clone()
            .get(pb::GetRequest { id })
            .await
            .unwrap()
            .into_inner();
        (got.job.unwrap().state() == pb::JobState::Completed).then_some(())
    })
    .await;
    let unknown = pb::GetRequest { id: i64::MAX };
    assert_eq!(
        client.get(unknown).await.unwrap_err().code(),
        Code::NotFound
    );
    let nonsense = pb::RetryRequest { id: -1 };
    assert_eq!(
        client.retry(nonsense).await.unwrap_err().code(),
        Code::InvalidArgument
    );
    service.stop();
}

#[tokio::test(flavor = "multi_thread")]
async fn batches_are_enqueued_and_idempotent() {
    let service = Service::start(never()).await;
    let mut client = service.client(SERVICE_TOKEN);
    let keyed = pb::EnqueueRequest {
        idempotency_key: "k".to_owned(),
        run_at_unix_ms: far_ahead_ms(),
        traceparent: "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01".to_owned(),
        ..request("sweep_nodes")
    };
    let unique = pb::EnqueueRequest {
        unique: Some(pb::Unique {
            by_arguments: true,
            period_seconds: 3600,
        }),
        ..request("expire_sessions")
    };
    let jobs = vec![
        keyed.clone(),
        keyed,
        unique.clone(),
        unique,
        request("sweep_nodes"),
    ];
    let batch = pb::EnqueueManyRequest { jobs };
    let answer = client.enqueue_many(batch).await.unwrap().into_inner().jobs;
    let created: Vec<bool> = answer.iter().map(|job| job.created).collect();
    assert_eq!(created, [true, false, true, false, true]);
    assert_eq!(answer[0].id, answer[1].id);

    let bad = vec![request("sweep_nodes"), request("make_coffee")];
    let refused = client
        .enqueue_many(pb::EnqueueManyRequest { jobs: bad })
        .await
        .unwrap_err();
    assert!(
        refused.message().starts_with("jobs[1]: kind: unknown"),
        "{refused}"
    );
    let many = vec![request("sweep_nodes"); 1001];
    let refused = client
        .enqueue_many(pb::EnqueueManyRequest { jobs: many })
        .await
        .unwrap_err();
    assert_eq!(refused.code(), Code::InvalidArgument);
    service.stop();
}

#[tokio::test(flavor = "multi_thread")]
async fn queues_rest_and_schedules_run_when_they_are_told_to() {
    let service = Service::start(Schedules {
        expire_sessions_seconds: 3_000_000,
        ..never()
    })
    .await;
    let mut client = service.client(SERVICE_TOKEN);
    let pause = pb::PauseQueueRequest {
        queue: "webhooks".to_owned(),
    };
    assert!(
        client
            .pause_queue(pause.clone())
            .await
            .unwrap()
            .into_inner()
            .changed
    );
    assert!(
        !client
            .pause_queue(pause)
            .await
            .unwrap()
            .into_inner()
            .changed
    );
    let queues = client
        .list_queues(pb::ListQueuesRequest {})
        .await
        .unwrap()
        .into_inner()
        .queues;
    let shown: Vec<_> = queues
        .iter()
        .map(|queue| (queue.name.as_str(), queue.paused, queue.workers))
        .collect();
    assert_eq!(shown, [("default", false, 4), ("webhooks", true, 4)]);
    let resume = pb::ResumeQueueRequest {
        queue: "webhooks".to_owned(),
    };
    assert!(
        client
            .resume_queue(resume)
            .await
            .unwrap()
            .into_inner()
            .changed
    );
    let typo = pb::PauseQueueRequest {
        queue: "webhook".to_owned(),
    };
    let refused = client.pause_queue(typo).await.unwrap_err();
    assert!(refused.message().contains("default, webhooks"), "{refused}");

    let run = |name: &str| pb::RunScheduleRequest {
        name: name.to_owned(),
    };
    // Of the slot that it is in, or beside its job.
    let done = until(async || {
        let ran = client
            .clone()
            .run_schedule(run("expire_sessions"))
            .await
            .unwrap();
        ran.into_inner().created.then_some(())
    });
    done.await;
    until(async || {
        let list = client
            .clone()
            .list_schedules(pb::ListSchedulesRequest {})
            .await
            .unwrap();
        let schedules = list.into_inner().schedules;
        assert_eq!(schedules[0].cadence, "every 3000000s");
        assert_eq!(schedules[0].catch_up, "last");
        assert!(schedules[0].next_slot_unix_ms > far_ahead_ms() - 3_600_000);
        (schedules[0].last_slot_unix_ms > 0 && schedules[0].last_success_unix_ms > 0).then_some(())
    })
    .await;
    let unknown = client.run_schedule(run("brew")).await.unwrap_err();
    assert_eq!(unknown.code(), Code::NotFound);
    service.stop();
}

#[tokio::test(flavor = "multi_thread")]
async fn schedules_run_and_every_series_is_shown() {
    let service = Service::start(Schedules {
        expire_sessions_seconds: 1,
        sweep_nodes_seconds: 1,
        offline_after_seconds: 7,
        ..never()
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
            r#"streamhaul_jobs_leader{name="scheduler"} 1"#,
        ]
        .iter()
        .all(|line| shown.contains(line));
        done.then_some(shown)
    })
    .await;
    assert!(service.api.script.silent_after_ms().contains(&7000));
    for series in [
        r#"streamhaul_jobs_depth{queue="default",state="available"}"#,
        r#"streamhaul_jobs_depth{queue="webhooks",state="retryable"} 0"#,
        r#"streamhaul_jobs_oldest_age_seconds{queue="default",state="available"}"#,
        r#"streamhaul_jobs_queue_paused{queue="webhooks"} 0"#,
        "streamhaul_jobs_discarded 0",
        r#"streamhaul_jobs_schedule_lag_seconds{schedule="sweep_nodes"}"#,
        "streamhaul_jobs_oldest_transaction_age_seconds ",
        "streamhaul_jobs_oldest_transaction_lag_transactions ",
        r#"streamhaul_jobs_lost_claims_total{job="sweep_nodes"} 0"#,
        r#"streamhaul_jobs_schedule_overlaps_total{schedule="sweep_nodes"}"#,
        r#"streamhaul_jobs_attempts_total{job="sweep_nodes",outcome="panicked"} 0"#,
        r#"streamhaul_jobs_discards_total{job="expire_sessions"} 0"#,
        r#"streamhaul_jobs_rescues_total{job="expire_sessions"} 0"#,
        r#"streamhaul_jobs_run_duration_seconds_bucket{job="sweep_nodes",outcome="completed""#,
    ] {
        assert!(shown.contains(series), "{series} is not in\n{shown}");
    }
    let families = shown
        .lines()
        .filter_map(|line| line.strip_prefix("# TYPE "));
    for family in families.filter_map(|line| line.split(' ').next()) {
        let is_told = shown.contains(&format!("# HELP {family} "));
        assert!(
            is_told || !family.starts_with("streamhaul_"),
            "{family} has no help"
        );
    }
    service.stop();
}
