//! `/api/v1/ops/keys`: the keys that sign leases; and the public ones for everybody.

use std::sync::Arc;

use axum::extract::{Path, State};
use axum::routing::{get, post};
use axum::{Extension, Json};
use http::header::CACHE_CONTROL;
use http::{HeaderName, Method};
use model::UnixMillis;
use model::lease_key::LeaseKeyState;
use serde::{Deserialize, Serialize};
use serde_json::json;
use storage::control::audit::{self, Action};
use storage::control::lease_keys::{self, LeaseKey};
use utoipa::ToSchema;

use super::check_reason;
use crate::auth::{Access, Caller};
use crate::error::{ApiError, Code};
use crate::fleet::keys;
use crate::openapi::Description;
use crate::routes::{Body, Route};
use crate::state::App;
use crate::time::rfc3339;

pub(super) fn routes() -> Vec<Route> {
    vec![
        Route::new(
            Method::GET,
            "/.well-known/streamhaul-keys.json",
            Access::Public,
            get(published),
        )
        .describe(
            Description::new("The public keys that leases are verified with.")
                .gives::<Published>(200),
        ),
        Route::new(Method::GET, "/api/v1/ops/keys", Access::VIEWER, get(list))
            .describe(Description::new("The keys that sign leases.").gives::<ListResponse>(200)),
        Route::new(
            Method::POST,
            "/api/v1/ops/keys/rotate",
            Access::ADMIN,
            post(rotate),
        )
        .describe(
            Description::new("Signs with the next key from now on.")
                .gives::<ListResponse>(200)
                .refuses(&[409]),
        ),
        Route::new(
            Method::POST,
            "/api/v1/ops/keys/{kid}/revoke",
            Access::ADMIN,
            post(revoke),
        )
        .describe(
            Description::new("Believes a key no more; what lives on its leases is cut.")
                .takes::<RevokeRequest>()
                .gives::<ListResponse>(200)
                .refuses(&[409]),
        ),
    ]
}

#[derive(Serialize, ToSchema)]
#[schema(as = keys::Published)]
struct Published {
    keys: Vec<PublishedKey>,
}

#[derive(Serialize, ToSchema)]
#[schema(as = keys::PublishedKey)]
struct PublishedKey {
    kid: String,
    algorithm: &'static str,
    /// 64 hexadecimal digits.
    public_key: String,
    #[schema(schema_with = crate::openapi::schema::lease_key_state)]
    state: LeaseKeyState,
    /// When it is believed no more; absent while that is not known.
    #[serde(skip_serializing_if = "Option::is_none")]
    believed_until: Option<String>,
}

#[derive(Serialize, ToSchema)]
#[schema(as = keys::ListResponse)]
struct ListResponse {
    keys: Vec<KeyView>,
}

#[derive(Serialize, ToSchema)]
#[schema(as = keys::KeyView)]
struct KeyView {
    kid: String,
    #[schema(schema_with = crate::openapi::schema::lease_key_state)]
    state: LeaseKeyState,
    public_key: String,
    created_at: String,
    promoted_at: Option<String>,
    believed_until: Option<String>,
    revoked_at: Option<String>,
}

#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = keys::RevokeRequest)]
struct RevokeRequest {
    /// Why, for the audit.
    reason: String,
}

async fn published(
    State(app): State<Arc<App>>,
) -> Result<([(HeaderName, &'static str); 1], Json<Published>), ApiError> {
    let keys = lease_keys::all(&app.pool).await?;
    let keys = keys::believed_keys(&keys, app.now()).map(|key| PublishedKey {
        kid: key.kid.clone(),
        algorithm: "Ed25519",
        public_key: hex::encode(key.public_key),
        state: key.state,
        believed_until: key.believed_until.map(rfc3339),
    });
    let keys = keys.collect();
    Ok(([(CACHE_CONTROL, "max-age=60")], Json(Published { keys })))
}

async fn list(State(app): State<Arc<App>>) -> Result<Json<ListResponse>, ApiError> {
    let keys = lease_keys::all(&app.pool).await?;
    Ok(view(keys))
}

async fn rotate(
    State(app): State<Arc<App>>,
    Extension(caller): Extension<Caller>,
) -> Result<Json<ListResponse>, ApiError> {
    let (now, overlap) = (app.now(), app.issuer.overlap());
    let mut transaction = storage::begin(&app.pool).await?;
    let kid = keys::rotate(&mut transaction, app.issuer.sealing(), overlap, now).await?;
    let rotated = caller.action("key.rotate", &kid);
    audit::record(&mut transaction, rotated, &json!({}), now).await?;
    let keys = lease_keys::all(&mut *transaction).await?;
    storage::commit(transaction).await?;
    tracing::info!(kid, "The lease keys were rotated");
    Ok(view(keys))
}

async fn revoke(
    State(app): State<Arc<App>>,
    Extension(caller): Extension<Caller>,
    Path(kid): Path<String>,
    Body(request): Body<RevokeRequest>,
) -> Result<Json<ListResponse>, ApiError> {
    let reason = check_reason(&request.reason)?;
    let now: UnixMillis = app.now();
    let mut transaction = storage::begin(&app.pool).await?;
    keys::revoke(&mut transaction, app.issuer.sealing(), &kid, now).await?;
    let revoked = Action {
        reason: Some(reason),
        ..caller.action("key.revoke", &kid)
    };
    audit::record(&mut transaction, revoked, &json!({}), now).await?;
    let keys = lease_keys::all(&mut *transaction).await?;
    storage::commit(transaction).await?;
    tracing::warn!(
        kid,
        "A lease key was revoked: what lives on its leases is cut"
    );
    Ok(view(keys))
}

fn view(keys: Vec<LeaseKey>) -> Json<ListResponse> {
    Json(ListResponse {
        keys: keys.into_iter().map(Into::into).collect(),
    })
}

impl From<LeaseKey> for KeyView {
    fn from(key: LeaseKey) -> Self {
        Self {
            kid: key.kid,
            state: key.state,
            public_key: hex::encode(key.public_key),
            created_at: rfc3339(key.created_at),
            promoted_at: key.promoted_at.map(rfc3339),
            believed_until: key.believed_until.map(rfc3339),
            revoked_at: key.revoked_at.map(rfc3339),
        }
    }
}

impl From<keys::Error> for ApiError {
    fn from(error: keys::Error) -> Self {
        match error {
            keys::Error::Storage(error) => error.into(),
            keys::Error::Unknown => Self::not_found("no such lease key"),
            keys::Error::TooMany | keys::Error::Revoked => {
                Self::new(Code::Conflict, error.to_string())
            }
            error => {
                tracing::error!(error = &error as &dyn std::error::Error, "Lease keys fail");
                Self::internal()
            }
        }
    }
}
