//! Who asks. Every route names who may use it; the guard runs before the handler.

use std::sync::Arc;

use axum::extract::{Request, State};
use axum::middleware::Next;
use axum::response::Response;
use http::HeaderMap;
use http::header::AUTHORIZATION;
use model::{OpsRole, SignInId};
use secrecy::{ExposeSecret, SecretString};
use storage::control::accounts::{self, Account};
use storage::control::audit::{Action, Actor};
use storage::control::{docks, people, sign_ins};

use crate::cookie::{self, Cookie};
use crate::error::{ApiError, Code};
use crate::state::App;
use crate::token::{self, Kind};
use service_kit::client_address::ClientAddress;

/// What one of our own services shows.
const SERVICE_TOKEN: &str = "x-plugin-login-auth";

/// Who may use a route.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Access {
    /// Anybody.
    Public,
    /// Anybody, from our own page.
    Page,
    /// Holders of a user's token (an operator gave it, or signing in did), and of the
    /// admin token.
    User,
    /// Holders of the admin token, and of a user's token whose role is this or more.
    Ops(OpsRole),
    /// Docks that are signed in, from our own page.
    Dock,
    /// Docks, and holders of a user's or the admin token.
    Viewer,
    /// Browsers that are signed in, from our own page.
    Browser,
    /// Browsers that are signed in, and holders of a user's or the admin token.
    Account,
    /// Our own services, by the header of the plugin's contract.
    Service,
}

impl Access {
    /// Whoever may look.
    pub const VIEWER: Self = Self::Ops(OpsRole::Viewer);
    /// Whoever may act on nodes, sessions and bans.
    pub const OPERATOR: Self = Self::Ops(OpsRole::Operator);
    /// Whoever may act on people, keys and roles.
    pub const ADMIN: Self = Self::Ops(OpsRole::Admin);
}

/// Who asks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Caller {
    pub(crate) account: Account,
    /// Whether it came with the admin token, which opens what is anybody's.
    pub(crate) is_admin: bool,
    /// What it may do on the operator's routes; only known there.
    pub(crate) role: OpsRole,
    /// Of who signed in; a token that an operator gave has none.
    pub(crate) sign_in: Option<SignInId>,
}

impl Caller {
    /// What the caller does by hand, for the audit: `user.disable` to a user's id.
    pub(crate) const fn action<'a>(&'a self, name: &'a str, subject: &'a str) -> Action<'a> {
        Action {
            actor: Actor::User(&self.account.user_id),
            name,
            subject,
            reason: None,
        }
    }
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
    if access == Access::Service {
        check_service(&app, request.headers())?;
        return Ok(next.run(request).await);
    }
    let is_for_anybody = matches!(access, Access::Public | Access::Page);
    let credential = credential(access, request.headers());
    if is_only_for_our_page(access, credential.as_ref()) {
        check_origin(&request)?;
    }
    if is_for_anybody {
        check_address(&app, &request)?;
    } else {
        let token = credential.ok_or_else(unauthorized)?.token.to_owned();
        let address = request.extensions().get::<ClientAddress>().copied();
        let mut caller = known(&app, address, &token).await?;
        check_ban(&app, &caller)?;
        if !caller.is_admin {
            check_address(&app, &request)?;
        }
        if let Access::Ops(needed) = access {
            caller.role = role(&app, &caller).await?;
            check_role(caller.role, needed)?;
        }
        request.extensions_mut().insert(Credential(token.into()));
        request.extensions_mut().insert(caller);
    }
    Ok(next.run(request).await)
}

/// Who holds the token of a request, unless its address showed too many wrong ones.
async fn known(app: &App, address: Option<ClientAddress>, token: &str) -> Result<Caller, ApiError> {
    let address = address.ok_or_else(ApiError::internal)?;
    app.rate_limits.check_wrong_tokens(app, address)?;
    let caller = identify(app, token).await?;
    caller.ok_or_else(|| {
        app.rate_limits.count_wrong_token(app, address);
        unauthorized()
    })
}

fn check_address(app: &App, request: &Request) -> Result<(), ApiError> {
    let address = request.extensions().get::<ClientAddress>();
    address.map_or(Ok(()), |address| {
        app.bans.check_address(*address, app.now())
    })
}

/// Whoever holds the admin token is banned by nobody.
pub(crate) fn check_ban(app: &App, caller: &Caller) -> Result<(), ApiError> {
    if caller.is_admin {
        return Ok(());
    }
    app.bans.check_account(&caller.account, app.now())
}

