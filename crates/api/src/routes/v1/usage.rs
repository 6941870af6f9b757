//! `/api/v1/usage`: what a user has used of their plan.

use std::sync::Arc;

use axum::extract::State;
use axum::routing::get;
use axum::{Extension, Json};
use http::Method;

use crate::accounts::standing::{self, Cycle};
use crate::auth::{Access, Caller};
use crate::error::ApiError;
use crate::limits::Class;
use crate::openapi::Description;
use crate::routes::Route;
use crate::state::App;

pub(super) fn routes() -> Vec<Route> {
    vec![
        Route::new(
            Method::GET,
            "/api/v1/usage/current",
            Access::User,
            get(current),
        )
        .counted_as(Class::Usage)
        .describe(Description::new("What is used of the plan in this cycle.").gives::<Cycle>(200)),
    ]
}

async fn current(
    State(app): State<Arc<App>>,
    Extension(caller): Extension<Caller>,
) -> Result<Json<Cycle>, ApiError> {
    Ok(Json(standing::cycle(&app, &caller.account.user_id).await?))
}
