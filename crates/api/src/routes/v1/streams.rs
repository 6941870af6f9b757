//! `/api/v1/streams`: a user's stream slots and how they behave.

use std::sync::Arc;

use axum::extract::{Path, State};
use axum::routing::{get, patch, post};
use axum::{Extension, Json};
use http::{Method, StatusCode};
use model::{SessionId, StreamId, StreamSettings};
use serde::{Deserialize, Serialize};
use storage::control::streams::{self, Description};
use utoipa::ToSchema;

use crate::accounts::slots::{self, Created};
use crate::auth::{Access, Caller};
use crate::error::ApiError;
use crate::openapi;
use crate::relay::request::check_connection;
use crate::relay::settings::{self, Patch};
use crate::routes::{Body, Route};
use crate::state::App;
use crate::time::rfc3339;

/// The most slots one answer lists.
const LISTED_MAX: u32 = 500;

pub(super) fn routes() -> Vec<Route> {
    let settings = "/api/v1/streams/{id}/settings";
    vec![
        Route::new(Method::GET, "/api/v1/streams", Access::User, get(list))
.describe(openapi::Description::new("The streams and how they are set.").gives::<ListResponse>(200)),
        Route::new(Method::POST, "/api/v1/streams", Access::User, post(create)).describe(
            openapi::Description::new("Makes a stream slot, as far as the plan goes.")
                .takes::<CreateRequest>()
                .gives::<Created>(201)
                .refuses(&[403, 409]),
        ),
        Route::new(Method::GET, settings, Access::User, get(show))
.describe(openapi::Description::new("How a stream is set.").gives::<SettingsResponse>(200)),
        Route::new(Method::PATCH, settings, Access::User, patch(change))
.describe(openapi::Description::new("Changes settings of a stream; what is not named stays (docs/operations/streams.md).").takes::<serde_json::Value>().gives::<SettingsResponse>(200)),
]
}

#[derive(Serialize, ToSchema)]
#[schema(as = streams::ListResponse)]
struct ListResponse {
    streams: Vec<StreamView>,
}

#[derive(Serialize, ToSchema)]
#[schema(as = streams::StreamView)]
struct StreamView {
    #[schema(value_type = String)]
    stream_id: StreamId,
    /// The client's name of the connection.
    connection_id: Option<String>,
    created_at: String,
    /// The live session.
    #[schema(value_type = Option<String>)]
    session_id: Option<SessionId>,
    #[schema(value_type = Object)]
    settings: StreamSettings,
}

#[derive(Serialize, ToSchema)]
#[schema(as = streams::SettingsResponse)]
struct SettingsResponse {
    #[schema(value_type = String)]
    stream_id: StreamId,
    /// What is null is left to the node.
    #[schema(value_type = Object)]
    settings: StreamSettings,
}

#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = streams::CreateRequest)]
struct CreateRequest {
    /// The connection that it is for; when absent, it is for whichever shows its token.
    connection_id: Option<String>,
    /// What its user calls it.
    label: Option<String>,
}

async fn list(
    State(app): State<Arc<App>>,
    Extension(caller): Extension<Caller>,
) -> Result<Json<ListResponse>, ApiError> {
    let user = &caller.account.user_id;
    let streams = streams::describe_of_user(&app.pool, user, LISTED_MAX).await?;
    let streams = streams.into_iter().map(Into::into).collect();
    Ok(Json(ListResponse { streams }))
}

async fn create(
    State(app): State<Arc<App>>,
    Extension(caller): Extension<Caller>,
    Body(request): Body<CreateRequest>,
) -> Result<(StatusCode, Json<Created>), ApiError> {
    let connection = request.connection_id.as_deref();
    connection.map(check_connection).transpose()?;
    let label = request.label.as_deref();
    let created = slots::create(&app, &caller.account, connection, label).await?;
    Ok((StatusCode::CREATED, Json(created)))
}

async fn show(
    State(app): State<Arc<App>>,
    Extension(caller): Extension<Caller>,
    Path(id): Path<String>,
) -> Result<Json<SettingsResponse>, ApiError> {
    let stream = settings::find(&app, &caller, &id).await?;
    Ok(Json(stream.into()))
}

async fn change(
    State(app): State<Arc<App>>,
    Extension(caller): Extension<Caller>,
    Path(id): Path<String>,
    Body(body): Body<serde_json::Value>,
) -> Result<Json<SettingsResponse>, ApiError> {
    let patch = Patch::from_json(body)?;
    let stream = settings::change(&app, &caller, &id, patch).await?;
    Ok(Json(stream.into()))
}

impl From<Description> for StreamView {
    fn from(stream: Description) -> Self {
        let is_anybodys = stream.name.is_empty() || stream.name == stream.id.as_str();
        Self {
            connection_id: (!is_anybodys).then_some(stream.name),
            stream_id: stream.id,
            created_at: rfc3339(stream.created_at),
            session_id: stream.live.map(|(session, _)| session),
            settings: stream.settings,
        }
    }
}

impl From<Description> for SettingsResponse {
    fn from(stream: Description) -> Self {
        Self {
            stream_id: stream.id,
            settings: stream.settings,
        }
    }
}
