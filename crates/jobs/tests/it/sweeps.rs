//! Jobs have the api do what their names say, until nothing is left.

use std::time::Duration;

use model::job::JobState;
use secrecy::SecretString;
use service_kit::GrpcConfig;
use storage::queue::NewJob;
use streamhaul_jobs::job::Registry;
use streamhaul_jobs::jobs::{
    self, BuyAdvice, ExpireBans, ExpireSessions, ExpireTokens, PlanMoves, ReapProvisioning,
    ReconcileOutage, RollUpUsage, RotateKeys, SettleBudgets, SweepNodes,
};
use streamhaul_jobs::{Control, Upkeep};
use testkit::control_plane::SERVICE_TOKEN;

use crate::fake_api::FakeApi;
use crate::world::{World, settings};

fn registry(api: &FakeApi, token: &str) -> Registry {
    let (uri, token) = (api.uri(), SecretString::from(token));
    let (grpc, uri) = (GrpcConfig::default(), uri.as_str());
    let control = Control::new((&grpc, uri), &token).unwrap();
    let upkeep = Upkeep::new((&grpc, uri), &token).unwrap();
    let (silence, month) = (Duration::from_secs(15), Duration::from_secs(30 * 86_400));
    jobs::registry(&control, &upkeep, silence, month)
}

#[tokio::test]
async fn expire_sessions_calls_until_nothing_is_left() {
    let (world, api) = (World::new().await, FakeApi::start().await);
    api.script.make_expirable(250);
    let engine = world.engine(registry(&api, SERVICE_TOKEN), settings());
    let id = world.enqueue(NewJob::new(ExpireSessions::KIND)).await;
    world.wait_for(id, JobState::Completed).await;
    engine.stop().await;
    assert_eq!(api.script.expirable(), 0);
    assert_eq!(api.script.expire_limits(), [100, 100, 100]);
}

#[tokio::test]
async fn sweep_nodes_says_how_long_silence_may_last() {
    let (world, api) = (World::new().await, FakeApi::start().await);
    api.script.silence("nod_1");
    let engine = world.engine(registry(&api, SERVICE_TOKEN), settings());
    let id = world.enqueue(NewJob::new(SweepNodes::KIND)).await;
    world.wait_for(id, JobState::Completed).await;
    engine.stop().await;
    assert_eq!(api.script.silent_after_ms(), [15_000]);
}

/// What a job asks the api for.
async fn asked(kind: &str, api: &FakeApi) -> Vec<String> {
    let world = World::new().await;
    let engine = world.engine(registry(api, SERVICE_TOKEN), settings());
    let id = world.enqueue(NewJob::new(kind)).await;
    world.wait_for(id, JobState::Completed).await;
    engine.stop().await;
    api.script.asked()
}

#[tokio::test]
async fn what_comes_in_batches_is_asked_for_until_nothing_is_left() {
    let api = FakeApi::start().await;
    api.script.leave_unconfirmed(130);
    let reaped = asked(ReapProvisioning::KIND, &api).await;
    assert_eq!(reaped, ["reap 100", "reap 100"]);
    let api = FakeApi::start().await;
    api.script.add_budgets(&["nod_1", "nod_2", "nod_3"]);
    let settled = asked(SettleBudgets::KIND, &api).await;
    assert_eq!(
        settled,
        [
            r#"settle after """#,
            r#"settle after "nod_1""#,
            r#"settle after "nod_2""#
        ]
    );
    let api = FakeApi::start().await;
    assert_eq!(asked(RollUpUsage::KIND, &api).await, ["roll up"; 3]);
    let api = FakeApi::start().await;
    assert_eq!(asked(ReconcileOutage::KIND, &api).await, ["reconcile"; 2]);
    let api = FakeApi::start().await;
    api.script.make_token_batches(3);
    let expired = asked(ExpireTokens::KIND, &api).await;
    assert_eq!(expired, ["expire tokens"; 3]);
}

#[tokio::test]
async fn what_comes_at_once_is_asked_for_once() {
    for (kind, what) in [
        (PlanMoves::KIND, "plan moves"),
        (ExpireBans::KIND, "expire bans"),
        (RotateKeys::KIND, "rotate after 2592000000 ms"),
        (BuyAdvice::KIND, "advise"),
    ] {
        let api = FakeApi::start().await;
        assert_eq!(asked(kind, &api).await, [what]);
    }
}

#[tokio::test]
async fn an_api_that_fails_is_asked_again() {
    let (world, api) = (World::new().await, FakeApi::start().await);
    api.script.fail(1);
    api.script.make_expirable(1);
    let engine = world.engine(registry(&api, SERVICE_TOKEN), settings());
    let id = world.enqueue(NewJob::new(ExpireSessions::KIND)).await;
    let job = world.wait_for(id, JobState::Completed).await;
    engine.stop().await;
    assert_eq!((job.attempt, api.script.expirable()), (2, 0));
    assert!(job.last_error.unwrap().contains("as the test says"));
}

#[tokio::test]
async fn an_api_that_comes_back_is_found() {
    let (world, api) = (World::new().await, FakeApi::start().await);
    let registry = registry(&api, SERVICE_TOKEN);
    let (address, script) = (api.address(), api.script.clone());
    drop(api);
    let engine = world.engine(registry, settings());
    let id = world.enqueue(NewJob::new(SweepNodes::KIND)).await;
    world.wait_for(id, JobState::Retryable).await;
    let _back = FakeApi::start_at(address, script).await;
    world.wait_for(id, JobState::Completed).await;
    engine.stop().await;
}

#[tokio::test]
async fn a_wrong_service_token_is_a_failed_attempt() {
    let (world, api) = (World::new().await, FakeApi::start().await);
    let engine = world.engine(registry(&api, "sh_svc_wrong"), settings());
    let id = world.enqueue(NewJob::new(SweepNodes::KIND)).await;
    let job = world.wait_for(id, JobState::Retryable).await;
    engine.stop().await;
    let error = job.last_error.unwrap();
    assert!(error.contains("who are you?"), "{error}");
    assert!(!error.contains("sh_svc_wrong"), "{error}");
}
