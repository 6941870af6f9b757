//! `/api/v1/auth`: what the account pages do before anybody is signed in.
//!
//! Whether an address has an account is told to nobody but whoever reads its mail.

use std::sync::Arc;

use axum::extract::State;
use axum::response::{AppendHeaders, IntoResponse};
use axum::routing::post;
use axum::{Extension, Json};
use http::header::SET_COOKIE;
use http::{HeaderMap, Method, StatusCode};
use secrecy::SecretString;
use serde::{Deserialize, Serialize};
use storage::control::sign_ins;
use utoipa::ToSchema;

use super::check_name;
use crate::accounts::email::Email;
use crate::accounts::errands::Errand;
use crate::accounts::membership::Member;
use crate::accounts::tries::{Party, Try};
use crate::accounts::{known_browser, membership, sign_in};
use crate::auth::{Access, Caller};
use crate::config::{Registration, seconds};
use crate::cookie::Cookie;
use crate::error::{ApiError, Code};
use crate::openapi::Description;
use crate::routes::{Body, Route, user_agent};
use crate::state::App;
use service_kit::client_address::ClientAddress;

pub(super) fn routes() -> Vec<Route> {
    let page = |path, handler| Route::new(Method::POST, path, Access::Page, handler);
    vec![
        page("/api/v1/auth/sign-in", post(enter)).describe(
            Description::new("Signs a browser in.")
                .takes::<SignInRequest>()
                .says(204)
                .refuses(&[401, 503]),
        ),
        Route::new(
            Method::POST,
            "/api/v1/auth/sign-out",
            Access::Browser,
            post(leave),
        )
        .describe(Description::new("Signs the browser out.").says(204)),
        page("/api/v1/auth/register", post(register)).describe(
            Description::new("Asks for an invitation, where that is allowed.")
                .takes::<EmailRequest>()
                .says(202)
                .refuses(&[503]),
        ),
        page("/api/v1/auth/invitation", post(invitation)).describe(
            Description::new("Whom an invitation is for.")
                .takes::<LinkRequest>()
                .gives::<InvitationResponse>(200)
                .refuses(&[404]),
        ),
        page("/api/v1/auth/accept", post(accept)).describe(
            Description::new("Makes the account of an invitation and signs in.")
                .takes::<AcceptRequest>()
                .says(204)
                .refuses(&[404, 409, 503]),
        ),
        page("/api/v1/auth/forgot", post(forgot)).describe(
            Description::new("Asks for a link that sets a new password. The answer tells nothing.")
                .takes::<EmailRequest>()
                .says(202)
                .refuses(&[503]),
        ),
        page("/api/v1/auth/reset", post(reset)).describe(
            Description::new("Sets a new password and signs in; every other sign-in ends.")
                .takes::<ResetRequest>()
                .says(204)
                .refuses(&[404, 503]),
        ),
        page("/api/v1/auth/verify", post(verify)).describe(
            Description::new("Proves an address.")
                .takes::<LinkRequest>()
                .says(204)
                .refuses(&[404]),
        ),
    ]
}

#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = auth::SignInRequest)]
struct SignInRequest {
    email: String,
    #[schema(value_type = String)]
    password: SecretString,
}

#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = auth::EmailRequest)]
struct EmailRequest {
    email: String,
}

/// The secret of a link.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = auth::LinkRequest)]
struct LinkRequest {
    token: String,
}

#[derive(Serialize, ToSchema)]
#[schema(as = auth::InvitationResponse)]
struct InvitationResponse {
    email: String,
}

#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = auth::AcceptRequest)]
struct AcceptRequest {
    token: String,
    display_name: String,
    #[schema(value_type = String)]
    password: SecretString,
}

#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = auth::ResetRequest)]
struct ResetRequest {
    token: String,
    #[schema(value_type = String)]
    password: SecretString,
}

async fn enter(
    State(app): State<Arc<App>>,
    Extension(address): Extension<ClientAddress>,
    headers: HeaderMap,
    Body(request): Body<SignInRequest>,
) -> Result<impl IntoResponse, ApiError> {
    let email = Email::parse(&request.email)?;
    let device = user_agent(&headers);
    let parties = parties(&app, address, &headers, &email);
    let secret = sign_in::with_password(&app, &parties, &email, request.password, device).await?;
    signed_in(&app, &headers, &secret, &email)
}

