//! Bearer tokens: sent, required, refused.

use streamhaul_service_kit::{SecretString, grpc};
use tonic::Request;
use tonic::service::Interceptor;

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
