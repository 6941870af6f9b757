//! How a node becomes one of ours.

use std::time::Duration;

use proto::fleet::EnrolRequest;
use proto::fleet::fleet_client::FleetClient;
use service_kit::GrpcConfig;
use streamhaul_api::BootstrapNode;
use testkit::certificates::Certificates;
use tonic::Code;

use crate::house::House;
use crate::node;

#[tokio::test(flavor = "multi_thread")]
async fn a_join_token_is_good_until_its_node_connects() {
    let house = House::new().await;
    let join_token = node::create(&house, "one").await;
    let enrolled = node::enrol(&house, &join_token).await.unwrap();
    assert!(enrolled.credential.starts_with("sh_node_"));
    assert_eq!(enrolled.keys.len(), 2);
    // The answer got lost. The next one takes the place of what was in it.
    let again = node::enrol(&house, &join_token).await.unwrap();
    assert_eq!(again.node_id, enrolled.node_id);
    let lost = node::connect(&house, &enrolled, 1, Vec::new()).await;
    assert_eq!(lost.err().unwrap().code(), Code::Unauthenticated);
    let _node = node::connect(&house, &again, 1, Vec::new()).await.unwrap();
    let late = node::enrol(&house, &join_token).await.unwrap_err();
    assert_eq!(late.code(), Code::Unauthenticated);
    assert!(node::enrol(&house, "").await.is_err());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_join_token_expires() {
    let house = House::new().await;
    let join_token = node::create(&house, "one").await;
    house.advance(Duration::from_secs(24 * 3600));
    let late = node::enrol(&house, &join_token).await.unwrap_err();
    assert_eq!(late.code(), Code::Unauthenticated);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_credential_is_for_its_own_node() {
    let house = House::new().await;
    let one = node::enrol(&house, &node::create(&house, "one").await)
        .await
        .unwrap();
    let two = node::enrol(&house, &node::create(&house, "two").await)
        .await
        .unwrap();
    let mixed = node::Enrolled {
        node_id: two.node_id,
        ..one.clone()
    };
    let refused = node::connect(&house, &mixed, 1, Vec::new())
        .await
        .err()
        .unwrap();
    assert_eq!(refused.code(), Code::PermissionDenied);
    let unknown = node::Enrolled {
        credential: "sh_node_0".into(),
        ..one
    };
    let refused = node::connect(&house, &unknown, 1, Vec::new())
        .await
        .err()
        .unwrap();
    assert_eq!(refused.code(), Code::Unauthenticated);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deployment_can_begin_with_a_node_of_its_own() {
    let token = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(token.path(), "sh_join_from_a_file\n").unwrap();
    let house = House::with(|config| {
        config.bootstrap_node = Some(BootstrapNode {
            name: "first".into(),
            region: None,
            join_token_file: token.path().to_owned(),
        });
    })
    .await;
    let enrolled = node::enrol(&house, "sh_join_from_a_file").await.unwrap();
    let listed = house.get(crate::house::ADMIN, "/api/v1/ops/nodes").await;
    assert_eq!(
        listed.body["nodes"][0]["node_id"],
        enrolled.node_id.as_str()
    );
    assert_eq!(listed.body["nodes"][0]["region"], "local");
    let _node = node::connect(&house, &enrolled, 1, Vec::new())
        .await
        .unwrap();
    assert!(node::enrol(&house, "sh_join_from_a_file").await.is_err());
}

#[tokio::test(flavor = "multi_thread")]
async fn nodes_come_by_tls_where_the_listener_has_a_certificate() {
    let certificates = Certificates::new("127.0.0.1");
    let house = House::with(|config| {
        config.kit.grpc.cert_file = Some(certificates.cert());
        config.kit.grpc.key_file = Some(certificates.key());
    })
    .await;
    let join_token = node::create(&house, "one").await;
    let trusting = GrpcConfig {
        ca_file: Some(certificates.ca()),
        ..GrpcConfig::default()
    };
    let enrol = async |grpc: &GrpcConfig, scheme: &str| {
        let url = format!("{scheme}://{}", house.grpc);
        let endpoint = grpc.endpoint("api_grpc", &url).unwrap();
        let channel = endpoint.connect().await.ok()?;
        let join_token = join_token.clone();
        let request = EnrolRequest { join_token };
        let enrolled = FleetClient::new(channel).enrol(request).await;
        Some(enrolled.ok()?.into_inner().credential)
    };
    assert_eq!(enrol(&trusting, "http").await, None);
    assert_eq!(enrol(&GrpcConfig::default(), "https").await, None);
    let credential = enrol(&trusting, "https").await.unwrap();
    assert!(credential.starts_with("sh_node_"));
}
