//! `/api/v1/auth`: what the OBS plugin does. Paths, field names, status codes and
//! reason codes are its contract.

use std::sync::Arc;

use axum::extract::State;
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Extension, Json};
use http::header::CACHE_CONTROL;
use http::{HeaderMap, Method, StatusCode};
use model::session::SessionState;
use model::{Provider, SessionId, UserId};
use secrecy::ExposeSecret;
use serde::{Deserialize, Serialize};
use storage::control::accounts::Account;
use storage::control::device_logins::Kind;
use storage::control::{linked_accounts, people, sessions, sign_ins};
use utoipa::ToSchema;

use super::device::{PENDING, Pending, PollRequest, StartResponse};
use crate::accounts::device::{self, Arrival};
use crate::accounts::slots::{self, SlotView};
use crate::accounts::standing::{self, Entitlement, Usage};
use crate::accounts::tokens::{self, Pair};
use crate::auth::{Access, Caller};
use crate::error::ApiError;
use crate::metrics;
use crate::openapi::Description;
use crate::routes::{Body, Route};
use crate::state::App;
use service_kit::client_address::ClientAddress;

/// RFC 6749, section 5.1: tokens are in no cache.
const NO_STORE: [(http::HeaderName, &str); 1] = [(CACHE_CONTROL, "no-store")];

pub(super) fn routes() -> Vec<Route> {
    let post_to = |path, access, handler| Route::new(Method::POST, path, access, handler);
    vec![
        post_to(
            "/api/v1/auth/plugin/login/start",
            Access::Public,
            post(start),
        )
        .describe(
            Description::new("A plugin asks to be signed in.")
                .takes::<StartRequest>()
                .gives::<StartResponse>(201),
        ),
        post_to("/api/v1/auth/plugin/login/poll", Access::Public, post(poll)).describe(
            Description::new("Whether somebody let the plugin in; then its tokens, once.")
                .takes::<PollRequest>()
                .gives::<Pending>(202)
                .gives::<CompletedResponse>(200)
                .refuses(&[403, 404, 409, 410]),
        ),
        post_to(
            "/api/v1/auth/plugin/login/complete",
            Access::Service,
            post(complete),
        )
        .describe(
            Description::new("A web tier of ours lets a plugin in, or turns it away.")
                .takes::<CompleteRequest>()
                .says(204)
                .refuses(&[404, 409, 410]),
        ),
        Route::new(
            Method::GET,
            "/api/v1/auth/session",
            Access::User,
            get(session),
        )
        .describe(
            Description::new("Who one is, what one may do, and what one has.")
                .gives::<SessionResponse>(200),
        ),
        post_to("/api/v1/auth/refresh", Access::Public, post(refresh)).describe(
            Description::new("Exchanges a refresh token for the next pair, once.")
                .takes::<RefreshRequest>()
                .gives::<RefreshResponse>(200)
                .refuses(&[401, 410]),
        ),
        post_to("/api/v1/auth/logout", Access::User, post(logout))
            .describe(Description::new("Ends the sign-in.").says(204)),
    ]
}

#[derive(Deserialize, ToSchema)]
#[schema(as = plugin::StartRequest)]
struct StartRequest {
    client: Client,
}

#[derive(Deserialize, ToSchema)]
#[schema(as = plugin::Client)]
struct Client {
    #[serde(default)]
    platform: String,
    #[serde(default)]
    plugin_version: String,
    #[serde(default)]
    device_name: String,
}

#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = plugin::CompleteRequest)]
struct CompleteRequest {
    login_attempt_id: String,
    outcome: Outcome,
    user_id: Option<String>,
    reason_code: Option<String>,
}

#[derive(Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
#[schema(as = plugin::Outcome)]
enum Outcome {
    Completed,
    Denied,
}

#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = plugin::RefreshRequest)]
struct RefreshRequest {
    refresh_token: String,
}

