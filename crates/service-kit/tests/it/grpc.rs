//! Bearer tokens: sent, required, refused; and what the admin port says by gRPC.

use streamhaul_service_kit::{Context, SecretString, grpc, launch};
use tonic::Request;
use tonic::service::Interceptor;
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::health_client::HealthClient;
use tonic_reflection::pb::v1::ServerReflectionRequest;
use tonic_reflection::pb::v1::server_reflection_client::ServerReflectionClient;
use tonic_reflection::pb::v1::server_reflection_request::MessageRequest;
use tonic_reflection::pb::v1::server_reflection_response::MessageResponse;

use crate::Config;

#[test]
fn only_the_expected_token_passes() {
    let sent = |token: &str| {
        let mut sender = grpc::BearerInterceptor::new(&SecretString::from(token)).unwrap();
        sender.call(Request::new(())).unwrap()
    };
    let mut gate = grpc::require_bearer(&SecretString::from("sh_svc_right"));
    assert!(gate.call(sent("sh_svc_right")).is_ok());
    for wrong in ["sh_svc_wrong", "sh_svc_righ", "sh_svc_right2", ""] {
        assert_eq!(
            gate.call(sent(wrong)).unwrap_err().code(),
            tonic::Code::Unauthenticated
        );
    }
    assert!(gate.call(Request::new(())).is_err());
}

#[test]
fn an_empty_expectation_admits_nobody() {
    let mut gate = grpc::require_bearer(&SecretString::default());
    let mut empty = Request::new(());
    empty
        .metadata_mut()
        .insert("authorization", "Bearer ".parse().unwrap());
    assert!(gate.call(empty).is_err());
}

/// Health and reflection answer on the admin port.
#[tokio::test(flavor = "multi_thread")]
async fn the_admin_port_speaks_grpc_health_and_reflection() {
    let running = launch(
        "answering",
        Config::default(),
        |_: Config, context: Context| async move {
            context.readiness.set("work", Ok(()));
            context.shutdown.cancelled().await;
            Ok(())
        },
    )
    .unwrap();
    let channel =
        tonic::transport::Endpoint::from_shared(format!("http://{}", running.admin_addr()))
            .unwrap()
            .connect()
            .await
            .unwrap();
    let mut health = HealthClient::new(channel.clone());
    let serving = |service: &str| HealthCheckRequest {
        service: service.to_owned(),
    };
    let mut watched = health
        .watch(serving("answering"))
        .await
        .unwrap()
        .into_inner();
    // The first answers may come before the service said that it is well.
    while watched.message().await.unwrap().unwrap().status() != ServingStatus::Serving {}
    let unknown = health.check(serving("nobody")).await.unwrap_err();
    assert_eq!(unknown.code(), tonic::Code::NotFound);

    let mut reflection = ServerReflectionClient::new(channel);
    let list = ServerReflectionRequest {
        host: String::new(),
        message_request: Some(MessageRequest::ListServices(String::new())),
    };
    let mut answers = reflection
        .server_reflection_info(tokio_stream::once(list))
        .await
        .unwrap()
        .into_inner();
    let answer = answers
        .message()
        .await
        .unwrap()
        .unwrap()
        .message_response
        .unwrap();
    let MessageResponse::ListServicesResponse(services) = answer else {
        panic!("{answer:?}")
    };
    let names: Vec<_> = services
        .service
        .iter()
        .map(|service| service.name.as_str())
        .collect();
    assert!(names.contains(&"grpc.health.v1.Health"), "{names:?}");
    running.shutdown();
    tokio::task::spawn_blocking(|| running.join())
        .await
        .unwrap()
        .unwrap();
}
