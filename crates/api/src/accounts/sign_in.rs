//! Signing a browser in and out.

use model::SignInId;
use secrecy::{ExposeSecret, SecretString};
use storage::control::accounts::Account;
use storage::control::docks::Secret;
use storage::control::people;
use storage::control::sign_ins::{self, Kind, NewSignIn, Tokens};

use super::email::Email;
use super::tries::{Party, Try};
use crate::config::seconds;
use crate::error::{ApiError, Code};
use crate::metrics::{self, SignIn};
use crate::state::App;
use crate::token;

/// Sign-ins of one user at the same time.
pub(crate) const SIGN_INS_MAX: u32 = 64;
const DEVICE_CHARACTERS_MAX: usize = 200;

/// Signs a browser in with an address and a password. Whether the address has no
/// account, the password is wrong or the user is shut out: the answer is the same, and
/// takes as long. Of `parties`, each may try a few times.
pub(crate) async fn with_password(
    app: &App,
    parties: &[Party],
    email: &Email,
    password: SecretString,
    device: &str,
) -> Result<SecretString, ApiError> {
    let login = people::login(&app.pool, email.as_str()).await?;
    let (account, kept) = login.map(|it| (it.account, it.password_hash)).unzip();
    let is_right = is_right(app, parties, password, kept).await?;
    let Some(account) = account.filter(|_| is_right) else {
        metrics::sign_in(SignIn::Refused);
        let message = "the e-mail address or the password is wrong";
        return Err(ApiError::new(Code::Unauthorized, message));
    };
    browser(app, &account, device).await
}

/// Whether a password is the one that is kept. Wrong ones are counted, and parties with
/// too many of them turned away unheard.
pub(crate) async fn is_right(
    app: &App,
    parties: &[Party],
    password: SecretString,
    kept: Option<String>,
) -> Result<bool, ApiError> {
    // Counted before, so that many at once are not all heard before one has failed.
    app.tries.count(Try::Password, parties, app.now())?;
    let verified = app.passwords.verify(password, kept).await;
    if !matches!(verified, Ok(false)) {
        app.tries.forgive(Try::Password, parties);
    }
    verified
}

/// Signs a browser in whose user is known.
pub(crate) async fn browser(
    app: &App,
    account: &Account,
    device: &str,
) -> Result<SecretString, ApiError> {
    let secret = token::fresh(token::Kind::Web);
    let now = app.now();
    let lifetime = seconds(app.config.accounts.browser_seconds);
    let access = Secret {
        sha256: &token::hash(secret.expose_secret()),
        expires_at: now.plus(lifetime),
    };
    let new = NewSignIn {
        id: &SignInId::from_u128(token::id_bits()),
        user_id: &account.user_id,
        kind: Kind::Browser,
        device: &described(device),
        tokens: Tokens {
            access,
            refresh: None,
        },
    };
    let mut transaction = storage::begin(&app.pool).await?;
    sign_ins::begin(&mut transaction, new, SIGN_INS_MAX, now).await?;
    transaction.commit().await.map_err(storage::Error::from)?;
    metrics::sign_in(SignIn::SignedIn);
    tracing::info!(user.id = %account.user_id, sign_in.id = %new.id, "A browser signed in");
    Ok(secret)
}

/// What a device says it is, as far as it can be shown.
pub(crate) fn described(device: &str) -> String {
    let shown = device.chars().filter(|one| !one.is_control());
    shown.take(DEVICE_CHARACTERS_MAX).collect()
}
