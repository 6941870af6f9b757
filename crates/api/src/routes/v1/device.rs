//! `/api/v1/account/devices`: a signed-in browser looks at a device that asks, and
//! confirms it or turns it away. `/api/v1/dock/login`: a dock asks.

use std::sync::Arc;

use axum::Extension;
use axum::Json;
use axum::extract::{Path, State};
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use http::header::SET_COOKIE;
use http::{HeaderMap, Method, StatusCode};
use secrecy::ExposeSecret;
use serde::{Deserialize, Serialize};
use storage::control::device_logins::Kind;
use utoipa::ToSchema;

use crate::accounts::device::{self, Arrival, Begun};
use crate::auth::{Access, Caller};
use crate::config::seconds;
use crate::cookie::Cookie;
use crate::dock::sign_in;
use crate::error::ApiError;
use crate::openapi::Description;
use crate::routes::{Body, Route, base_url, user_agent};
use crate::state::App;
use crate::time::rfc3339;
use service_kit::client_address::ClientAddress;

pub(super) fn routes() -> Vec<Route> {
    let post_to = |path, access, handler| Route::new(Method::POST, path, access, handler);
    vec![
        post_to("/api/v1/account/devices/find", Access::Browser, post(find)).describe(
            Description::new("A device that asks to be signed in.")
                .takes::<FindRequest>()
                .gives::<DeviceResponse>(200)
                .refuses(&[404, 409, 410]),
        ),
        post_to(
            "/api/v1/account/devices/{id}",
            Access::Browser,
            post(decide),
        )
        .describe(
            Description::new("Lets a device in, or turns it away.")
                .takes::<DecideRequest>()
                .says(204)
                .refuses(&[409, 410]),
        ),
        post_to("/api/v1/dock/login/start", Access::Page, post(start))
            .describe(Description::new("A dock asks to be signed in.").gives::<StartResponse>(201)),
        post_to("/api/v1/dock/login/poll", Access::Page, post(poll)).describe(
            Description::new("Whether somebody let the dock in; then its cookie, once.")
                .takes::<PollRequest>()
                .gives::<Pending>(202)
                .says(204)
                .refuses(&[404, 409, 410]),
        ),
    ]
}

/// What a device needs to ask. Field names are the plugin's contract, but `user_code`.
#[derive(Serialize, ToSchema)]
#[schema(as = device::StartResponse)]
pub(super) struct StartResponse {
    login_attempt_id: String,
    /// Shown by the device and by our page: they must be the same.
    user_code: String,
    authorize_url: String,
    poll_token: String,
    expires_at: String,
    poll_interval_seconds: u32,
}

impl StartResponse {
    pub(super) fn new(app: &App, headers: &HeaderMap, begun: Begun) -> Self {
        let (base, id) = (base_url(app, headers), begun.id);
        Self {
            authorize_url: format!("{base}/account?attempt={id}"),
            login_attempt_id: id,
            user_code: begun.user_code,
            poll_token: begun.poll_token.expose_secret().to_owned(),
            expires_at: rfc3339(begun.expires_at),
            poll_interval_seconds: app.config.accounts.device_poll_seconds,
        }
    }
}

#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = device::PollRequest)]
pub(super) struct PollRequest {
    pub(super) login_attempt_id: String,
    pub(super) poll_token: String,
}

#[derive(Serialize, ToSchema)]
#[schema(as = device::Pending)]
pub(super) struct Pending {
    status: &'static str,
}

pub(super) const PENDING: Pending = Pending { status: "pending" };

/// By the id of a link, or by the code as a person typed it.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = device::FindRequest)]
struct FindRequest {
    login_attempt_id: Option<String>,
    user_code: Option<String>,
}

#[derive(Serialize, ToSchema)]
#[schema(as = device::DeviceResponse)]
struct DeviceResponse {
    login_attempt_id: String,
    /// `plugin` or `dock`.
    kind: String,
    user_code: String,
    /// What it says it is.
    device: String,
    created_at: String,
    expires_at: String,
}

#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = device::DecideRequest)]
struct DecideRequest {
    approve: bool,
}

async fn find(
    State(app): State<Arc<App>>,
    Body(request): Body<FindRequest>,
) -> Result<Json<DeviceResponse>, ApiError> {
    let named = match (request.login_attempt_id, request.user_code) {
        (Some(id), _) => id,
        (None, Some(code)) => device::typed_code(&code),
        (None, None) => {
            return Err(ApiError::invalid("login_attempt_id or user_code is needed"));
        }
    };
    let login = device::find(&app, &named).await?;
    Ok(Json(DeviceResponse {
        login_attempt_id: login.id,
        kind: login.kind,
        user_code: login.user_code,
        device: login.device,
        created_at: rfc3339(login.created_at),
        expires_at: rfc3339(login.expires_at),
    }))
}

async fn decide(
    State(app): State<Arc<App>>,
    Extension(caller): Extension<Caller>,
    Path(id): Path<String>,
    Body(request): Body<DecideRequest>,
) -> Result<StatusCode, ApiError> {
    if request.approve {
        device::approve(&app, &id, &caller.account.user_id).await?;
    } else {
        device::deny(&app, &id, "user_denied").await?;
    }
    Ok(StatusCode::NO_CONTENT)
}

async fn start(
    State(app): State<Arc<App>>,
    Extension(address): Extension<ClientAddress>,
    headers: HeaderMap,
) -> Result<(StatusCode, Json<StartResponse>), ApiError> {
    let begun = device::begin(&app, address, Kind::Dock, user_agent(&headers)).await?;
    let response = StartResponse::new(&app, &headers, begun);
    Ok((StatusCode::CREATED, Json(response)))
}

/// 202 until somebody decides; then the cookie, once.
async fn poll(
    State(app): State<Arc<App>>,
    headers: HeaderMap,
    Body(request): Body<PollRequest>,
) -> Result<Response, ApiError> {
    let PollRequest {
        login_attempt_id: id,
        poll_token,
    } = request;
    let Some(arrival) = device::poll(&app, Kind::Dock, &id, &poll_token).await? else {
        return Ok((StatusCode::ACCEPTED, Json(PENDING)).into_response());
    };
    let Arrival {
        mut transaction,
        account,
        device,
    } = arrival;
    let secret = sign_in::of_user(&app, &mut transaction, &account, &device).await?;
    transaction.commit().await.map_err(storage::Error::from)?;
    tracing::info!(user.id = %account.user_id, "A dock signed in by a code");
    let lifetime = seconds(app.config.dock.session_seconds);
    let cookie = Cookie::Dock.set(&secret, lifetime, &headers);
    let cookie = cookie.ok_or_else(ApiError::internal)?;
    Ok((StatusCode::NO_CONTENT, [(SET_COOKIE, cookie)]).into_response())
}
