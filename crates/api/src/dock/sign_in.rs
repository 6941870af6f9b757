//! Signing a dock in and out.

use secrecy::{ExposeSecret, SecretString};
use storage::Transaction;
use storage::control::accounts::Account;
use storage::control::docks::{self, Secret};

use crate::accounts::sign_in::described;
use crate::config::seconds;
use crate::error::{ApiError, Code};
use crate::state::App;
use crate::token::{self, Kind};

/// Links of one user that are good at the same time.
const LINKS_MAX: u32 = 16;
/// Docks of one user that are signed in at the same time.
const DOCKS_MAX: u32 = 64;

/// Makes the code of a link that signs in once.
pub(crate) async fn link(app: &App, account: &Account) -> Result<SecretString, ApiError> {
    let code = token::fresh(Kind::DockLink);
    let link = Secret {
        sha256: &token::hash(code.expose_secret()),
        expires_at: app.now().plus(seconds(app.config.dock.link_seconds)),
    };
    docks::add_link(&app.pool, &account.user_id, link, LINKS_MAX, app.now()).await?;
    tracing::info!(user.id = %account.user_id, "A sign-in link for a dock was made");
    Ok(code)
}

/// Exchanges the code of a link for a dock's secret, once.
pub(crate) async fn with_link(
    app: &App,
    code: &str,
    device: &str,
) -> Result<SecretString, ApiError> {
    let secret = token::fresh(Kind::Dock);
    let dock = Secret {
        sha256: &token::hash(secret.expose_secret()),
        expires_at: app.now().plus(seconds(app.config.dock.session_seconds)),
    };
    let code = token::hash(code);
    let device = described(device);
    let was_good = docks::sign_in(&app.pool, &code, dock, &device, DOCKS_MAX, app.now()).await?;
    if !was_good {
        let message = "the link was used already or is too old; ask for a new one";
        return Err(ApiError::new(Code::Unauthorized, message));
    }
    tracing::info!("A dock signed in");
    Ok(secret)
}

/// Signs a dock in whose user is known.
pub(crate) async fn of_user(
    app: &App,
    transaction: &mut Transaction,
    account: &Account,
    device: &str,
) -> Result<SecretString, ApiError> {
    let secret = token::fresh(Kind::Dock);
    let now = app.now();
    let dock = Secret {
        sha256: &token::hash(secret.expose_secret()),
        expires_at: now.plus(seconds(app.config.dock.session_seconds)),
    };
    docks::add(transaction, &account.user_id, dock, device, DOCKS_MAX, now).await?;
    Ok(secret)
}

/// Forgets a dock.
pub(crate) async fn sign_out(app: &App, secret: &str) -> Result<(), ApiError> {
    Ok(docks::sign_out(&app.pool, &token::hash(secret)).await?)
}