#[derive(Serialize, ToSchema)]
#[schema(as = plugin::CompletedResponse)]
struct CompletedResponse {
    status: &'static str,
    auth: Auth,
    #[serde(flatten)]
    session: SessionResponse,
}

#[derive(Serialize, ToSchema)]
#[schema(as = plugin::Auth)]
struct Auth {
    cp_access_jwt: String,
    refresh_token: String,
}

#[derive(Serialize, ToSchema)]
#[schema(as = plugin::RefreshResponse)]
struct RefreshResponse {
    auth: Auth,
    user: User,
    entitlement: Entitlement,
    usage: Usage,
}

#[derive(Serialize, ToSchema)]
#[schema(as = plugin::SessionResponse)]
struct SessionResponse {
    user: User,
    entitlement: Entitlement,
    usage: Usage,
    active_relay: Option<ActiveRelay>,
    stream_slots: Vec<SlotView>,
    linked_accounts: LinkedAccounts,
}

#[derive(Serialize, ToSchema)]
#[schema(as = plugin::User)]
struct User {
    id: String,
    /// Empty when there is none.
    email: String,
    display_name: String,
}

#[derive(Serialize, ToSchema)]
#[schema(as = plugin::ActiveRelay)]
struct ActiveRelay {
    #[schema(value_type = String)]
    session_id: SessionId,
    #[schema(schema_with = crate::openapi::schema::session_state)]
    status: SessionState,
}

/// Accounts elsewhere that a user signs in with.
#[derive(Serialize, ToSchema)]
#[schema(as = plugin::LinkedAccounts)]
struct LinkedAccounts {
    twitch: LinkedAccount,
    google: LinkedAccount,
    discord: LinkedAccount,
}

#[derive(Default, Serialize, ToSchema)]
#[schema(as = plugin::LinkedAccount)]
struct LinkedAccount {
    linked: bool,
    display_name: String,
    provider_id: String,
}

impl From<Vec<linked_accounts::LinkedAccount>> for LinkedAccounts {
    fn from(linked: Vec<linked_accounts::LinkedAccount>) -> Self {
        let of = |provider| {
            let found = linked.iter().find(|linked| linked.provider == provider);
            found.map_or_else(LinkedAccount::default, |linked| LinkedAccount {
                linked: true,
                display_name: linked.name.clone(),
                provider_id: linked.subject.clone(),
            })
        };
        Self {
            twitch: of(Provider::Twitch),
            google: of(Provider::Google),
            discord: of(Provider::Discord),
        }
    }
}

impl From<Pair> for Auth {
    fn from(pair: Pair) -> Self {
        Self {
            cp_access_jwt: pair.access.expose_secret().to_owned(),
            refresh_token: pair.refresh.expose_secret().to_owned(),
        }
    }
}

async fn start(
    State(app): State<Arc<App>>,
    Extension(address): Extension<ClientAddress>,
    headers: HeaderMap,
    Body(request): Body<StartRequest>,
) -> Result<Response, ApiError> {
    let Client {
        platform,
        plugin_version,
        device_name,
    } = request.client;
    let device = format!("{device_name} (OBS plugin {plugin_version}, {platform})");
    let begun = device::begin(&app, address, Kind::Plugin, &device).await?;
    let response = StartResponse::new(&app, &headers, begun);
    Ok((StatusCode::CREATED, NO_STORE, Json(response)).into_response())
}

/// 202 until somebody decides; then the tokens, once.
async fn poll(
    State(app): State<Arc<App>>,
    Body(request): Body<PollRequest>,
) -> Result<Response, ApiError> {
    let PollRequest {
        login_attempt_id: id,
        poll_token,
    } = request;
    let Some(arrival) = device::poll(&app, Kind::Plugin, &id, &poll_token).await? else {
        return Ok((StatusCode::ACCEPTED, Json(PENDING)).into_response());
    };
    let Arrival {
        mut transaction,
        account,
        device,
    } = arrival;
    app.bans.check_account(&account, app.now())?;
    let pair = tokens::issue(&app, &mut transaction, &account, &device).await?;
    transaction.commit().await.map_err(storage::Error::from)?;
    metrics::sign_in(metrics::SignIn::SignedIn);
    tracing::info!(user.id = %account.user_id, "A plugin signed in");
    let response = CompletedResponse {
        status: "completed",
        auth: pair.into(),
        session: describe(&app, &account).await?,
    };
    Ok((NO_STORE, Json(response)).into_response())
}

