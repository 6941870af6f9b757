//! gRPC by TLS: who is talked to, and what nobody else hears.

use std::io;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use streamhaul_service_kit::GrpcConfig;
use testkit::certificates::Certificates;
use tokio::net::TcpListener;
use tonic::transport::Channel;
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_client::HealthClient;
use tracing::subscriber::DefaultGuard;

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
    let incoming = config.incoming(listener).unwrap();
    let server = config.server().add_service(health);
    tokio::spawn(server.serve_with_incoming(incoming));
    port
}

async fn connected(client: &GrpcConfig, url: &str) -> anyhow::Result<HealthClient<Channel>> {
    let channel = client.endpoint("api_grpc", url)?.connect().await?;
    Ok(HealthClient::new(channel))
}

async fn asks(client: &GrpcConfig, url: &str) -> anyhow::Result<()> {
    let request = HealthCheckRequest::default();
    connected(client, url).await?.check(request).await?;
    Ok(())
}

/// Waits for it, as long as a busy machine may take.
async fn eventually(what: &str, is_so: impl AsyncFn() -> bool) {
    for _ in 0..600 {
        if is_so().await {
            return;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    panic!("never {what}");
}

/// What was logged.
#[derive(Clone, Default)]
struct Lines(Arc<Mutex<Vec<u8>>>);

impl Lines {
    fn text(&self) -> String {
        String::from_utf8(self.0.lock().unwrap().clone()).unwrap()
    }
}

impl io::Write for Lines {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// What is logged on this thread from now on.
fn logged() -> (Lines, DefaultGuard) {
    let lines = Lines::default();
    let writer = lines.clone();
    let subscriber = tracing_subscriber::fmt().with_writer(move || writer.clone());
    let guard = tracing::subscriber::set_default(subscriber.finish());
    (lines, guard)
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

/// One thread: what is logged is that of this test.
#[tokio::test]
async fn a_renewed_certificate_is_shown_to_those_who_connect_and_a_broken_one_to_nobody() {
    let (lines, _guard) = logged();
    let (first, next) = (
        Certificates::new("localhost"),
        Certificates::new("localhost"),
    );
    let url = format!("https://localhost:{}", serving(&server(&first)).await);
    let (to_first, to_next) = (trusting(first.ca()), trusting(next.ca()));
    let mut stays = connected(&to_first, &url).await.unwrap();

    // The key comes before its certificate, as when two files are written one by one.
    std::fs::copy(next.key(), first.key()).unwrap();
    eventually("the broken pair is named", async || {
        let lines = lines.text();
        lines.contains("ERROR") && lines.contains("the one before stays")
    })
    .await;
    asks(&to_first, &url).await.unwrap();

    std::fs::copy(next.cert(), first.cert()).unwrap();
    eventually("the new certificate is shown", async || {
        asks(&to_next, &url).await.is_ok()
    })
    .await;
    assert!(asks(&to_first, &url).await.is_err());
    // By another connection it would not be believed.
    stays.check(HealthCheckRequest::default()).await.unwrap();
}

#[tokio::test]
async fn what_is_no_certificate_is_named() {
    let ours = Certificates::new("localhost");
    let listener = || async { TcpListener::bind("127.0.0.1:0").await.unwrap() };
    let wrong = GrpcConfig {
        cert_file: Some(ours.key()),
        ..server(&ours)
    };
    let refused = wrong.incoming(listener().await).err().unwrap();
    assert!(
        refused.to_string().contains("kit.grpc.cert_file"),
        "{refused}"
    );
    let wrong = GrpcConfig {
        key_file: Some(ours.cert()),
        ..server(&ours)
    };
    let refused = wrong.incoming(listener().await).err().unwrap();
    assert!(
        refused.to_string().contains("kit.grpc.key_file"),
        "{refused}"
    );
    let half = GrpcConfig {
        key_file: None,
        ..server(&ours)
    };
    assert!(half.incoming(listener().await).is_err());
    let wrong = trusting(ours.key()).endpoint("api_grpc", "https://localhost:1");
    let refused = format!("{:#}", wrong.unwrap_err());
    assert!(refused.contains("kit.grpc.ca_file"), "{refused}");
}
