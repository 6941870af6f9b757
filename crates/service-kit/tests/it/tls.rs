//! gRPC by TLS: who is talked to, and what nobody else hears.

use std::path::PathBuf;

use streamhaul_service_kit::GrpcConfig;
use testkit::certificates::Certificates;
use tokio::net::TcpListener;
use tokio_stream::wrappers::TcpListenerStream;
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_client::HealthClient;

fn server(certificates: &Certificates) -> GrpcConfig {
    GrpcConfig {
        cert_file: Some(certificates.cert()),
        key_file: Some(certificates.key()),
        ..GrpcConfig::default()
    }
}

fn trusting(ca: PathBuf) -> GrpcConfig {
    GrpcConfig {
        ca_file: Some(ca),
        ..GrpcConfig::default()
    }
}

/// A server that says it is well; its port.
async fn serving(config: &GrpcConfig) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let (_, health) = tonic_health::server::health_reporter();
    let server = config.server().unwrap().add_service(health);
    tokio::spawn(server.serve_with_incoming(TcpListenerStream::new(listener)));
    port
}

async fn asks(client: &GrpcConfig, url: &str) -> anyhow::Result<()> {
    let channel = client.endpoint("api_grpc", url)?.connect().await?;
    let request = HealthCheckRequest::default();
    HealthClient::new(channel).check(request).await?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_talks_to_the_server_that_its_authority_vouches_for_and_to_no_other() {
    let (ours, others) = (
        Certificates::new("localhost"),
        Certificates::new("localhost"),
    );
    let port = serving(&server(&ours)).await;
    let url = format!("https://localhost:{port}");
    asks(&trusting(ours.ca()), &url).await.unwrap();
    // Another authority, the world's, another name, and a client that would speak in the
    // clear.
    assert!(asks(&trusting(others.ca()), &url).await.is_err());
    assert!(asks(&GrpcConfig::default(), &url).await.is_err());
    let other_name = format!("https://127.0.0.1:{port}");
    assert!(asks(&trusting(ours.ca()), &other_name).await.is_err());
    let plain = format!("http://localhost:{port}");
    assert!(asks(&trusting(ours.ca()), &plain).await.is_err());
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_no_certificate_is_named() {
    let ours = Certificates::new("localhost");
    let wrong = GrpcConfig {
        cert_file: Some(ours.key()),
        ..server(&ours)
    };
    let refused = wrong.server().unwrap_err().to_string();
    assert!(refused.contains("kit.grpc.cert_file"), "{refused}");
    let wrong = GrpcConfig {
        key_file: Some(ours.cert()),
        ..server(&ours)
    };
    assert!(wrong.server().is_err());
    let wrong = trusting(ours.key()).endpoint("api_grpc", "https://localhost:1");
    let refused = format!("{:#}", wrong.unwrap_err());
    assert!(refused.contains("kit.grpc.ca_file"), "{refused}");
}
