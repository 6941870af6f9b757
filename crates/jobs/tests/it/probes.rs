//! Nodes are called over real sockets: a real relay answers, a closed port and silence do not.

use std::net::UdpSocket;
use std::time::Duration;

use model::job::JobState;
use secrecy::SecretString;
use service_kit::GrpcConfig;
use storage::queue::NewJob;
use streamhaul_jobs::jobs::{self, ProbeNodes};
use streamhaul_jobs::{Control, Upkeep};
use testkit::control_plane::SERVICE_TOKEN;

use crate::fake_api::FakeApi;
use crate::srt_listener::Listener;
use crate::world::{World, settings};

async fn probe(api: &FakeApi, until: JobState) -> Option<String> {
    let (uri, token) = (api.uri(), SecretString::from(SERVICE_TOKEN));
    let (grpc, uri) = (GrpcConfig::default(), uri.as_str());
    let control = Control::new((&grpc, uri), &token).unwrap();
    let upkeep = Upkeep::new((&grpc, uri), &token).unwrap();
    let registry = jobs::registry(&control, &upkeep, Duration::from_secs(15), Duration::MAX);
    let world = World::new().await;
    let engine = world.engine(registry, settings());
    let id = world.enqueue(NewJob::new(ProbeNodes::KIND)).await;
    let job = world.wait_for(id, until).await;
    engine.stop().await;
    job.last_error
}

#[tokio::test(flavor = "multi_thread")]
async fn who_answers_and_who_does_not_is_told() {
    let api = FakeApi::start().await;
    let there = Listener::start();
    let silent = UdpSocket::bind("127.0.0.1:0").unwrap();
    let closed = UdpSocket::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap()
        .port();
    api.script.add_target("nod_1", "127.0.0.1", there.port());
    let port = silent.local_addr().unwrap().port();
    api.script.add_target("nod_2", "127.0.0.1", port);
    api.script.add_target("nod_3", "127.0.0.1", closed);
    api.script.add_target("nod_4", "nowhere.invalid", 5000);
    assert_eq!(probe(&api, JobState::Completed).await, None);
    let told = api.script.probes();
    assert_eq!(told.len(), 4);
    assert_eq!((told[0].failure.as_str(), told[0].rtt_us > 0), ("", true));
    assert!(told[1].failure.starts_with("no answer"), "{told:?}");
    assert!(told[2].failure.contains("refused"), "{told:?}");
    assert!(told[3].failure.contains("name"), "{told:?}");
    assert_eq!(there.asked_for(), ["streamhaul_probe"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn who_reaches_nobody_accuses_nobody() {
    let api = FakeApi::start().await;
    for node in ["nod_1", "nod_2", "nod_3"] {
        api.script.add_target(node, "nowhere.invalid", 5000);
    }
    let error = probe(&api, JobState::Retryable).await.unwrap();
    assert!(error.contains("none of the nodes answers"), "{error}");
    assert!(api.script.probes().is_empty());
}
