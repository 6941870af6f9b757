//! `/api/v1/ops/users`: the operator makes users.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::routing::post;
use http::{Method, StatusCode};
use model::{TenantId, UserId};
use secrecy::ExposeSecret;
use serde::{Deserialize, Serialize};
use storage::control::accounts::{self, Account};

use super::check_name;
use crate::auth::Access;
use crate::error::ApiError;
use crate::routes::{Body, Route};
use crate::state::App;
use crate::token::{self, Kind};

pub(super) fn routes() -> Vec<Route> {
    vec![Route::new(
        Method::POST,
        "/api/v1/ops/users",
        Access::Admin,
        post(create),
    )]
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct CreateRequest {
    name: String,
}

#[derive(Serialize)]
struct CreateResponse {
    user_id: UserId,
    tenant_id: TenantId,
    /// Shown this once.
    token: String,
}

async fn create(
    State(app): State<Arc<App>>,
    Body(request): Body<CreateRequest>,
) -> Result<(StatusCode, Json<CreateResponse>), ApiError> {
    check_name(&request.name)?;
    let account = Account {
        user_id: UserId::from_u128(token::id_bits()),
        tenant_id: TenantId::from_u128(token::id_bits()),
    };
    let token = token::fresh(Kind::User);
    let hash = token::hash(token.expose_secret());
    accounts::create(&app.pool, &account, &request.name, &hash, app.now()).await?;
    tracing::info!(user.id = %account.user_id, "A user was created");
    let response = CreateResponse {
        user_id: account.user_id,
        tenant_id: account.tenant_id,
        token: token.expose_secret().to_owned(),
    };
    Ok((StatusCode::CREATED, Json(response)))
}
