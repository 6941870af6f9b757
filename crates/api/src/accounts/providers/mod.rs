//! Signing in with an account elsewhere: the authorization code grant (RFC 6749,
//! section 4.1) with PKCE (RFC 7636).
//!
//! ```text
//! page ─▶ start: a secret in a cookie ─▶ provider's page ─▶ callback: code, state
//!                                                             │ code ─▶ token ─▶ who it is
//!         account page, signed in  ◀──────────────────────────┘
//! ```
//! State and PKCE verifier are both derived from the secret that only the browser has:
//! a callback counts in the browser that began, once.

mod exchange;
mod identity;
mod known;

use std::sync::Arc;
use std::time::Duration;

use http::HeaderMap;
use model::{Provider, UserId};
use secrecy::{ExposeSecret, SecretString};
use serde::Deserialize;
use sha2::{Digest, Sha256};
use storage::control::accounts::Account;
use storage::control::linked_accounts;
use storage::control::pending::PendingMax;
use storage::control::provider_visits::{self, Errand, NewVisit};

use super::tries::{Party, Try};
use super::{membership, sign_in};
use crate::config::Registration;
use crate::error::{ApiError, Code};
use crate::metrics;
use crate::routes::base_url;
use crate::state::App;
use crate::token::{self, Kind};
pub(crate) use exchange::Providers;
pub(crate) use identity::Identity;
use service_kit::client_address::ClientAddress;

/// How long somebody may take at the provider's page.
pub(crate) const VISIT: Duration = Duration::from_secs(600);
/// Browsers on their way at the same time; anybody may begin.
const VISITS: PendingMax = PendingMax {
    all: 10_000,
    of_origin: 200,
};

/// A browser that leaves for a provider's page.
pub(crate) struct Departure {
    pub(crate) authorize_url: String,
    /// For its cookie.
    pub(crate) secret: SecretString,
}

/// What came of a visit.
pub(crate) enum Arrival {
    /// The browser is signed in with this.
    SignedIn(SecretString),
    /// The account elsewhere is the user's from now on.
    Linked,
}

/// Why nothing came of it, as the account page words it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Problem {
    /// The person said no there.
    Cancelled,
    /// Too late, a second time, or in another browser.
    Expired,
    /// The provider did not say who it is.
    Failed,
    /// Nobody here signs in with that account.
    Unknown,
    /// Somebody else does, or the user has another one there.
    Taken,
    /// The address has an account already, to be linked from inside.
    EmailTaken,
}

impl Problem {
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Cancelled => "cancelled",
            Self::Expired => "expired",
            Self::Failed => "failed",
            Self::Unknown => "unknown",
            Self::Taken => "taken",
            Self::EmailTaken => "email_taken",
        }
    }
}

/// What the provider's page sends the browser back with.
#[derive(Deserialize)]
pub(crate) struct Callback {
    code: Option<SecretString>,
    state: Option<String>,
    error: Option<String>,
}

/// What both ways of a visit must agree on, derived from the browser's secret.
struct Visit<'a>(&'a SecretString);

impl Visit<'_> {
    fn state(&self) -> String {
        self.derive("state")
    }

    /// RFC 7636, section 4.1: 43 to 128 unreserved characters.
    fn verifier(&self) -> String {
        self.derive("verifier")
    }

    fn sha256(&self) -> token::Hash {
        token::hash(self.0.expose_secret())
    }

    fn derive(&self, what: &str) -> String {
        let digest = Sha256::new()
            .chain_update(what)
            .chain_update([0])
            .chain_update(self.0.expose_secret());
        hex::encode(digest.finalize())
    }
}

/// Lets a browser leave for a provider.
pub(crate) async fn depart(
    app: &App,
    (address, headers): (ClientAddress, &HeaderMap),
    provider: Provider,
    errand: &Errand,
) -> Result<Departure, ApiError> {
    app.tries
        .count(Try::Provider, &Party::at(address), app.now())?;
    let secret = token::fresh(Kind::Visit);
    let visit = Visit(&secret);
    let redirect = callback_url(app, headers, provider);
    let url = app
        .providers
        .authorize_url(provider, &redirect, visit.state(), visit.verifier());
    let authorize_url =
        url.ok_or_else(|| ApiError::not_found("no such provider is set up here"))?;
    let now = app.now();
    let new = NewVisit {
        sha256: &visit.sha256(),
        provider,
        errand,
        origin: &address.network().to_string(),
        expires_at: now.plus(VISIT),
    };
    if !provider_visits::add(&app.pool, new, VISITS, now).await? {
        let message = "too many near you sign in at once; try again later";
        return Err(ApiError::new(Code::RateLimited, message));
    }
    Ok(Departure {
        authorize_url,
        secret,
    })
}

