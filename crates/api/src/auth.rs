//! Who asks. Every route names who may use it; the guard runs before the handler.

use std::sync::Arc;

use axum::extract::{Request, State};
use axum::middleware::Next;
use axum::response::Response;
use http::HeaderMap;
use http::header::AUTHORIZATION;
use storage::control::accounts::{self, Account};

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
}

/// Who asks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Caller {
    pub(crate) account: Account,
    pub(crate) is_admin: bool,
}

/// Lets through whom the route is for, with [`Caller`] among the request's extensions.
pub(crate) async fn guard(
    State((app, access)): State<(Arc<App>, Access)>,
    mut request: Request,
    next: Next,
) -> Result<Response, ApiError> {
    if access != Access::Public {
        let token = bearer(request.headers()).ok_or_else(unauthorized)?;
        let caller = identify(&app, token).await?.ok_or_else(unauthorized)?;
        if access == Access::Admin && !caller.is_admin {
            return Err(ApiError::new(Code::Forbidden, "this needs the admin token"));
        }
        request.extensions_mut().insert(caller);
    }
    Ok(next.run(request).await)
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
    if !token.starts_with(Kind::User.prefix()) {
        return Ok(None);
    }
    let account = accounts::by_token(&app.pool, &hash, app.now()).await?;
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
