//! `/api/v1/ops/users` and `/api/v1/ops/invites`: the operator makes users, invites
//! people, and shuts users out.

use std::sync::Arc;

use axum::extract::{Path, State};
use axum::routing::{delete, get, post, put};
use axum::{Extension, Json};
use http::{Method, StatusCode};
use model::{OpsRole, TenantId, UserId};
use secrecy::ExposeSecret;
use serde::{Deserialize, Serialize};
use serde_json::json;
use storage::control::accounts::{self, Account};
use storage::control::audit;
use storage::control::mail_tokens;
use storage::control::people::{self, Address, Person};
use storage::control::{chains, sessions, sign_ins, tokens};
use utoipa::ToSchema;

use super::account::{self, SessionView, SessionsResponse};
use super::check_name;
use crate::accounts::email::Email;
use crate::accounts::errands::Errand;
use crate::accounts::links::{self, Link};
use crate::auth::{Access, Caller};
use crate::error::{ApiError, Code};
use crate::mail::Letter;
use crate::metrics;
use crate::openapi::Description;
use crate::routes::{Body, Route};
use crate::state::App;
use crate::time::rfc3339;
use crate::token::{self, Kind};

/// The most users and invitations one answer lists.
const LISTED_MAX: u32 = 1000;
/// Live sessions of one user that are looked through at once.
const SESSIONS_MAX: u32 = 500;
/// Why a sign-in ended that an operator ended.
const REVOKED: &str = "revoked_by_operator";