/// Who tries a password: a browser that is known to the account counts for itself alone.
fn parties(app: &App, address: ClientAddress, headers: &HeaderMap, email: &Email) -> Vec<Party> {
    if let Some(browser) = known_browser::read(app, headers, email) {
        return vec![Party::Browser(browser)];
    }
    let mut parties = Party::at(address).to_vec();
    parties.push(email.into());
    parties
}

async fn member_signed_in(
    app: &App,
    headers: &HeaderMap,
    member: &Member,
) -> Result<impl IntoResponse + use<>, ApiError> {
    let secret = sign_in::browser(app, &member.account, user_agent(headers)).await?;
    signed_in(app, headers, &secret, &member.email)
}

fn signed_in(
    app: &App,
    headers: &HeaderMap,
    secret: &SecretString,
    email: &Email,
) -> Result<impl IntoResponse + use<>, ApiError> {
    let lifetime = seconds(app.config.accounts.browser_seconds);
    let account = Cookie::Account.set(secret, lifetime, headers);
    let known = known_browser::set(app, headers, email);
    let (account, known) = account.zip(known).ok_or_else(ApiError::internal)?;
    let cookies = AppendHeaders([(SET_COOKIE, account), (SET_COOKIE, known)]);
    Ok((StatusCode::NO_CONTENT, cookies))
}

async fn leave(
    State(app): State<Arc<App>>,
    Extension(caller): Extension<Caller>,
    headers: HeaderMap,
) -> Result<impl IntoResponse, ApiError> {
    if let Some(id) = &caller.sign_in {
        let user = &caller.account.user_id;
        let mut transaction = storage::begin(&app.pool).await?;
        sign_ins::end(&mut transaction, user, id.as_str(), "signed_out", app.now()).await?;
        transaction.commit().await.map_err(storage::Error::from)?;
    }
    let cookie = Cookie::Account
        .clear(&headers)
        .ok_or_else(ApiError::internal)?;
    Ok((StatusCode::NO_CONTENT, [(SET_COOKIE, cookie)]))
}

async fn register(
    State(app): State<Arc<App>>,
    Extension(address): Extension<ClientAddress>,
    Body(request): Body<EmailRequest>,
) -> Result<StatusCode, ApiError> {
    if app.config.accounts.registration == Registration::Invite {
        let message = "accounts are by invitation; ask whoever runs this instance";
        return Err(ApiError::new(Code::Forbidden, message).because("invitation_needed"));
    }
    let email = Email::parse(&request.email)?;
    app.tries
        .count(Try::Letter, &Party::at(address), app.now())?;
    app.errands.take_on(Errand::Register(email))?;
    Ok(StatusCode::ACCEPTED)
}

async fn invitation(
    State(app): State<Arc<App>>,
    Body(request): Body<LinkRequest>,
) -> Result<Json<InvitationResponse>, ApiError> {
    let email = membership::invited(&app, &request.token).await?;
    Ok(Json(InvitationResponse { email }))
}

async fn accept(
    State(app): State<Arc<App>>,
    headers: HeaderMap,
    Body(request): Body<AcceptRequest>,
) -> Result<impl IntoResponse, ApiError> {
    let name = request.display_name.trim();
    check_name(name)?;
    let member = membership::accept(&app, &request.token, name, request.password).await?;
    member_signed_in(&app, &headers, &member).await
}

async fn forgot(
    State(app): State<Arc<App>>,
    Extension(address): Extension<ClientAddress>,
    Body(request): Body<EmailRequest>,
) -> Result<StatusCode, ApiError> {
    let email = Email::parse(&request.email)?;
    app.tries
        .count(Try::Letter, &Party::at(address), app.now())?;
    app.errands.take_on(Errand::Forgot(email))?;
    Ok(StatusCode::ACCEPTED)
}

async fn reset(
    State(app): State<Arc<App>>,
    headers: HeaderMap,
    Body(request): Body<ResetRequest>,
) -> Result<impl IntoResponse, ApiError> {
    // Whoever guesses at the password meanwhile keeps nobody out who has the letter.
    let member = membership::reset(&app, &request.token, request.password).await?;
    member_signed_in(&app, &headers, &member).await
}

async fn verify(
    State(app): State<Arc<App>>,
    Body(request): Body<LinkRequest>,
) -> Result<StatusCode, ApiError> {
    membership::verify(&app, &request.token).await?;
    Ok(StatusCode::NO_CONTENT)
}
