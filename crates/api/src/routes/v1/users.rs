//! `/api/v1/ops/users`: the operator makes users, gives them roles, and shuts them out.

use std::sync::Arc;

use axum::extract::{Path, State};
use axum::routing::{get, post, put};
use axum::{Extension, Json};
use http::{Method, StatusCode};
use model::{OpsRole, TenantId, UserId};
use secrecy::ExposeSecret;
use serde::{Deserialize, Serialize};
use serde_json::json;
use storage::control::accounts::{self, Account};
use storage::control::audit;
use storage::control::people::{self, Address, Person};
use storage::control::{chains, sessions, sign_ins};
use utoipa::ToSchema;

use super::check_name;
use crate::accounts::email::Email;
use crate::auth::{Access, Caller};
use crate::error::{ApiError, Code};
use crate::metrics;
use crate::openapi::Description;
use crate::routes::{Body, Route};
use crate::state::App;
use crate::time::rfc3339;
use crate::token::{self, Kind};

/// The most users one answer lists.
const LISTED_MAX: u32 = 1000;
/// Live sessions of one user that are looked through at once.
const SESSIONS_MAX: u32 = 500;

pub(super) fn routes() -> Vec<Route> {
    // Whoever bans people has to find them.
    let operator = |method, path, handler| Route::new(method, path, Access::OPERATOR, handler);
    let admin = |method, path, handler| Route::new(method, path, Access::ADMIN, handler);
    let (users, one) = ("/api/v1/ops/users", "/api/v1/ops/users/{id}");
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

pub(super) fn already() -> ApiError {
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
