//! `/api/v1/account`: what somebody who is signed in sees and changes of their own.

use std::sync::Arc;

use axum::extract::{Path, State};
use axum::routing::{delete, get, post};
use axum::{Extension, Json};
use http::{Method, StatusCode};
use model::Provider;
use secrecy::SecretString;
use serde::{Deserialize, Serialize};
use storage::control::linked_accounts::{self, LinkedAccount};
use storage::control::people;
use storage::control::sign_ins::{self, SignIn};
use utoipa::ToSchema;

use crate::accounts::email::Email;
use crate::accounts::membership;
use crate::auth::{Access, Caller};
use crate::error::ApiError;
use crate::openapi::Description;
use crate::routes::{Body, Route};
use crate::state::App;
use crate::time::rfc3339;

/// The most sign-ins and docks one answer lists: as many as there may be.
pub(super) const LISTED_MAX: u32 = 128;

pub(super) fn routes() -> Vec<Route> {
    let (sessions, one) = ("/api/v1/account/sessions", "/api/v1/account/sessions/{id}");
    vec![
        Route::new(Method::GET, "/api/v1/account", Access::Account, get(show))
            .describe(Description::new("Who one is.").gives::<AccountResponse>(200)),
        Route::new(Method::GET, sessions, Access::Account, get(list)).describe(
            Description::new("The browsers, plugins and docks that are signed in.")
                .gives::<SessionsResponse>(200),
        ),
        Route::new(Method::DELETE, one, Access::Account, delete(end))
            .describe(Description::new("Ends one of them.").says(204)),
        Route::new(
            Method::POST,
            "/api/v1/account/password",
            Access::Browser,
            post(change_password),
        )
        .describe(
            Description::new("Changes the password; the other sign-ins end.")
                .takes::<PasswordRequest>()
                .says(204)
                .refuses(&[403, 503]),
        ),
        Route::new(
            Method::POST,
            "/api/v1/account/email",
            Access::Browser,
            post(change_email),
        )
        .describe(
            Description::new("Sends a letter whose link makes an address the account's.")
                .takes::<EmailRequest>()
                .says(202)
                .refuses(&[403, 503]),
        ),
    ]
}

#[derive(Serialize, ToSchema)]
#[schema(as = account::AccountResponse)]
struct AccountResponse {
    user_id: String,
    display_name: String,
    email: Option<String>,
    has_password: bool,
    linked_accounts: Vec<LinkedView>,
}

/// An account elsewhere that the user signs in with.
#[derive(Serialize, ToSchema)]
#[schema(as = account::LinkedView)]
struct LinkedView {
    #[schema(value_type = String)]
    provider: Provider,
    name: String,
    linked_at: String,
}

#[derive(Serialize, ToSchema)]
#[schema(as = account::SessionsResponse)]
pub(super) struct SessionsResponse {
    pub(super) sessions: Vec<SessionView>,
}

#[derive(Serialize, ToSchema)]
#[schema(as = account::SessionView)]
pub(super) struct SessionView {
    id: String,
    /// `browser`, `plugin` or `dock`.
    kind: String,
    /// What it said it is.
    device: String,
    created_at: String,
    /// To the minute; null for a dock.
    last_used_at: Option<String>,
    expires_at: String,
    /// Whether it is the one that asks.
    current: bool,
}

#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = account::PasswordRequest)]
struct PasswordRequest {
    #[schema(value_type = String)]
    current_password: SecretString,
    #[schema(value_type = String)]
    new_password: SecretString,
}

#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = account::EmailRequest)]
struct EmailRequest {
    email: String,
    #[schema(value_type = String)]
    current_password: SecretString,
}

async fn show(
    State(app): State<Arc<App>>,
    Extension(caller): Extension<Caller>,
) -> Result<Json<AccountResponse>, ApiError> {
    let person = people::find(&app.pool, &caller.account.user_id).await?;
    let person = person.ok_or_else(ApiError::internal)?;
    let linked = linked_accounts::list(&app.pool, &person.account.user_id).await?;
    Ok(Json(AccountResponse {
        user_id: person.account.user_id.to_string(),
        display_name: person.name,
        email: person.email,
        has_password: person.has_password,
        linked_accounts: linked.into_iter().map(Into::into).collect(),
    }))
}

async fn list(
    State(app): State<Arc<App>>,
    Extension(caller): Extension<Caller>,
) -> Result<Json<SessionsResponse>, ApiError> {
    let user = &caller.account.user_id;
    let sign_ins = sign_ins::list(&app.pool, user, app.now(), LISTED_MAX).await?;
    let current = caller.sign_in.as_ref().map(ToString::to_string);
    let view = |sign_in: SignIn| {
        let is_current = current.as_deref() == Some(&sign_in.id);
        SessionView::new(sign_in, is_current)
    };
    let sessions = sign_ins.into_iter().map(view).collect();
    Ok(Json(SessionsResponse { sessions }))
}

async fn end(
    State(app): State<Arc<App>>,
    Extension(caller): Extension<Caller>,
    Path(id): Path<String>,
) -> Result<StatusCode, ApiError> {
    let user = &caller.account.user_id;
    let mut transaction = storage::begin(&app.pool).await?;
    let was_there = sign_ins::end(&mut transaction, user, &id, "revoked", app.now()).await?;
    transaction.commit().await.map_err(storage::Error::from)?;
    if !was_there {
        return Err(ApiError::not_found("no such session"));
    }
    tracing::info!(user.id = %user, sign_in.id = id, "A user ended a sign-in");
    Ok(StatusCode::NO_CONTENT)
}

async fn change_password(
    State(app): State<Arc<App>>,
    Extension(caller): Extension<Caller>,
    Body(request): Body<PasswordRequest>,
) -> Result<StatusCode, ApiError> {
    let PasswordRequest {
        current_password,
        new_password,
    } = request;
    membership::change_password(&app, &caller, current_password, new_password).await?;
    Ok(StatusCode::NO_CONTENT)
}

async fn change_email(
    State(app): State<Arc<App>>,
    Extension(caller): Extension<Caller>,
    Body(request): Body<EmailRequest>,
) -> Result<StatusCode, ApiError> {
    let email = Email::parse(&request.email)?;
    membership::change_email(&app, &caller, email, request.current_password).await?;
    Ok(StatusCode::ACCEPTED)
}

impl From<LinkedAccount> for LinkedView {
    fn from(linked: LinkedAccount) -> Self {
        Self {
            provider: linked.provider,
            name: linked.name,
            linked_at: rfc3339(linked.linked_at),
        }
    }
}

impl SessionView {
    pub(super) fn new(sign_in: SignIn, current: bool) -> Self {
        Self {
            id: sign_in.id,
            kind: sign_in.kind,
            device: sign_in.device,
            created_at: rfc3339(sign_in.created_at),
            last_used_at: sign_in.used_at.map(rfc3339),
            expires_at: rfc3339(sign_in.expires_at),
            current,
        }
    }
}