async fn complete(
    State(app): State<Arc<App>>,
    Body(request): Body<CompleteRequest>,
) -> Result<StatusCode, ApiError> {
    let id = &request.login_attempt_id;
    match request.outcome {
        Outcome::Completed => {
            let user = approver(&app, request.user_id.as_deref()).await?;
            device::approve(&app, id, &user).await?;
        }
        Outcome::Denied => {
            let reason = request
                .reason_code
                .as_deref()
                .filter(|reason| !reason.is_empty());
            device::deny(&app, id, reason.unwrap_or("denied")).await?;
        }
    }
    Ok(StatusCode::NO_CONTENT)
}

async fn approver(app: &App, user: Option<&str>) -> Result<UserId, ApiError> {
    let unknown = || ApiError::invalid("user_id: not a user's who may sign in");
    let id = UserId::parse(user.unwrap_or_default()).map_err(|_| unknown())?;
    let person = people::find(&app.pool, &id).await?;
    let may = person.is_some_and(|person| !person.is_disabled);
    may.then_some(id).ok_or_else(unknown)
}

async fn session(
    State(app): State<Arc<App>>,
    Extension(caller): Extension<Caller>,
) -> Result<Response, ApiError> {
    let session = describe(&app, &caller.account).await?;
    Ok((NO_STORE, Json(session)).into_response())
}

async fn refresh(
    State(app): State<Arc<App>>,
    Body(request): Body<RefreshRequest>,
) -> Result<Response, ApiError> {
    let (pair, holder) = tokens::refresh(&app, &request.refresh_token).await?;
    let user = &holder.account.user_id;
    let (entitlement, usage) = standing::of(&app, user).await?;
    let response = RefreshResponse {
        auth: pair.into(),
        user: describe_user(&app, user).await?,
        entitlement,
        usage,
    };
    Ok((NO_STORE, Json(response)).into_response())
}

async fn logout(
    State(app): State<Arc<App>>,
    Extension(caller): Extension<Caller>,
) -> Result<StatusCode, ApiError> {
    if let Some(id) = &caller.sign_in {
        let user = &caller.account.user_id;
        let mut transaction = storage::begin(&app.pool).await?;
        sign_ins::end(&mut transaction, user, id.as_str(), "signed_out", app.now()).await?;
        transaction.commit().await.map_err(storage::Error::from)?;
    }
    Ok(StatusCode::NO_CONTENT)
}

async fn describe(app: &App, account: &Account) -> Result<SessionResponse, ApiError> {
    let user = &account.user_id;
    let (entitlement, usage) = standing::of(app, user).await?;
    let active = sessions::live_of_user(&app.pool, user, 1).await?.pop();
    Ok(SessionResponse {
        user: describe_user(app, user).await?,
        entitlement,
        usage,
        active_relay: active.map(|record| ActiveRelay {
            session_id: record.session.id,
            status: record.session.state,
        }),
        stream_slots: slots::list(app, account).await?,
        linked_accounts: linked_accounts::list(&app.pool, user).await?.into(),
    })
}

async fn describe_user(app: &App, user: &UserId) -> Result<User, ApiError> {
    let person = people::find(&app.pool, user).await?;
    let person = person.ok_or_else(ApiError::internal)?;
    Ok(User {
        id: user.to_string(),
        email: person.email.unwrap_or_default(),
        display_name: person.name,
    })
}
