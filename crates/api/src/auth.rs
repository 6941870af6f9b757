//! Who asks. Every route names who may use it; the guard runs before the handler.

use std::sync::Arc;

use axum::extract::{Request, State};
use axum::middleware::Next;
use axum::response::Response;
use http::HeaderMap;
use http::header::AUTHORIZATION;
use secrecy::SecretString;
use storage::control::accounts::{self, Account};
use storage::control::docks;

use crate::dock::cookie;
use crate::error::{ApiError, Code};
use crate::state::App;
use crate::token::{self, Kind};

/// Who may use a route.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Access {
    /// Anybody.
    Public,
    /// Holders of a user's token, and of the admin token.
    User,
    /// Holders of the admin token.
    Admin,
    /// Docks that are signed in, from our own page.
    Dock,
    /// Docks, and holders of a user's or the admin token.
    Viewer,
}

/// Who asks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Caller {
    pub(crate) account: Account,
    pub(crate) is_admin: bool,
}

/// The secret that a viewer came with.
#[derive(Debug, Clone)]
pub(crate) struct Credential(pub(crate) SecretString);

/// Lets through whom the route is for, with [`Caller`] among the request's extensions.
pub(crate) async fn guard(
    State((app, access)): State<(Arc<App>, Access)>,
    mut request: Request,
    next: Next,
) -> Result<Response, ApiError> {
    if access != Access::Public {
        let token = credential(access, request.headers()).ok_or_else(unauthorized)?;
        let token = token.to_owned();
        let caller = identify(&app, &token).await?.ok_or_else(unauthorized)?;
        check(access, &caller, &request)?;
        request.extensions_mut().insert(Credential(token.into()));
        request.extensions_mut().insert(caller);
    }
    Ok(next.run(request).await)
}

/// The secret that counts on a route: a dock's cookie opens nothing but its own.
fn credential(access: Access, headers: &HeaderMap) -> Option<&str> {
    let bearer = || bearer(headers).filter(|token| !token.starts_with(Kind::Dock.prefix()));
    let dock = || cookie::read(headers).filter(|token| token.starts_with(Kind::Dock.prefix()));
    match access {
        Access::Public => None,
        Access::User | Access::Admin => bearer(),
        Access::Dock => dock(),
        Access::Viewer => bearer().or_else(dock),
    }
}

fn check(access: Access, caller: &Caller, request: &Request) -> Result<(), ApiError> {
    if access == Access::Admin && !caller.is_admin {
        return Err(ApiError::new(Code::Forbidden, "this needs the admin token"));
    }
    let changes = !request.method().is_safe();
    if access == Access::Dock && changes && !cookie::is_same_origin(request.headers()) {
        return Err(ApiError::new(Code::Forbidden, "this is for our own page"));
    }
    Ok(())
}

/// Who holds this token, if anybody.
pub(crate) async fn identify(app: &App, token: &str) -> Result<Option<Caller>, storage::Error> {
    let hash = token::hash(token);
    if token::same(&hash, &app.admin_token) {
        return Ok(Some(Caller {
            account: app.admin.clone(),
            is_admin: true,
        }));
    }
    let account = if token.starts_with(Kind::User.prefix()) {
        accounts::by_token(&app.pool, &hash, app.now()).await?
    } else if token.starts_with(Kind::Dock.prefix()) {
        docks::account(&app.pool, &hash, app.now()).await?
    } else {
        None
    };
    Ok(account.map(|account| Caller {
        account,
        is_admin: false,
    }))
}

fn bearer(headers: &HeaderMap) -> Option<&str> {
    let (scheme, token) = headers.get(AUTHORIZATION)?.to_str().ok()?.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| token.trim())
}

fn unauthorized() -> ApiError {
    ApiError::new(Code::Unauthorized, "a valid bearer token is needed")
}
