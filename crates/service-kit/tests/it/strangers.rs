//! What callers without a credential can do to a gRPC listener: nothing for long.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::time::Duration;

use streamhaul_service_kit::grpc::{BearerInterceptor, Connections, require_bearer};
use streamhaul_service_kit::{GrpcConfig, SecretString};
use testkit::certificates::Certificates;
use tokio::net::TcpListener;
use tonic::service::interceptor::InterceptedService;
use tonic::{Status, Streaming};
use tonic_health::ServingStatus;
use tonic_health::pb::health_client::HealthClient;
use tonic_health::pb::{HealthCheckRequest, HealthCheckResponse};
use tonic_health::server::HealthReporter;

const TOKEN: &str = "sh_svc_right";
/// Only a failing test waits this long.
const PATIENCE: Duration = Duration::from_secs(60);
/// The preface of HTTP/2 and an empty SETTINGS frame (RFC 9113 section 3.4).
const GREETING: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0";

/// A server that tells those who have its token how it is.
struct Guarded {
    grpc: GrpcConfig,
    url: String,
    port: u16,
    health: HealthReporter,
}

impl Guarded {
    async fn plain(connections: Connections) -> Self {
        Self::new(
            "http",
            GrpcConfig {
                connections,
                ..GrpcConfig::default()
            },
        )
        .await
    }

    async fn new(scheme: &str, grpc: GrpcConfig) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let (health, service) = tonic_health::server::health_reporter();
        let guard = require_bearer(&SecretString::from(TOKEN));
        let incoming = grpc.incoming(listener).unwrap();
        let server = grpc
            .server()
            .add_service(InterceptedService::new(service, guard))
            .serve_with_incoming(incoming);
        tokio::spawn(server);
        Self {
            url: format!("{scheme}://127.0.0.1:{port}"),
            grpc,
            port,
            health,
        }
    }

    /// A caller of its own connection that is told each change.
    async fn watched_with(&self, token: &str) -> Result<Streaming<HealthCheckResponse>, Status> {
        let endpoint = self.grpc.endpoint("api_grpc", &self.url).unwrap();
        let channel = endpoint.connect().await;
        let channel = channel.map_err(|error| Status::unavailable(error.to_string()))?;
        let bearer = BearerInterceptor::new(&SecretString::from(token)).unwrap();
        let mut client = HealthClient::with_interceptor(channel, bearer);
        let mut watched = client
            .watch(HealthCheckRequest::default())
            .await?
            .into_inner();
        let first = watched.message().await?;
        first.ok_or_else(|| Status::unavailable("it ended"))?;
        Ok(watched)
    }

    async fn watched(&self) -> Streaming<HealthCheckResponse> {
        self.watched_with(TOKEN).await.unwrap()
    }

    /// A connection on which these bytes are said and no more.
    fn stranger(&self, says: &[u8]) -> TcpStream {
        let mut stream = TcpStream::connect(("127.0.0.1", self.port)).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        // One that is closed already takes nothing.
        let _ = stream.write_all(says);
        stream
    }

    /// Changes how it is, and sees that its callers hear of it on the streams they have.
    async fn still_tells(&self, callers: &mut [Streaming<HealthCheckResponse>]) {
        for status in [ServingStatus::NotServing, ServingStatus::Serving] {
            self.health.set_service_status("", status).await;
            for watched in &mut *callers {
                let heard = tokio::time::timeout(PATIENCE, watched.message()).await;
                heard.unwrap().unwrap().unwrap();
            }
        }
    }
}

/// Reads until the other side closes.
async fn closed(mut stream: TcpStream) -> bool {
    let read = tokio::task::spawn_blocking(move || {
        let mut said = Vec::new();
        match stream.read_to_end(&mut said) {
            Ok(_) => true,
            Err(error) => error.kind() == std::io::ErrorKind::ConnectionReset,
        }
    });
    read.await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn who_shows_no_credential_in_time_is_cut_and_who_did_stays() {
    let hasty = Connections {
        stranger_seconds: 1,
        ..Connections::default()
    };
    let certificates = Certificates::new("127.0.0.1");
    let by_tls = GrpcConfig {
        cert_file: Some(certificates.cert()),
        key_file: Some(certificates.key()),
        ca_file: Some(certificates.ca()),
        connections: hasty.clone(),
        ..GrpcConfig::default()
    };
    for guarded in [
        Guarded::plain(hasty).await,
        Guarded::new("https", by_tls).await,
    ] {
        let mut watched = [guarded.watched().await];
        // These came later: when their time is up, that of the other would be, too.
        for says in [b"".as_slice(), GREETING] {
            assert!(closed(guarded.stranger(says)).await);
        }
        guarded.still_tells(&mut watched).await;
        let refused = guarded.watched_with("sh_svc_wrong").await.unwrap_err();
        assert_eq!(refused.code(), tonic::Code::Unauthenticated);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn strangers_of_one_network_are_a_few_and_who_is_admitted_is_none_of_them() {
    let guarded = Guarded::plain(Connections {
        strangers_each_max: 2,
        ..Connections::default()
    })
    .await;
    let mut admitted = Vec::new();
    for _ in 0..4 {
        admitted.push(guarded.watched().await);
    }
    let waiting = [guarded.stranger(GREETING), guarded.stranger(b"")];
    assert!(closed(guarded.stranger(GREETING)).await);
    drop(waiting);
    while guarded.watched_with(TOKEN).await.is_err() {}
    guarded.still_tells(&mut admitted).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn beyond_the_last_place_a_connection_is_closed() {
    let guarded = Guarded::plain(Connections {
        max: 2,
        ..Connections::default()
    })
    .await;
    let mut watched = [guarded.watched().await, guarded.watched().await];
    assert!(closed(guarded.stranger(GREETING)).await);
    guarded.still_tells(&mut watched).await;
    let [left, stays] = watched;
    drop(left);
    while guarded.watched_with(TOKEN).await.is_err() {}
    guarded.still_tells(&mut [stays]).await;
}