pub(super) fn routes() -> Vec<Route> {
    // Whoever bans people has to find them.
    let operator = |method, path, handler| Route::new(method, path, Access::OPERATOR, handler);
    let admin = |method, path, handler| Route::new(method, path, Access::ADMIN, handler);
    let (users, one) = ("/api/v1/ops/users", "/api/v1/ops/users/{id}");
    let sign_ins = "/api/v1/ops/users/{id}/sessions";
    vec![
        operator(Method::GET, users, get(list))
            .describe(Description::new("Every user.").gives::<ListResponse>(200)),
        admin(Method::POST, users, post(create)).describe(
            Description::new("Makes a user with a token.")
                .takes::<CreateRequest>()
                .gives::<CreateResponse>(201)
                .refuses(&[409]),
        ),
        operator(Method::GET, one, get(show))
            .describe(Description::new("One user.").gives::<UserView>(200)),
        admin(Method::PUT, "/api/v1/ops/users/{id}/role", put(set_role)).describe(
            Description::new("Gives a user a role for `/api/v1/ops`.")
                .takes::<RoleRequest>()
                .gives::<UserView>(200)
                .refuses(&[409]),
        ),
        admin(
            Method::POST,
            "/api/v1/ops/users/{id}/disable",
            post(disable),
        )
        .describe(
            Description::new("Shuts a user out, or lets them in again.")
                .takes::<DisableRequest>()
                .gives::<UserView>(200),
        ),
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
#[schema(as = users::CreateRequest)]
struct CreateRequest {
    name: String,
    /// Where they are reached; they set a password by a link.
    email: Option<String>,
}

#[derive(Serialize, ToSchema)]
#[schema(as = users::CreateResponse)]
struct CreateResponse {
    #[schema(value_type = String)]
    user_id: UserId,
    #[schema(value_type = String)]
    tenant_id: TenantId,
    /// Shown this once.
    token: String,
}

#[derive(Serialize, ToSchema)]
#[schema(as = users::ListResponse)]
struct ListResponse {
    users: Vec<UserView>,
}

#[derive(Serialize, ToSchema)]
#[schema(as = users::UserView)]
struct UserView {
    #[schema(value_type = String)]
    user_id: UserId,
    #[schema(value_type = String)]
    tenant_id: TenantId,
    name: String,
    email: Option<String>,
    email_verified: bool,
    has_password: bool,
    disabled: bool,
    /// What they may do with `/api/v1/ops`.
    #[schema(value_type = String)]
    role: OpsRole,
    created_at: String,
}

#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = users::RoleRequest)]
struct RoleRequest {
    #[schema(value_type = String)]
    role: OpsRole,
}

#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = users::DisableRequest)]
struct DisableRequest {
    disabled: bool,
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

async fn list(State(app): State<Arc<App>>) -> Result<Json<ListResponse>, ApiError> {
    let users = people::list(&app.pool, LISTED_MAX).await?;
    let users = users.into_iter().map(Into::into).collect();
    Ok(Json(ListResponse { users }))
}

async fn create(
    State(app): State<Arc<App>>,
    Extension(caller): Extension<Caller>,
    Body(request): Body<CreateRequest>,
) -> Result<(StatusCode, Json<CreateResponse>), ApiError> {
    check_name(&request.name)?;
    let email = request.email.as_deref().map(Email::parse).transpose()?;
    let account = Account {
        user_id: UserId::from_u128(token::id_bits()),
        tenant_id: TenantId::from_u128(token::id_bits()),
    };
    let token = token::fresh(Kind::User);
    let hash = token::hash(token.expose_secret());
    let mut transaction = storage::begin(&app.pool).await?;
    accounts::create(&mut transaction, &account, &request.name, &hash, app.now()).await?;
    if let Some(email) = &email {
        let address = Address {
            email: email.as_str(),
            verified: false,
        };
        let set = people::set_email(&mut transaction, &account.user_id, address, app.now());
        set.await.map_err(taken)?;
    }
    let created = caller.action("user.create", account.user_id.as_str());
    let detail = json!({"name": request.name, "email": email.as_ref().map(Email::as_str)});
    audit::record(&mut transaction, created, &detail, app.now()).await?;
    storage::commit(transaction).await?;
    tracing::info!(user.id = %account.user_id, "A user was created");
    let response = CreateResponse {
        user_id: account.user_id,
        tenant_id: account.tenant_id,
        token: token.expose_secret().to_owned(),
    };
    Ok((StatusCode::CREATED, Json(response)))
}

async fn show(
    State(app): State<Arc<App>>,
    Path(id): Path<String>,
) -> Result<Json<UserView>, ApiError> {
    Ok(Json(find(&app, &id).await?.into()))
}

/// Shuts a user out at once: their tokens open nothing, their sign-ins and their live
/// sessions end. Let in again, they sign in anew.
async fn disable(
    State(app): State<Arc<App>>,
    Extension(caller): Extension<Caller>,
    Path(id): Path<String>,
    Body(request): Body<DisableRequest>,
) -> Result<Json<UserView>, ApiError> {
    let person = find(&app, &id).await?;
    if person.is_bootstrap {
        let message = "the admin token stands for this user: it cannot be shut out";
        return Err(ApiError::new(Code::Conflict, message));
    }
    let user = &person.account.user_id;
    let now = app.now();
    let mut transaction = storage::begin(&app.pool).await?;
    // A start that is under way comes before, and its session is stopped as well.
    sessions::lock_user(&mut transaction, user).await?;
    people::set_disabled(&mut transaction, user, request.disabled.then_some(now)).await?;
    let mut stopped = 0;
    if request.disabled {
        sign_ins::end_all(&mut transaction, user, None, "account_disabled", now).await?;
        stopped = stop_sessions(&mut transaction, user, now).await?;
    }
    let disabled = caller.action("user.disable", user.as_str());
    let detail = json!({"disabled": request.disabled, "sessions_stopped": stopped});
    audit::record(&mut transaction, disabled, &detail, now).await?;
    storage::commit(transaction).await?;
    metrics::stopped(metrics::Stopped::Requested, stopped);
    tracing::info!(user.id = %user, disabled = request.disabled, stopped, "A user was shut out or let in");
    Ok(Json(find(&app, &id).await?.into()))
}

/// Gives a user a role; it counts from the next request on.
async fn set_role(
    State(app): State<Arc<App>>,
    Extension(caller): Extension<Caller>,
    Path(id): Path<String>,
    Body(request): Body<RoleRequest>,
) -> Result<Json<UserView>, ApiError> {
    let person = find(&app, &id).await?;
    if person.is_bootstrap {
        let message = "the admin token stands for this user: they always are admin";
        return Err(ApiError::new(Code::Conflict, message));
    }
    let user = &person.account.user_id;
    let mut transaction = storage::begin(&app.pool).await?;
    people::set_role(&mut transaction, user, request.role).await?;
    let given = caller.action("user.role", user.as_str());
    let detail = json!({"from": person.role, "to": request.role});
    audit::record(&mut transaction, given, &detail, app.now()).await?;
    storage::commit(transaction).await?;
    tracing::info!(user.id = %user, role = %request.role, "A user was given a role");
    Ok(Json(find(&app, &id).await?.into()))
}

async fn stop_sessions(
    transaction: &mut storage::Transaction,
    user: &UserId,
    now: model::UnixMillis,
) -> Result<usize, storage::Error> {
    let mut stopped = 0;
    loop {
        let live = sessions::live_of_user(&mut **transaction, user, SESSIONS_MAX).await?;
        if live.is_empty() {
            return Ok(stopped);
        }
        for record in &live {
            let id = &record.session.id;
            chains::stop(transaction, id, "account_disabled", now).await?;
        }
        stopped += live.len();
    }
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

pub(super) async fn find(app: &App, id: &str) -> Result<Person, ApiError> {
    let unknown = || ApiError::not_found("no such user");
    let id = UserId::parse(id).map_err(|_| unknown())?;
    people::find(&app.pool, &id).await?.ok_or_else(unknown)
}

fn taken(error: storage::Error) -> ApiError {
    match error {
        storage::Error::Conflict { .. } => already(),
        error => error.into(),
    }
}

fn already() -> ApiError {
    ApiError::new(Code::Conflict, "the address has an account already")
}

impl From<Person> for UserView {
    fn from(person: Person) -> Self {
        Self {
            user_id: person.account.user_id,
            tenant_id: person.account.tenant_id,
            name: person.name,
            email: person.email,
            email_verified: person.email_verified,
            has_password: person.has_password,
            disabled: person.is_disabled,
            role: person.role,
            created_at: rfc3339(person.created_at),
        }
    }
}
