//! What a plugin holds: an access token for minutes, and a refresh token for weeks that
//! is good once and brings the next pair.
//!
//! Both are 256 random bits that mean nothing by themselves; only hashes are kept. So a
//! sign-in that ends, ends at once.

use model::{SignInId, UnixMillis};
use secrecy::{ExposeSecret, SecretString};
use storage::Transaction;
use storage::control::accounts::Account;
use storage::control::docks::Secret;
use storage::control::sign_ins::{self, Holder, Kind, NewSignIn, Rotation, Tokens};

use super::sign_in::SIGN_INS_MAX;
use crate::config::{AccountsConfig, seconds};
use crate::error::{ApiError, Code};
use crate::metrics::{self, SignIn};
use crate::state::App;
use crate::token::{self, Hash};

/// A fresh pair.
pub(crate) struct Pair {
    pub(crate) access: SecretString,
    pub(crate) refresh: SecretString,
}

/// What is kept of a pair.
struct Hashes {
    access: Hash,
    refresh: Hash,
}

impl Pair {
    fn fresh() -> Self {
        Self {
            access: token::fresh(token::Kind::Access),
            refresh: token::fresh(token::Kind::Refresh),
        }
    }

    fn hashes(&self) -> Hashes {
        Hashes {
            access: token::hash(self.access.expose_secret()),
            refresh: token::hash(self.refresh.expose_secret()),
        }
    }
}

impl Hashes {
    fn tokens(&self, config: &AccountsConfig, now: UnixMillis) -> Tokens<'_> {
        Tokens {
            access: Secret {
                sha256: &self.access,
                expires_at: now.plus(seconds(config.access_token_seconds)),
            },
            refresh: Some(Secret {
                sha256: &self.refresh,
                expires_at: now.plus(seconds(config.refresh_token_seconds)),
            }),
        }
    }
}

/// Signs a plugin in.
pub(crate) async fn issue(
    app: &App,
    transaction: &mut Transaction,
    account: &Account,
    device: &str,
) -> Result<Pair, ApiError> {
    let pair = Pair::fresh();
    let hashes = pair.hashes();
    let now = app.now();
    let new = NewSignIn {
        id: &SignInId::from_u128(token::id_bits()),
        user_id: &account.user_id,
        kind: Kind::Plugin,
        device,
        tokens: hashes.tokens(&app.config.accounts, now),
    };
    sign_ins::begin(transaction, new, SIGN_INS_MAX, now).await?;
    Ok(pair)
}

/// Exchanges a refresh token for the next pair. That of a banned user stays good: they go
/// on where they were once the ban is over.
pub(crate) async fn refresh(app: &App, token: &str) -> Result<(Pair, Holder), ApiError> {
    let pair = Pair::fresh();
    let (shown, hashes) = (token::hash(token), pair.hashes());
    let now = app.now();
    if let Some(account) = sign_ins::whose(&app.pool, &shown).await? {
        app.bans.check_account(&account, now)?;
    }
    let fresh = hashes.tokens(&app.config.accounts, now);
    match sign_ins::rotate(&app.pool, &shown, fresh, now).await? {
        Rotation::Rotated(holder) => Ok((pair, holder)),
        Rotation::Reused(holder) => {
            metrics::sign_in(SignIn::TokenReused);
            let user = &holder.account.user_id;
            let id = &holder.sign_in_id;
            tracing::warn!(user.id = %user, sign_in.id = %id, "A refresh token was used twice: its sign-in ended");
            let message = "the refresh token was used before; sign in again";
            Err(ApiError::new(Code::Unauthorized, message).because("refresh_token_reused"))
        }
        Rotation::Ended => Err(ApiError::new(Code::SessionExpired, "sign in again")),
        Rotation::Unknown => Err(ApiError::new(
            Code::Unauthorized,
            "not a refresh token of ours",
        )),
    }
}
