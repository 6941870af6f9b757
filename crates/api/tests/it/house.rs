//! An api with its own database, and a client of its HTTP side.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use model::UnixMillis;
use model::clock::Clock;
use proto::fleet::control_client::ControlClient;
use serde_json::{Value, json};
use service_kit::Readiness;
use service_kit::grpc::BearerInterceptor;
use streamhaul_api::{Config, RateLimitsConfig, Server, Surroundings};
use testkit::database::TestDb;
use tokio::task::JoinHandle;
use tokio_util::sync::{CancellationToken, DropGuard};
use tonic::service::interceptor::InterceptedService;
use tonic::transport::Channel;

pub(crate) const ADMIN: &str = "sh_admin_for_tests";
pub(crate) const SERVICE: &str = "sh_svc_for_tests";

/// A clock that only the test moves.
pub(crate) struct HandClock(AtomicI64);

impl Clock for HandClock {
    fn now(&self) -> UnixMillis {
        UnixMillis(self.0.load(Ordering::SeqCst))
    }
}

pub(crate) struct House {
    pub(crate) http: SocketAddr,
    pub(crate) grpc: SocketAddr,
    pub(crate) clock: Arc<HandClock>,
    pub(crate) readiness: Readiness,
    stop: DropGuard,
    serving: JoinHandle<anyhow::Result<()>>,
    secrets: tempfile::TempDir,
    database: Arc<TestDb>,
}

/// An answer: its status and its JSON body (null when empty).
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) body: Value,
}

/// An answer as it stands.
pub(crate) type Raw = http::Response<String>;

impl House {
    pub(crate) async fn new() -> Self {
        let database = TestDb::new().await;
        let url = database.url().to_owned();
        Self::on(database, &url, |_| {}).await
    }

    pub(crate) async fn with(change: impl FnOnce(&mut Config)) -> Self {
        let database = TestDb::new().await;
        let url = database.url().to_owned();
        Self::on(database, &url, change).await
    }

    /// On a database that is reached by a URL of its own.
    pub(crate) async fn on(database: TestDb, url: &str, change: impl FnOnce(&mut Config)) -> Self {
        Self::sharing(Arc::new(database), url, change).await
    }

    /// Another api on the same database.
    pub(crate) async fn replica(&self) -> Self {
        self.replica_with(|_| {}).await
    }

    pub(crate) async fn replica_with(&self, change: impl FnOnce(&mut Config)) -> Self {
        let url = self.database.url().to_owned();
        Self::sharing(self.database.clone(), &url, change).await
    }

    /// Why an api that is configured like this opens no port.
    pub(crate) async fn unbound(&self, change: impl FnOnce(&mut Config)) -> anyhow::Error {
        let bound = self.bind(change).await;
        bound.err().expect("it cannot start")
    }

    /// Why an api that is configured like this does not start on the same database.
    pub(crate) async fn refused(&self, change: impl FnOnce(&mut Config)) -> anyhow::Error {
        let server = self.bind(change).await.unwrap();
        Box::pin(server.serve()).await.unwrap_err()
    }

    async fn bind(&self, change: impl FnOnce(&mut Config)) -> anyhow::Result<Server> {
        let secrets = tempfile::tempdir().unwrap();
        let mut config = config(secrets.path(), self.database.url());
        change(&mut config);
        let surroundings = Surroundings {
            shutdown: CancellationToken::new(),
            readiness: Readiness::default(),
            clock: self.clock.clone(),
        };
        Server::bind(config, surroundings).await
    }

    async fn sharing(database: Arc<TestDb>, url: &str, change: impl FnOnce(&mut Config)) -> Self {
        let secrets = tempfile::tempdir().unwrap();
        let mut config = config(secrets.path(), url);
        change(&mut config);
        let shutdown = CancellationToken::new();
        let clock = Arc::new(HandClock(AtomicI64::new(1_763_700_000_000)));
        let readiness = Readiness::default();
        let surroundings = Surroundings {
            shutdown: shutdown.clone(),
            readiness: readiness.clone(),
            clock: clock.clone(),
        };
        let server = Server::bind(config, surroundings).await.unwrap();
        let (http, grpc) = server.addresses().unwrap();
        let serving = tokio::spawn(server.serve());
        let stop = shutdown.drop_guard();
        let house = Self {
            http,
            grpc,
            clock,
            readiness,
            stop,
            serving,
            secrets,
            database,
        };
        eventually("ready", async || house.readiness.is_ready()).await;
        house
    }