/// Takes back a browser that a provider's page sent.
pub(crate) async fn arrive(
    app: &Arc<App>,
    headers: &HeaderMap,
    provider: Provider,
    callback: Callback,
    secret: Option<&str>,
) -> Result<Result<Arrival, Problem>, ApiError> {
    let secret: SecretString = secret.unwrap_or_default().into();
    let visit = Visit(&secret);
    let shown = token::hash(&callback.state.unwrap_or_default());
    if !token::same(&shown, &token::hash(&visit.state())) {
        return Ok(Err(Problem::Expired));
    }
    let errand = provider_visits::take(&app.pool, &visit.sha256(), provider, app.now()).await?;
    let Some(errand) = errand else {
        return Ok(Err(Problem::Expired));
    };
    let code = match (callback.code, callback.error) {
        (Some(code), None) => code,
        (_, Some(error)) if error == "access_denied" => return Ok(Err(Problem::Cancelled)),
        _ => return Ok(Err(Problem::Failed)),
    };
    let redirect = callback_url(app, headers, provider);
    let identity = app
        .providers
        .identity(provider, redirect, code, visit.verifier());
    match identity.await {
        Ok(identity) => act(app, headers, provider, errand, &identity).await,
        Err(error) => {
            tracing::warn!(error = format!("{error:#}"), %provider, "A provider did not say who it is");
            Ok(Err(Problem::Failed))
        }
    }
}

fn callback_url(app: &App, headers: &HeaderMap, provider: Provider) -> String {
    let base = base_url(app, headers);
    format!("{base}/api/v1/auth/providers/{provider}/callback")
}

async fn act(
    app: &App,
    headers: &HeaderMap,
    provider: Provider,
    errand: Errand,
    identity: &Identity,
) -> Result<Result<Arrival, Problem>, ApiError> {
    let account = match errand {
        Errand::Link(user) => return link(app, provider, &user, identity).await,
        Errand::SignIn => sign_in(app, provider, identity).await?,
        Errand::Accept(invite) => {
            let identity = identity.at(provider);
            let accepted = membership::accept_with_identity(app, &invite, identity).await;
            found(accepted, Problem::Taken)?
        }
    };
    match account {
        Ok(account) => {
            let device = crate::routes::user_agent(headers);
            let secret = sign_in::browser(app, &account, device).await?;
            Ok(Ok(Arrival::SignedIn(secret)))
        }
        Err(problem) => {
            metrics::sign_in(metrics::SignIn::Refused);
            Ok(Err(problem))
        }
    }
}

async fn link(
    app: &App,
    provider: Provider,
    user: &UserId,
    identity: &Identity,
) -> Result<Result<Arrival, Problem>, ApiError> {
    let mut transaction = storage::begin(&app.pool).await?;
    let identity = identity.at(provider);
    match linked_accounts::link(&mut transaction, user, identity, app.now()).await {
        Ok(()) => storage::commit(transaction).await?,
        Err(storage::Error::Conflict { .. }) => return Ok(Err(Problem::Taken)),
        Err(error) => return Err(error.into()),
    }
    tracing::info!(user.id = %user, %provider, "An account elsewhere was linked");
    Ok(Ok(Arrival::Linked))
}

/// Who signs in as this; where anybody may come, a newcomer whose address the provider
/// has proven. An address that has an account is not enough to get into it: whoever
/// holds it at a provider need not be who holds the account.
async fn sign_in(
    app: &App,
    provider: Provider,
    identity: &Identity,
) -> Result<Result<Account, Problem>, ApiError> {
    let known = linked_accounts::holder(&app.pool, provider, &identity.subject).await?;
    if let Some(account) = known {
        return Ok(Ok(account));
    }
    let is_open = app.config.accounts.registration == Registration::Open;
    let Some(email) = identity.email.as_ref().filter(|_| is_open) else {
        return Ok(Err(Problem::Unknown));
    };
    let registered = membership::register_identity(app, email, identity.at(provider)).await;
    found(registered, Problem::EmailTaken)
}

/// What is taken or used up is a problem of the person's, not a failed request.
fn found<T>(result: Result<T, ApiError>, taken: Problem) -> Result<Result<T, Problem>, ApiError> {
    match result {
        Ok(found) => Ok(Ok(found)),
        Err(error) if error.is(Code::Conflict) => Ok(Err(taken)),
        Err(error) if error.is(Code::NotFound) => Ok(Err(Problem::Expired)),
        Err(error) => Err(error),
    }
}
