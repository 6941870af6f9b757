//! `/api/v1/relay`: a user starts, sees and stops sessions.

use std::sync::Arc;

use axum::extract::rejection::QueryRejection;
use axum::extract::{Query, State};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Extension, Json};
use http::{HeaderMap, Method, StatusCode};
use model::UnixMillis;
use model::live::Link;
use serde::{Deserialize, Serialize};
use storage::control::sessions;
use utoipa::ToSchema;

use crate::auth::{Access, Caller};
use crate::error::ApiError;
use crate::limits::Class;
use crate::openapi::Description;
use crate::relay::moves::{self, By, Destination};
use crate::relay::request::{
    ActiveQuery, MigrateRequest, Named, StartRequest, StopRequest, WireStart,
};
use crate::relay::view::{SessionView, View};
use crate::relay::{start, stop};
use crate::routes::{Body, Route};
use crate::state::App;
use crate::time::rfc3339;

/// The most live sessions one answer lists.
const LISTED_MAX: u32 = 500;

pub(super) fn routes() -> Vec<Route> {
    vec![
        Route::new(
            Method::POST,
            "/api/v1/relay/start",
            Access::User,
            post(start_one),
        )
        .counted_as(Class::Start)
        .describe(
            Description::new("Begins a session, or finds the one that is there.")
                .header(
                    "Idempotency-Key",
                    "One for each intent: the same key finds the same session.",
                )
                .takes::<WireStart>()
                .gives::<SessionResponse>(201)
                .gives::<SessionResponse>(200)
                .refuses(&[403, 409, 503]),
        ),
        Route::new(
            Method::POST,
            "/api/v1/relay/stop",
            Access::User,
            post(stop_one),
        )
        .counted_as(Class::Stop)
        .describe(
            Description::new("Ends a session; again says the same.")
                .takes::<StopRequest>()
                .gives::<StopResponse>(200)
                .refuses(&[404]),
        ),
        Route::new(
            Method::POST,
            "/api/v1/relay/migrate",
            Access::User,
            post(migrate),
        )
        .counted_as(Class::Start)
        .describe(
            Description::new("Moves a session to another node; the picture goes on.")
                .takes::<MigrateRequest>()
                .gives::<SessionResponse>(202)
                .refuses(&[404, 409, 503]),
        ),
        Route::new(
            Method::GET,
            "/api/v1/relay/active",
            Access::User,
            get(active),
        )
        .counted_as(Class::Active)
        .describe(
            Description::new("The live session and its links; 204 when there is none.")
                .query("connection_id", "Of this connection.")
                .gives::<ActiveResponse>(200)
                .says(204)
                .refuses(&[400]),
        ),
        Route::new(
            Method::GET,
            "/api/v1/relay/sessions",
            Access::User,
            get(list),
        )
        .describe(Description::new("The live sessions.").gives::<ListResponse>(200)),
    ]
}

#[derive(Serialize, ToSchema)]
#[schema(as = relay::SessionResponse)]
struct SessionResponse {
    session: SessionView,
}

#[derive(Serialize, ToSchema)]
#[schema(as = relay::ActiveResponse)]
struct ActiveResponse {
    session: SessionView,
    per_link: PerLink,
}

/// The uplinks of a bonded sender, aged to now; none when nobody reports them.
#[derive(Serialize, ToSchema)]
#[schema(as = relay::PerLink)]
struct PerLink {
    stream_id: String,
    /// The node's clock when it saw them.
    #[schema(value_type = Option<i64>)]
    observed_at: Option<UnixMillis>,
    #[schema(value_type = Vec<Object>)]
    connections: Vec<Link>,
}

#[derive(Serialize, ToSchema)]
#[schema(as = relay::ListResponse)]
struct ListResponse {
    sessions: Vec<SessionView>,
}

#[derive(Serialize, Deserialize, ToSchema)]
#[schema(as = relay::StopResponse)]
struct StopResponse {
    session_id: String,
    status: String,
    stopped_at: Option<String>,
}

async fn start_one(
    State(app): State<Arc<App>>,
    Extension(caller): Extension<Caller>,
    headers: HeaderMap,
    Body(body): Body<serde_json::Value>,
) -> Result<(StatusCode, Json<SessionResponse>), ApiError> {
    let intent = start::Intent::from_request(&headers, &body)?;
    let request = StartRequest::from_json(body)?;
    let started = start::start(&app, &caller.account, &request, intent.as_ref()).await?;
    let status = if started.created {
        StatusCode::CREATED
    } else {
        StatusCode::OK
    };
    let session = View::new(&app).session(&started.record);
    Ok((status, Json(SessionResponse { session })))
}

async fn stop_one(
    State(app): State<Arc<App>>,
    Extension(caller): Extension<Caller>,
    Body(request): Body<StopRequest>,
) -> Result<Json<StopResponse>, ApiError> {
    let session = stop::stop(&app, &caller.account, &request).await?;
    Ok(Json(StopResponse {
        session_id: session.id.to_string(),
        status: session.state.to_string(),
        stopped_at: session.stopped_at.map(rfc3339),
    }))
}

/// Moves a session to another region: the answer is the new one, whose node has the
/// picture from the old one's until the sender is there.
async fn migrate(
    State(app): State<Arc<App>>,
    Extension(caller): Extension<Caller>,
    Body(request): Body<MigrateRequest>,
) -> Result<(StatusCode, Json<SessionResponse>), ApiError> {
    let user = &caller.account.user_id;
    let record = match request.named()? {
        Named::Session(id) => sessions::find(&app.pool, &id).await?,
        Named::Connection(name) => {
            sessions::live_of_connection(&app.pool, user, Some(name)).await?
        }
        Named::Nobody => None,
    };
    // Somebody else's session is as unknown as none.
    let record = record.filter(|record| record.session.user_id == *user);
    let record = record.ok_or_else(|| ApiError::not_found("no such session"))?;
    let to = Destination {
        region: Some(request.region()?),
        node: None,
    };
    let moved = moves::begin(&app, &record.session.id, &to, By::User).await?;
    let session = View::new(&app).session(&moved);
    Ok((StatusCode::ACCEPTED, Json(SessionResponse { session })))
}

async fn active(
    State(app): State<Arc<App>>,
    Extension(caller): Extension<Caller>,
    query: Result<Query<ActiveQuery>, QueryRejection>,
) -> Result<Response, ApiError> {
    let Query(query) = query?;
    let user = &caller.account.user_id;
    let record = match query.connection()? {
        Some(connection) => sessions::live_of_connection(&app.pool, user, Some(connection)).await?,
        None => sessions::live_of_user(&app.pool, user, 1).await?.pop(),
    };
    let Some(record) = record else {
        return Ok(StatusCode::NO_CONTENT.into_response());
    };
    let newest = app.links.newest(&record.session.id).await;
    let view = View::new(&app);
    let per_link = PerLink {
        stream_id: view.publish_stream_id(&record),
        observed_at: newest.observed_at,
        connections: newest.now(),
    };
    Ok(Json(ActiveResponse {
        session: view.session(&record),
        per_link,
    })
    .into_response())
}

async fn list(
    State(app): State<Arc<App>>,
    Extension(caller): Extension<Caller>,
) -> Result<Json<ListResponse>, ApiError> {
    let records = sessions::live_of_user(&app.pool, &caller.account.user_id, LISTED_MAX).await?;
    let view = View::new(&app);
    let sessions = records.iter().map(|record| view.session(record)).collect();
    Ok(Json(ListResponse { sessions }))
}