    /// Stops as at SIGTERM, and waits for the end.
    pub(crate) async fn stop(self) {
        drop(self.stop);
        let ended = tokio::time::timeout(Duration::from_secs(20), self.serving).await;
        ended
            .expect("it ends within the deadline")
            .unwrap()
            .unwrap();
    }

    /// Its database, for what no request shows.
    pub(crate) fn pool(&self) -> storage::Pool {
        storage::connect("test", self.database.url(), 1).unwrap()
    }

    /// Unix seconds by its clock.
    pub(crate) fn clock_seconds(&self) -> i64 {
        self.clock.now().as_secs()
    }

    pub(crate) fn advance(&self, by: Duration) {
        let by = i64::try_from(by.as_millis()).unwrap();
        self.clock.0.fetch_add(by, Ordering::SeqCst);
    }

    pub(crate) async fn get(&self, token: &str, path: &str) -> Answer {
        self.call("GET", path, &[("authorization", &bearer(token))], None)
            .await
    }

    pub(crate) async fn post(&self, token: &str, path: &str, body: Value) -> Answer {
        let headers = [("authorization", bearer(token))];
        let headers = headers
            .each_ref()
            .map(|(name, value)| (*name, value.as_str()));
        self.call("POST", path, &headers, Some(body.to_string()))
            .await
    }

    pub(crate) async fn delete(&self, token: &str, path: &str) -> Answer {
        let headers = [("authorization", bearer(token))];
        let headers = headers
            .each_ref()
            .map(|(name, value)| (*name, value.as_str()));
        self.call("DELETE", path, &headers, None).await
    }

    pub(crate) async fn put(&self, token: &str, path: &str, body: Value) -> Answer {
        let headers = [("authorization", bearer(token))];
        let headers = headers
            .each_ref()
            .map(|(name, value)| (*name, value.as_str()));
        self.call("PUT", path, &headers, Some(body.to_string()))
            .await
    }

    pub(crate) async fn patch(&self, token: &str, path: &str, body: Value) -> Answer {
        let bearer = bearer(token);
        let headers = [("authorization", bearer.as_str())];
        self.call("PATCH", path, &headers, Some(body.to_string()))
            .await
    }

    pub(crate) async fn start_with_key(&self, token: &str, key: &str, body: Value) -> Answer {
        let bearer = bearer(token);
        let headers = [("authorization", bearer.as_str()), ("idempotency-key", key)];
        self.call(
            "POST",
            "/api/v1/relay/start",
            &headers,
            Some(body.to_string()),
        )
        .await
    }

    /// A start that is not sent yet.
    pub(crate) fn start_request(
        &self,
        token: &str,
        key: &str,
        body: &Value,
    ) -> http::Request<String> {
        http::Request::builder()
            .method("POST")
            .uri(format!("http://{}/api/v1/relay/start", self.http))
            .header("authorization", bearer(token))
            .header("idempotency-key", key)
            .body(body.to_string())
            .unwrap()
    }

    pub(crate) async fn start(&self, token: &str, connection: &str) -> Answer {
        self.post(
            token,
            "/api/v1/relay/start",
            json!({"connection_id": connection}),
        )
        .await
    }

    pub(crate) async fn call(
        &self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: Option<String>,
    ) -> Answer {
        parsed(self.raw(method, path, headers, body).await)
    }

    /// The same with the answer's headers.
    pub(crate) async fn raw(
        &self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: Option<String>,
    ) -> Raw {
        let mut request = http::Request::builder()
            .method(method)
            .uri(format!("http://{}{path}", self.http));
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let request = request.body(body.unwrap_or_default()).unwrap();
        tokio::task::spawn_blocking(move || answer(request))
            .await
            .unwrap()
    }

    /// The same, as a browser on our own page asks.
    pub(crate) async fn browse(
        &self,
        method: &str,
        path: &str,
        cookie: &str,
        body: Option<Value>,
    ) -> Raw {
        let request = http::Request::builder()
            .method(method)
            .uri(format!("http://{}{path}", self.http))
            .header("origin", format!("http://{}", self.http))
            .header("cookie", cookie)
            .body(body.map(|body| body.to_string()).unwrap_or_default())
            .unwrap();
        tokio::task::spawn_blocking(move || answer(request))
            .await
            .unwrap()
    }

    /// The letters to an address, the oldest first.
    pub(crate) fn letters(&self, email: &str) -> Vec<String> {
        let Ok(entries) = std::fs::read_dir(self.secrets.path().join("mail")) else {
            return Vec::new();
        };
        let mut files: Vec<_> = entries.map(|entry| entry.unwrap().path()).collect();
        files.sort();
        let letters = files
            .iter()
            .map(|file| std::fs::read_to_string(file).unwrap());
        let to = format!("To: {email}\r\n");
        letters.filter(|letter| letter.contains(&to)).collect()
    }

