//! `/api/v1/ops/users/{id}/sessions`: the operator sees where a user is signed in, and ends
//! it.

use std::sync::Arc;

use axum::extract::{Path, State};
use axum::routing::{delete, get};
use axum::{Extension, Json};
use http::{Method, StatusCode};
use serde_json::json;
use storage::control::{audit, sign_ins, tokens};

use super::account::{self, SessionView, SessionsResponse};
use super::users::find;
use crate::auth::{Access, Caller};
use crate::error::ApiError;
use crate::openapi::Description;
use crate::routes::Route;
use crate::state::App;

/// Why a sign-in ended that an operator ended.
const REVOKED: &str = "revoked_by_operator";

pub(super) fn routes() -> Vec<Route> {
    let admin = |method, path, handler| Route::new(method, path, Access::ADMIN, handler);
    let sign_ins = "/api/v1/ops/users/{id}/sessions";
    vec![
        admin(Method::GET, sign_ins, get(list_sign_ins))
            .describe(Description::new("A user's sign-ins.").gives::<SessionsResponse>(200)),
        admin(Method::DELETE, sign_ins, delete(end_sign_ins))
            .describe(Description::new("Ends all of them, and the user's tokens.").says(204)),
        admin(
            Method::DELETE,
            "/api/v1/ops/users/{id}/sessions/{session}",
            delete(end_sign_in),
        )
        .describe(Description::new("Ends one of them.").says(204)),
    ]
}

async fn list_sign_ins(
    State(app): State<Arc<App>>,
    Path(id): Path<String>,
) -> Result<Json<SessionsResponse>, ApiError> {
    let user = find(&app, &id).await?.account.user_id;
    let sign_ins = sign_ins::list(&app.pool, &user, app.now(), account::LISTED_MAX).await?;
    let sign_ins = sign_ins.into_iter();
    let sessions = sign_ins.map(|it| SessionView::new(it, false)).collect();
    Ok(Json(SessionsResponse { sessions }))
}

async fn end_sign_ins(
    State(app): State<Arc<App>>,
    Extension(caller): Extension<Caller>,
    Path(id): Path<String>,
) -> Result<StatusCode, ApiError> {
    let user = find(&app, &id).await?.account.user_id;
    let mut transaction = storage::begin(&app.pool).await?;
    sign_ins::end_all(&mut transaction, &user, None, REVOKED, app.now()).await?;
    tokens::revoke(&mut transaction, &user, None, app.now()).await?;
    let ended = caller.action("user.sign_ins.end", user.as_str());
    audit::record(&mut transaction, ended, &json!({}), app.now()).await?;
    storage::commit(transaction).await?;
    tracing::info!(user.id = %user, "An operator ended a user's sign-ins");
    Ok(StatusCode::NO_CONTENT)
}

async fn end_sign_in(
    State(app): State<Arc<App>>,
    Extension(caller): Extension<Caller>,
    Path((id, session)): Path<(String, String)>,
) -> Result<StatusCode, ApiError> {
    let user = find(&app, &id).await?.account.user_id;
    let mut transaction = storage::begin(&app.pool).await?;
    if !sign_ins::end(&mut transaction, &user, &session, REVOKED, app.now()).await? {
        return Err(ApiError::not_found("no such session"));
    }
    let ended = caller.action("user.sign_ins.end", user.as_str());
    audit::record(&mut transaction, ended, &json!({"id": session}), app.now()).await?;
    storage::commit(transaction).await?;
    tracing::info!(user.id = %user, sign_in.id = session, "An operator ended a sign-in");
    Ok(StatusCode::NO_CONTENT)
}
