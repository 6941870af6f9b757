//! A provider of identities on this machine, as strict as the real ones: people sign in
//! with their account there (RFC 6749, section 4.1, with PKCE, RFC 7636).

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use axum::extract::{Query, State};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use http::header::{AUTHORIZATION, LOCATION};
use http::{HeaderMap, StatusCode};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use tokio::runtime::{Builder, Runtime};

/// What the provider knows its only client by.
pub const CLIENT_ID: &str = "the-client";
const CLIENT_SECRET: &str = "the-secret";
const TOKEN: &str = "the-token";

type Form = BTreeMap<String, String>;

/// A provider and whoever is signed in there; gone when it is dropped.
#[derive(Debug)]
pub struct IdentityProvider {
    base: String,
    shared: Arc<Shared>,
    secrets: tempfile::TempDir,
    runtime: Option<Runtime>,
}

#[derive(Debug, Default)]
struct Shared {
    person: Mutex<Value>,
    /// What was asked for, by the code that was given for it.
    codes: Mutex<BTreeMap<String, Form>>,
    /// What the token endpoint says instead of a token.
    refusal: Mutex<Option<(StatusCode, String)>>,
}

impl IdentityProvider {
    /// A provider on a free port, where `person` is signed in: what it says of them, such
    /// as `{"sub": "1"}`.
    ///
    /// # Errors
    /// When the system has no port or no thread for it.
    pub fn start(person: Value) -> std::io::Result<Self> {
        let runtime = Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()?;
        let listener = std::net::TcpListener::bind("127.0.0.1:0")?;
        listener.set_nonblocking(true)?;
        let base = format!("http://{}", listener.local_addr()?);
        let shared = Arc::new(Shared::default());
        *lock(&shared.person) = person;
        let router = Router::new()
            .route("/authorize", get(authorize))
            .route("/token", post(token))
            .route("/me", get(me))
            .with_state(shared.clone());
        runtime.spawn(async move {
            let listener = tokio::net::TcpListener::from_std(listener)?;
            axum::serve(listener, router).await
        });
        let secrets = tempfile::tempdir()?;
        std::fs::write(secrets.path().join("secret"), CLIENT_SECRET)?;
        Ok(Self {
            base,
            shared,
            secrets,
            runtime: Some(runtime),
        })
    }

    /// Where it is: `authorize`, `token` or `me`.
    #[must_use]
    pub fn url(&self, endpoint: &str) -> String {
        format!("{}/{endpoint}", self.base)
    }

    /// A file that holds the client's secret.
    #[must_use]
    pub fn secret_file(&self) -> PathBuf {
        self.secrets.path().join("secret")
    }

    /// Says who uses the provider's page from now on.
    pub fn is(&self, person: Value) {
        *lock(&self.shared.person) = person;
    }

    /// Says what its token endpoint answers from now on.
    pub fn refuses(&self, status: StatusCode, body: &str) {
        *lock(&self.shared.refusal) = Some((status, body.to_owned()));
    }
}

impl Drop for IdentityProvider {
    /// Does not wait, so that an asynchronous test may drop it.
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Somebody says yes at once.
async fn authorize(State(shared): State<Arc<Shared>>, Query(form): Query<Form>) -> Response {
    let wanted = [
        ("response_type", "code"),
        ("client_id", CLIENT_ID),
        ("code_challenge_method", "S256"),
    ];
    let is_right = wanted.iter().all(|(name, value)| of(&form, name) == *value);
    if !is_right || of(&form, "code_challenge").len() != 43 {
        return (StatusCode::BAD_REQUEST, format!("{form:?}")).into_response();
    }
    let code = format!("{}-{}", of(&form, "state"), lock(&shared.codes).len());
    let back = form_urlencoded::Serializer::new(String::new())
        .append_pair("code", &code)
        .append_pair("state", of(&form, "state"))
        .finish();
    let back = format!("{}?{back}", of(&form, "redirect_uri"));
    lock(&shared.codes).insert(code, form);
    (StatusCode::FOUND, [(LOCATION, back)]).into_response()
}

/// RFC 6749, section 4.1.3, and RFC 7636, section 4.6. Scopes are an array, as Twitch has
/// them.
async fn token(State(shared): State<Arc<Shared>>, body: String) -> Response {
    if let Some((status, body)) = lock(&shared.refusal).clone() {
        return (status, body).into_response();
    }
    let form: Form = form_urlencoded::parse(body.as_bytes())
        .into_owned()
        .collect();
    let asked = lock(&shared.codes).remove(of(&form, "code"));
    let challenge = URL_SAFE_NO_PAD.encode(Sha256::digest(of(&form, "code_verifier")));
    let is_right = asked.is_some_and(|asked| {
        of(&asked, "code_challenge") == challenge
            && of(&asked, "redirect_uri") == of(&form, "redirect_uri")
    });
    let is_client =
        of(&form, "client_id") == CLIENT_ID && of(&form, "client_secret") == CLIENT_SECRET;
    if !is_right || !is_client || of(&form, "grant_type") != "authorization_code" {
        let refusal = Json(json!({"error": "invalid_grant"}));
        return (StatusCode::BAD_REQUEST, refusal).into_response();
    }
    Json(json!({"access_token": TOKEN, "token_type": "bearer", "expires_in": 60, "scope": ["a"]}))
        .into_response()
}

async fn me(State(shared): State<Arc<Shared>>, headers: HeaderMap) -> Response {
    let shown = headers.get(AUTHORIZATION);
    if shown.is_none_or(|shown| *shown != format!("Bearer {TOKEN}")) {
        return StatusCode::UNAUTHORIZED.into_response();
    }
    Json(lock(&shared.person).clone()).into_response()
}

fn of<'a>(form: &'a Form, name: &str) -> &'a str {
    form.get(name).map_or("", String::as_str)
}
