//! Becoming a user, and changing what one signs in with.

use model::{TenantId, UserId};
use secrecy::SecretString;
use storage::control::accounts::Account;
use storage::control::device_logins;
use storage::control::mail_tokens::{self, Purpose};
use storage::control::people::{self, Address};
use storage::control::sign_ins;

use super::email::Email;
use super::errands::Errand;
use super::links;
use super::password;
use super::sign_in;
use super::tries::Party;
use crate::auth::Caller;
use crate::error::{ApiError, Code};
use crate::state::App;
use crate::token;

/// Whom an invitation is for; it stays good.
pub(crate) async fn invited(app: &App, secret: &str) -> Result<String, ApiError> {
    let proof =
        mail_tokens::peek(&app.pool, &token::hash(secret), Purpose::Invite, app.now()).await?;
    Ok(proof.ok_or_else(too_old)?.email)
}

/// Makes the account that an invitation allows.
pub(crate) async fn accept(
    app: &App,
    secret: &str,
    name: &str,
    password: SecretString,
) -> Result<Account, ApiError> {
    let sha256 = token::hash(secret);
    let email = invited(app, secret).await?;
    password::check_new(&password, &email)?;
    let hash = app.passwords.hash(password).await?;
    let mut transaction = storage::begin(&app.pool).await?;
    let proof = mail_tokens::take(&mut transaction, &sha256, Purpose::Invite, app.now()).await?;
    let proof = proof.ok_or_else(too_old)?;
    let account = Account {
        user_id: UserId::from_u128(token::id_bits()),
        tenant_id: TenantId::from_u128(token::id_bits()),
    };
    let address = Address {
        email: &proof.email,
        verified: true,
    };
    people::create(&mut transaction, &account, name, address, app.now())
        .await
        .map_err(taken)?;
    people::set_password(&mut transaction, &account.user_id, &hash).await?;
    transaction.commit().await.map_err(storage::Error::from)?;
    tracing::info!(user.id = %account.user_id, "An invitation was accepted");
    Ok(account)
}

/// Sets a new password for who forgot theirs, and ends every sign-in: whoever held one
/// may be why. It proves the address as well.
pub(crate) async fn reset(app: &App, secret: &str, password: SecretString) -> Result<(), ApiError> {
    let sha256 = token::hash(secret);
    let now = app.now();
    let known = mail_tokens::peek(&app.pool, &sha256, Purpose::Reset, now).await?;
    password::check_new(&password, &known.ok_or_else(too_old)?.email)?;
    let hash = app.passwords.hash(password).await?;
    let mut transaction = storage::begin(&app.pool).await?;
    let proof = mail_tokens::take(&mut transaction, &sha256, Purpose::Reset, now).await?;
    let proof = proof.ok_or_else(too_old)?;
    let user = proof.user_id.ok_or_else(too_old)?;
    let address = Address {
        email: &proof.email,
        verified: true,
    };
    people::set_email(&mut transaction, &user, address, now)
        .await
        .map_err(taken)?;
    people::set_password(&mut transaction, &user, &hash).await?;
    sign_ins::end_all(&mut transaction, &user, None, "password_reset", now).await?;
    device_logins::forget(&mut transaction, &user).await?;
    mail_tokens::forget(&mut transaction, &user).await?;
    transaction.commit().await.map_err(storage::Error::from)?;
    tracing::info!(user.id = %user, "A password was reset");
    Ok(())
}

/// Changes the password of who knows the current one, and ends the other sign-ins.
pub(crate) async fn change_password(
    app: &App,
    caller: &Caller,
    current: SecretString,
    new: SecretString,
) -> Result<(), ApiError> {
    let user = &caller.account.user_id;
    confirm(app, user, current).await?;
    let person = people::find(&app.pool, user).await?;
    let email = person.and_then(|person| person.email).unwrap_or_default();
    password::check_new(&new, &email)?;
    let hash = app.passwords.hash(new).await?;
    let mut transaction = storage::begin(&app.pool).await?;
    people::set_password(&mut transaction, user, &hash).await?;
    let kept = caller.sign_in.as_ref();
    sign_ins::end_all(&mut transaction, user, kept, "password_changed", app.now()).await?;
    transaction.commit().await.map_err(storage::Error::from)?;
    tracing::info!(user.id = %user, "A password was changed");
    Ok(())
}

/// Sends a link to an address that a user wants to have.
pub(crate) async fn change_email(
    app: &App,
    caller: &Caller,
    email: Email,
    current: SecretString,
) -> Result<(), ApiError> {
    let user = &caller.account.user_id;
    confirm(app, user, current).await?;
    let mut transaction = storage::begin(&app.pool).await?;
    let link = links::verify(app, &mut transaction, &email, user).await?;
    storage::commit(transaction).await?;
    app.errands
        .take_on(Errand::Send(links::verification(email, &link)))
}

/// Makes an address the user's whose link proved it.
pub(crate) async fn verify(app: &App, secret: &str) -> Result<(), ApiError> {
    let sha256 = token::hash(secret);
    let mut transaction = storage::begin(&app.pool).await?;
    let proof = mail_tokens::take(&mut transaction, &sha256, Purpose::Verify, app.now()).await?;
    let proof = proof.ok_or_else(too_old)?;
    let user = proof.user_id.ok_or_else(too_old)?;
    let address = Address {
        email: &proof.email,
        verified: true,
    };
    people::set_email(&mut transaction, &user, address, app.now())
        .await
        .map_err(taken)?;
    // A link to the old address would give the account back to whoever reads that.
    mail_tokens::forget(&mut transaction, &user).await?;
    transaction.commit().await.map_err(storage::Error::from)?;
    tracing::info!(user.id = %user, "An address was verified");
    Ok(())
}

async fn confirm(app: &App, user: &UserId, current: SecretString) -> Result<(), ApiError> {
    let kept = people::password_hash(&app.pool, user).await?;
    let whose = Party::Account(token::hash(user.as_str()));
    if sign_in::is_right(app, &[whose], current, kept).await? {
        return Ok(());
    }
    Err(ApiError::new(
        Code::Forbidden,
        "the current password is wrong",
    ))
}

fn too_old() -> ApiError {
    let message = "the link was used already or is too old; ask for a new one";
    ApiError::new(Code::NotFound, message)
}

fn taken(error: storage::Error) -> ApiError {
    match error {
        storage::Error::Conflict { .. } => {
            ApiError::new(Code::Conflict, "the address has an account already")
        }
        error => error.into(),
    }
}
