//! `/api/v1/user`: a user's stream slots, as the plugin knows them.

use std::sync::Arc;

use axum::body::Bytes;
use axum::extract::rejection::BytesRejection;
use axum::extract::{Path, State};
use axum::routing::{get, post, put};
use axum::{Extension, Json};
use http::Method;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::accounts::slots::{self, SlotView};
use crate::auth::{Access, Caller};
use crate::error::ApiError;
use crate::openapi::Description;
use crate::routes::{Body, Route};
use crate::state::App;

pub(super) fn routes() -> Vec<Route> {
    let user = |method, path, handler| Route::new(method, path, Access::User, handler);
    vec![
        user(Method::GET, "/api/v1/user/stream-slots", get(list)).describe(
            Description::new("The stream slots; who has none gets the first.")
                .gives::<ListResponse>(200),
        ),
        user(
            Method::PUT,
            "/api/v1/user/stream-slots/{number}/label",
            put(rename),
        )
        .describe(
            Description::new("Calls a slot something.")
                .takes::<LabelRequest>()
                .gives::<SlotView>(200),
        ),
        user(
            Method::POST,
            "/api/v1/user/regenerate-token",
            post(regenerate),
        )
        .describe(
            Description::new("Replaces a slot's keys.")
                .takes::<RegenerateRequest>()
                .or_nothing()
                .gives::<SlotView>(200)
                .refuses(&[404]),
        ),
    ]
}

#[derive(Serialize, ToSchema)]
#[schema(as = slots::ListResponse)]
struct ListResponse {
    stream_slots: Vec<SlotView>,
}

#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = slots::LabelRequest)]
struct LabelRequest {
    label: String,
}

#[derive(Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = slots::RegenerateRequest)]
struct RegenerateRequest {
    /// The first when absent.
    slot_number: Option<u32>,
}

async fn list(
    State(app): State<Arc<App>>,
    Extension(caller): Extension<Caller>,
) -> Result<Json<ListResponse>, ApiError> {
    let stream_slots = slots::list(&app, &caller.account).await?;
    Ok(Json(ListResponse { stream_slots }))
}

async fn rename(
    State(app): State<Arc<App>>,
    Extension(caller): Extension<Caller>,
    Path(number): Path<String>,
    Body(request): Body<LabelRequest>,
) -> Result<Json<SlotView>, ApiError> {
    let number = number
        .parse()
        .map_err(|_| ApiError::not_found("no such slot"))?;
    let slot = slots::rename(&app, &caller.account, number, &request.label).await?;
    Ok(Json(slot))
}

/// Its body may be absent.
async fn regenerate(
    State(app): State<Arc<App>>,
    Extension(caller): Extension<Caller>,
    body: Result<Bytes, BytesRejection>,
) -> Result<Json<SlotView>, ApiError> {
    let body = body?;
    let request: RegenerateRequest = if body.is_empty() {
        RegenerateRequest::default()
    } else {
        let read = serde_json::from_slice(&body);
        read.map_err(|error| {
            ApiError::invalid(format!("the body is not what it should be: {error}"))
        })?
    };
    let number = match request.slot_number {
        Some(number) => number,
        None => first(&app, &caller).await?,
    };
    Ok(Json(slots::rotate(&app, &caller.account, number).await?))
}

async fn first(app: &App, caller: &Caller) -> Result<u32, ApiError> {
    let slots = slots::list(app, &caller.account).await?;
    let first = slots.first().map(|slot| slot.slot_number);
    first.ok_or_else(ApiError::internal)
}
