//! `/api/v1/ops/invites`, and links that set a password: the operator lets people in by
//! letters, or by links to pass on.

use std::sync::Arc;

use axum::extract::{Path, State};
use axum::routing::{get, post};
use axum::{Extension, Json};
use http::{Method, StatusCode};
use serde::{Deserialize, Serialize};
use serde_json::json;
use storage::control::{audit, mail_tokens, people};
use utoipa::ToSchema;

use super::users::{already, find};
use crate::accounts::email::Email;
use crate::accounts::errands::Errand;
use crate::accounts::links::{self, Link};
use crate::auth::{Access, Caller};
use crate::error::{ApiError, Code};
use crate::mail::Letter;
use crate::openapi::Description;
use crate::routes::{Body, Route};
use crate::state::App;
use crate::time::rfc3339;

/// The most invitations one answer lists.
const LISTED_MAX: u32 = 1000;

pub(super) fn routes() -> Vec<Route> {
    let admin = |method, path, handler| Route::new(method, path, Access::ADMIN, handler);
    vec![
        admin(
            Method::POST,
            "/api/v1/ops/users/{id}/password-reset",
            post(reset_password),
        )
        .describe(
            Description::new("Makes a link that sets a user's password.")
                .gives::<LinkResponse>(201)
                .refuses(&[409]),
        ),
        admin(Method::GET, "/api/v1/ops/invites", get(list_invites))
            .describe(Description::new("Who is invited.").gives::<InvitesResponse>(200)),
        admin(Method::POST, "/api/v1/ops/invites", post(invite)).describe(
            Description::new("Invites somebody.")
                .takes::<InviteRequest>()
                .gives::<LinkResponse>(201)
                .refuses(&[409]),
        ),
    ]
}

#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = users::InviteRequest)]
struct InviteRequest {
    email: String,
}

/// A link that works once: shown to the operator, and mailed where mail is set up.
#[derive(Serialize, ToSchema)]
#[schema(as = users::LinkResponse)]
struct LinkResponse {
    email: String,
    url: String,
    expires_at: String,
    mailed: bool,
}

#[derive(Serialize, ToSchema)]
#[schema(as = users::InvitesResponse)]
struct InvitesResponse {
    invites: Vec<InviteView>,
}

#[derive(Serialize, ToSchema)]
#[schema(as = users::InviteView)]
struct InviteView {
    email: String,
    created_at: String,
    expires_at: String,
}

/// Makes a link by which a user sets a new password, and mails it where mail is set up.
async fn reset_password(
    State(app): State<Arc<App>>,
    Extension(caller): Extension<Caller>,
    Path(id): Path<String>,
) -> Result<(StatusCode, Json<LinkResponse>), ApiError> {
    let person = find(&app, &id).await?;
    let email = person.email.ok_or_else(|| {
        ApiError::new(
            Code::Conflict,
            "the user has no e-mail address to sign in with",
        )
    })?;
    let email = Email::parse(&email)?;
    let user = &person.account.user_id;
    let mut transaction = storage::begin(&app.pool).await?;
    let link = links::reset(&app, &mut transaction, &email, user).await?;
    let reset = caller.action("user.password_reset", user.as_str());
    audit::record(&mut transaction, reset, &json!({}), app.now()).await?;
    storage::commit(transaction).await?;
    answer(&app, &link, email, links::password_reset)
}

async fn list_invites(State(app): State<Arc<App>>) -> Result<Json<InvitesResponse>, ApiError> {
    let invites = mail_tokens::invitations(&app.pool, app.now(), LISTED_MAX).await?;
    let invites = invites.into_iter().map(|invite| InviteView {
        email: invite.email,
        created_at: rfc3339(invite.created_at),
        expires_at: rfc3339(invite.expires_at),
    });
    Ok(Json(InvitesResponse {
        invites: invites.collect(),
    }))
}

async fn invite(
    State(app): State<Arc<App>>,
    Extension(caller): Extension<Caller>,
    Body(request): Body<InviteRequest>,
) -> Result<(StatusCode, Json<LinkResponse>), ApiError> {
    let email = Email::parse(&request.email)?;
    if people::by_email(&app.pool, email.as_str()).await?.is_some() {
        return Err(already());
    }
    let mut transaction = storage::begin(&app.pool).await?;
    let link = links::invite(&app, &mut transaction, &email).await?;
    let invited = caller.action("user.invite", "");
    let detail = json!({"email": email.as_str()});
    audit::record(&mut transaction, invited, &detail, app.now()).await?;
    storage::commit(transaction).await?;
    tracing::info!("Somebody was invited");
    answer(&app, &link, email, links::invitation)
}

fn answer(
    app: &App,
    link: &Link,
    email: Email,
    letter: fn(Email, &Link) -> Letter,
) -> Result<(StatusCode, Json<LinkResponse>), ApiError> {
    let mailed = app.post.is_open();
    let response = LinkResponse {
        email: email.to_string(),
        expires_at: rfc3339(link.expires_at),
        url: link.url.clone(),
        mailed,
    };
    if mailed {
        app.errands.take_on(Errand::Send(letter(email, link)))?;
    }
    Ok((StatusCode::CREATED, Json(response)))
}