    /// A user of their own, by token.
    pub(crate) async fn user(&self, name: &str) -> String {
        let made = self
            .post(ADMIN, "/api/v1/ops/users", json!({"name": name}))
            .await;
        assert_eq!(made.status, 201, "{made:?}");
        made.body["token"].as_str().unwrap().to_owned()
    }

    pub(crate) async fn channel(&self) -> Channel {
        let uri = format!("http://{}", self.grpc);
        tonic::transport::Endpoint::from_shared(uri)
            .unwrap()
            .connect()
            .await
            .unwrap()
    }

    pub(crate) async fn control(
        &self,
    ) -> ControlClient<InterceptedService<Channel, BearerInterceptor>> {
        let bearer = BearerInterceptor::new(&SERVICE.into()).unwrap();
        ControlClient::with_interceptor(self.channel().await, bearer)
    }
}

/// Asks until it is so: a bounded wait, not a measurement.
pub(crate) async fn eventually(what: &str, is_so: impl AsyncFn() -> bool) {
    for _ in 0..600 {
        if is_so().await {
            return;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    panic!("never {what}");
}

/// Random digits become `…`, so that bodies compare.
pub(crate) fn masked(answer: &Answer) -> Value {
    json!({"status": answer.status, "body": mask(&answer.body)})
}

fn mask(value: &Value) -> Value {
    match value {
        Value::String(text) => Value::String(mask_text(text)),
        Value::Array(items) => items.iter().map(mask).collect(),
        Value::Object(map) => map
            .iter()
            .map(|(key, value)| (key.clone(), mask(value)))
            .collect(),
        other => other.clone(),
    }
}

fn mask_text(text: &str) -> String {
    let mut masked = String::new();
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        let digits = rest.bytes().take_while(u8::is_ascii_hexdigit).count();
        if digits >= 32 {
            masked.push('…');
            rest = &rest[digits..];
        } else {
            let length = digits.max(first.len_utf8());
            masked.push_str(&rest[..length]);
            rest = &rest[length..];
        }
    }
    masked
}

/// The cookie that an answer sets, as a browser sends it.
pub(crate) fn cookie_of(raw: &Raw) -> String {
    let set = raw.headers()["set-cookie"].to_str().unwrap();
    set.split(';').next().unwrap().to_owned()
}

fn bearer(token: &str) -> String {
    format!("Bearer {token}")
}

/// What a browser gets that follows a link and is sent nowhere else.
pub(crate) fn fetch(url: &str) -> Raw {
    answer(http::Request::get(url).body(String::new()).unwrap())
}

/// Sends a request, and waits for its answer.
pub(crate) fn ask(request: http::Request<String>) -> Answer {
    parsed(answer(request))
}

fn parsed(raw: Raw) -> Answer {
    let (parts, text) = raw.into_parts();
    Answer {
        status: parts.status.as_u16(),
        body: serde_json::from_str(&text).unwrap_or(Value::Null),
    }
}

fn answer(request: http::Request<String>) -> Raw {
    let agent: ureq::Agent = ureq::Agent::config_builder()
        .http_status_as_error(false)
        .allow_non_standard_methods(true)
        .max_redirects(0)
        .timeout_global(Some(Duration::from_secs(120)))
        .build()
        .into();
    let (parts, mut body) = agent.run(request).unwrap().into_parts();
    Raw::from_parts(parts, body.read_to_string().unwrap())
}

fn config(secrets: &Path, database_url: &str) -> Config {
    let file = |name: &str, content: &str| {
        let path = secrets.join(name);
        std::fs::write(&path, content).unwrap();
        path
    };
    let mut config = Config {
        listen_http: ([127, 0, 0, 1], 0).into(),
        listen_grpc: ([127, 0, 0, 1], 0).into(),
        database_url: database_url.into(),
        database_connections_max: 6,
        admin_token_file: file("admin", ADMIN),
        service_token_file: file("service", SERVICE),
        sealing_key_file: file("sealing", &"07".repeat(32)),
        stream_key_secret_file: file("stream", "a secret of the tests"),
        ..Config::default()
    };
    config.mail.directory = Some(secrets.join("mail"));
    config.fleet.sync_seconds = 1;
    // Tests ask faster than people; what limits do is a test of its own.
    config.http.rate_limits = RateLimitsConfig::none();
    // Its own tests have one.
    config.fleet.probation_seconds = 0;
    config
}
