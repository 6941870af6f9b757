//! `/api/v1/user/preferences`: what a user wants when they do not say.

use std::sync::Arc;

use axum::extract::State;
use axum::routing::{get, put};
use axum::{Extension, Json};
use http::Method;
use model::Region;
use serde::{Deserialize, Serialize};
use storage::control::people;
use utoipa::ToSchema;

use crate::auth::{Access, Caller};
use crate::error::ApiError;
use crate::openapi::Description;
use crate::routes::{Body, Route};
use crate::state::App;

pub(super) fn routes() -> Vec<Route> {
    let preferences = "/api/v1/user/preferences";
    vec![
        Route::new(Method::GET, preferences, Access::User, get(show)).describe(
            Description::new("What the caller wants when a request does not say.")
                .gives::<PreferencesView>(200),
        ),
        Route::new(Method::PUT, preferences, Access::User, put(change)).describe(
            Description::new("Changes it; a live session stays where it is.")
                .takes::<PreferencesRequest>()
                .gives::<PreferencesView>(200),
        ),
    ]
}

#[derive(Serialize, ToSchema)]
#[schema(as = preferences::PreferencesView)]
struct PreferencesView {
    /// Where sessions go whose start names no region; null: anywhere.
    #[schema(value_type = Option<String>)]
    preferred_region: Option<Region>,
}

#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = preferences::PreferencesRequest)]
struct PreferencesRequest {
    /// Null, empty and `auto`: anywhere.
    preferred_region: Option<String>,
}

async fn show(
    State(app): State<Arc<App>>,
    Extension(caller): Extension<Caller>,
) -> Result<Json<PreferencesView>, ApiError> {
    let preferred_region = people::preferred_region(&app.pool, &caller.account.user_id).await?;
    Ok(Json(PreferencesView { preferred_region }))
}

async fn change(
    State(app): State<Arc<App>>,
    Extension(caller): Extension<Caller>,
    Body(request): Body<PreferencesRequest>,
) -> Result<Json<PreferencesView>, ApiError> {
    let preferred_region = region(&app, request.preferred_region.as_deref())?;
    let user = &caller.account.user_id;
    people::set_preferred_region(&app.pool, user, preferred_region.as_ref()).await?;
    Ok(Json(PreferencesView { preferred_region }))
}

fn region(app: &App, name: Option<&str>) -> Result<Option<Region>, ApiError> {
    let Some(name) = name.filter(|name| !["", "auto"].contains(name)) else {
        return Ok(None);
    };
    let region = Region::parse(name)
        .map_err(|error| ApiError::invalid(format!("preferred_region: {error}")))?;
    if app.config.knows(&region) {
        return Ok(Some(region));
    }
    let error = ApiError::invalid("preferred_region: no node may stand there");
    Err(error.because("unknown_region"))
}