/// What somebody may do on the operator's routes.
pub(crate) async fn role(app: &App, caller: &Caller) -> Result<OpsRole, storage::Error> {
    if caller.is_admin {
        return Ok(OpsRole::Admin);
    }
    people::role(&app.pool, &caller.account.user_id).await
}

fn check_role(role: OpsRole, needed: OpsRole) -> Result<(), ApiError> {
    if role >= needed {
        return Ok(());
    }
    let message = format!("this needs the role `{needed}`, or the admin token");
    Err(ApiError::new(Code::Forbidden, message).because("role_too_low"))
}

/// What a request shows.
struct Shown<'a> {
    token: &'a str,
    /// Whether a browser sends it by itself, whoever's page asks.
    is_cookie: bool,
}

/// The secret that counts on a route: a cookie opens nothing but its own.
fn credential(access: Access, headers: &HeaderMap) -> Option<Shown<'_>> {
    let bearer = || {
        let token = bearer(headers).filter(|token| !is_cookies(token))?;
        Some(Shown {
            token,
            is_cookie: false,
        })
    };
    let cookie = |cookie: Cookie, kind: Kind| {
        let token = cookie.read(headers)?;
        token.starts_with(kind.prefix()).then_some(Shown {
            token,
            is_cookie: true,
        })
    };
    match access {
        Access::Public | Access::Page | Access::Service => None,
        Access::User | Access::Ops(_) => bearer(),
        Access::Dock => cookie(Cookie::Dock, Kind::Dock),
        Access::Viewer => bearer().or_else(|| cookie(Cookie::Dock, Kind::Dock)),
        Access::Browser => cookie(Cookie::Account, Kind::Web),
        Access::Account => bearer().or_else(|| cookie(Cookie::Account, Kind::Web)),
    }
}

/// Whether a token is one that only comes as a cookie.
fn is_cookies(token: &str) -> bool {
    [Kind::Dock, Kind::Web]
        .iter()
        .any(|kind| token.starts_with(kind.prefix()))
}

fn is_only_for_our_page(access: Access, shown: Option<&Shown<'_>>) -> bool {
    access == Access::Page || shown.is_some_and(|shown| shown.is_cookie)
}

fn check_service(app: &App, headers: &HeaderMap) -> Result<(), ApiError> {
    let shown = headers
        .get(SERVICE_TOKEN)
        .and_then(|value| value.to_str().ok());
    let expected = token::hash(app.service_token.expose_secret());
    let is_right = shown.is_some_and(|shown| token::same(&token::hash(shown), &expected));
    is_right
        .then_some(())
        .ok_or_else(|| ApiError::new(Code::Unauthorized, "a valid X-Plugin-Login-Auth is needed"))
}

fn check_origin(request: &Request) -> Result<(), ApiError> {
    if request.method().is_safe() || cookie::is_same_origin(request.headers()) {
        return Ok(());
    }
    Err(ApiError::new(Code::Forbidden, "this is for our own page"))
}

/// Who holds this token, if anybody.
pub(crate) async fn identify(app: &App, token: &str) -> Result<Option<Caller>, storage::Error> {
    let hash = token::hash(token);
    if token::same(&hash, &app.admin_token) {
        return Ok(Some(Caller {
            account: app.admin.clone(),
            is_admin: true,
            role: OpsRole::None,
            sign_in: None,
        }));
    }
    let is = |kind: Kind| token.starts_with(kind.prefix());
    let (account, sign_in) = if is(Kind::User) {
        let account = accounts::by_token(&app.pool, &hash, app.now()).await?;
        (account, None)
    } else if is(Kind::Dock) {
        let account = docks::account(&app.pool, &hash, app.now()).await?;
        (account, None)
    } else if is(Kind::Web) || is(Kind::Access) {
        let holder = sign_ins::holder(&app.pool, &hash, app.now()).await?;
        holder.map(|it| (it.account, it.sign_in_id)).unzip()
    } else {
        (None, None)
    };
    Ok(account.map(|account| Caller {
        account,
        is_admin: false,
        role: OpsRole::None,
        sign_in,
    }))
}

fn bearer(headers: &HeaderMap) -> Option<&str> {
    let (scheme, token) = headers.get(AUTHORIZATION)?.to_str().ok()?.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| token.trim())
}

fn unauthorized() -> ApiError {
    ApiError::new(Code::Unauthorized, "a valid bearer token is needed")
}
