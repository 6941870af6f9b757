//! `/api/v1/ops/users/{id}/tokens`: what a user's scripts sign in with.

use std::sync::Arc;
use std::time::Duration;

use axum::extract::{Path, State};
use axum::routing::{delete, get, post};
use axum::{Extension, Json};
use http::{Method, StatusCode};
use secrecy::ExposeSecret;
use serde::{Deserialize, Serialize};
use serde_json::json;
use storage::control::audit;
use storage::control::tokens::{self, NewToken, Token};
use utoipa::ToSchema;

use super::check_name;
use super::users::find;
use crate::auth::{Access, Caller};
use crate::error::{ApiError, Code};
use crate::openapi::Description;
use crate::routes::{Body, Route};
use crate::state::App;
use crate::time::rfc3339;
use crate::token::{self, Kind};

const DAYS_MAX: u32 = 3650;
const DAY: Duration = Duration::from_secs(24 * 3600);

pub(super) fn routes() -> Vec<Route> {
    let admin = |method, path, handler| Route::new(method, path, Access::ADMIN, handler);
    let all = "/api/v1/ops/users/{id}/tokens";
    vec![
        admin(Method::GET, all, get(list)).describe(
            Description::new("A user's tokens for scripts, without their secrets.")
                .gives::<TokensResponse>(200),
        ),
        admin(Method::POST, all, post(create)).describe(
            Description::new("Gives a user a further token.")
                .takes::<CreateRequest>()
                .gives::<CreateResponse>(201)
                .refuses(&[409]),
        ),
        admin(Method::DELETE, all, delete(revoke_all))
            .describe(Description::new("Revokes all of them.").says(204)),
        admin(
            Method::DELETE,
            "/api/v1/ops/users/{id}/tokens/{token}",
            delete(revoke_one),
        )
        .describe(Description::new("Revokes one of them.").says(204)),
    ]
}

#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = user_tokens::CreateRequest)]
struct CreateRequest {
    /// What it is for, such as `backup script`.
    name: String,
    /// For how many days it is good, 1 to 3650; null: until it is revoked.
    days: Option<u32>,
}

#[derive(Serialize, ToSchema)]
#[schema(as = user_tokens::CreateResponse)]
struct CreateResponse {
    /// Shown this once.
    token: String,
    /// What it is revoked by; it opens nothing.
    token_id: String,
    name: String,
    created_at: String,
    /// Null: when it is revoked.
    expires_at: Option<String>,
}

#[derive(Serialize, ToSchema)]
#[schema(as = user_tokens::TokensResponse)]
struct TokensResponse {
    tokens: Vec<TokenView>,
}

#[derive(Serialize, ToSchema)]
#[schema(as = user_tokens::TokenView)]
struct TokenView {
    /// What it is revoked by; it opens nothing.
    token_id: String,
    name: String,
    created_at: String,
    /// Null: when it is revoked.
    expires_at: Option<String>,
}

impl From<Token> for TokenView {
    fn from(token: Token) -> Self {
        Self {
            token_id: token.id,
            name: token.name,
            created_at: rfc3339(token.created_at),
            expires_at: token.expires_at.map(rfc3339),
        }
    }
}

async fn list(
    State(app): State<Arc<App>>,
    Path(id): Path<String>,
) -> Result<Json<TokensResponse>, ApiError> {
    let user = find(&app, &id).await?.account.user_id;
    let tokens = tokens::list(&app.pool, &user, app.now()).await?;
    let tokens = tokens.into_iter().map(Into::into).collect();
    Ok(Json(TokensResponse { tokens }))
}

async fn create(
    State(app): State<Arc<App>>,
    Extension(caller): Extension<Caller>,
    Path(id): Path<String>,
    Body(request): Body<CreateRequest>,
) -> Result<(StatusCode, Json<CreateResponse>), ApiError> {
    check_name(&request.name)?;
    if request
        .days
        .is_some_and(|days| !(1..=DAYS_MAX).contains(&days))
    {
        return Err(ApiError::invalid("days: 1 to 3650, or null"));
    }
    let user = find(&app, &id).await?.account.user_id;
    let now = app.now();
    let secret = token::fresh(Kind::User);
    let new = NewToken {
        sha256: &token::hash(secret.expose_secret()),
        name: &request.name,
        expires_at: request.days.map(|days| now.plus(DAY * days)),
    };
    let mut transaction = storage::begin(&app.pool).await?;
    let added = tokens::add(&mut transaction, &user, new, now).await?;
    let token = added.ok_or_else(|| {
        let message = "the user has 64 tokens; revoke one first";
        ApiError::new(Code::Conflict, message)
    })?;
    let made = caller.action("user.token.create", user.as_str());
    let detail = json!({"id": token.id, "name": token.name, "days": request.days});
    audit::record(&mut transaction, made, &detail, now).await?;
    storage::commit(transaction).await?;
    tracing::info!(user.id = %user, token.id, "A user was given a token");
    let response = CreateResponse {
        token: secret.expose_secret().to_owned(),
        token_id: token.id,
        name: token.name,
        created_at: rfc3339(token.created_at),
        expires_at: token.expires_at.map(rfc3339),
    };
    Ok((StatusCode::CREATED, Json(response)))
}

async fn revoke_all(
    State(app): State<Arc<App>>,
    Extension(caller): Extension<Caller>,
    Path(id): Path<String>,
) -> Result<StatusCode, ApiError> {
    revoke(&app, &caller, &id, None)
        .await
        .map(|_| StatusCode::NO_CONTENT)
}

async fn revoke_one(
    State(app): State<Arc<App>>,
    Extension(caller): Extension<Caller>,
    Path((id, token)): Path<(String, String)>,
) -> Result<StatusCode, ApiError> {
    match revoke(&app, &caller, &id, Some(&token)).await? {
        0 => Err(ApiError::not_found("no such token")),
        _ => Ok(StatusCode::NO_CONTENT),
    }
}

async fn revoke(
    app: &App,
    caller: &Caller,
    id: &str,
    token: Option<&str>,
) -> Result<u64, ApiError> {
    let user = find(app, id).await?.account.user_id;
    let mut transaction = storage::begin(&app.pool).await?;
    let revoked = tokens::revoke(&mut transaction, &user, token, app.now()).await?;
    if revoked > 0 {
        let action = caller.action("user.token.revoke", user.as_str());
        let detail = json!({"id": token, "revoked": revoked});
        audit::record(&mut transaction, action, &detail, app.now()).await?;
    }
    storage::commit(transaction).await?;
    tracing::info!(user.id = %user, revoked, "Tokens of a user were revoked");
    Ok(revoked)
}
