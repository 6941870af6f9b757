//! Becoming a user, and changing what one signs in with.

use model::{Provider, TenantId, UserId};
use secrecy::SecretString;
use storage::Transaction;
use storage::control::accounts::Account;
use storage::control::device_logins;
use storage::control::linked_accounts::{self, Identity};
use storage::control::mail_tokens::{self, Purpose};
use storage::control::people::{self, Address};
use storage::control::{sign_ins, tokens};

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

/// Somebody who proved an address.
pub(crate) struct Member {
    pub(crate) account: Account,
    pub(crate) email: Email,
}

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
) -> Result<Member, ApiError> {
    let email = invited(app, secret).await?;
    password::check_new(&password, &email)?;
    let hash = app.passwords.hash(password).await?;
    let mut transaction = storage::begin(&app.pool).await?;
    let email = take_invitation(app, &mut transaction, &token::hash(secret)).await?;
    let account = create(app, &mut transaction, name, &email).await?;
    people::set_password(&mut transaction, &account.user_id, &hash).await?;
    storage::commit(transaction).await?;
    tracing::info!(user.id = %account.user_id, "An invitation was accepted");
    let email = Email::parse(&email)?;
    Ok(Member { account, email })
}

/// The same for somebody who signs in with an account elsewhere.
pub(crate) async fn accept_with_identity(
    app: &App,
    invite_sha256: &token::Hash,
    identity: Identity<'_>,
) -> Result<Account, ApiError> {
    let mut transaction = storage::begin(&app.pool).await?;
    let email = take_invitation(app, &mut transaction, invite_sha256).await?;
    let account = create_linked(app, &mut transaction, &email, identity).await?;
    storage::commit(transaction).await?;
    tracing::info!(user.id = %account.user_id, provider = %identity.provider, "An invitation was accepted");
    Ok(account)
}

/// Makes an account for a newcomer whose address a provider has proven.
pub(crate) async fn register_identity(
    app: &App,
    email: &Email,
    identity: Identity<'_>,
) -> Result<Account, ApiError> {
    let mut transaction = storage::begin(&app.pool).await?;
    let account = create_linked(app, &mut transaction, email.as_str(), identity).await?;
    storage::commit(transaction).await?;
    tracing::info!(user.id = %account.user_id, provider = %identity.provider, "Somebody registered");
    Ok(account)
}

/// Ends that a user signs in with an account elsewhere, unless nothing else is left.
pub(crate) async fn unlink(app: &App, user: &UserId, provider: Provider) -> Result<(), ApiError> {
    let mut transaction = storage::begin(&app.pool).await?;
    let person = people::lock(&mut transaction, user).await?;
    let has_password = person.is_some_and(|person| person.has_password);
    let linked = linked_accounts::list(&mut *transaction, user).await?;
    if !has_password && linked.len() == 1 {
        let message = "nothing else signs you in; set a password first (Forgot the password?)";
        return Err(ApiError::new(Code::Conflict, message));
    }
    if !linked_accounts::unlink(&mut transaction, user, provider).await? {
        return Err(ApiError::not_found("no account of that provider is linked"));
    }
    storage::commit(transaction).await?;
    tracing::info!(user.id = %user, %provider, "An account elsewhere was unlinked");
    Ok(())
}

/// Makes sure that who is signed in is the owner, where a password can tell.
pub(crate) async fn confirm_owner(
    app: &App,
    caller: &Caller,
    current: SecretString,
) -> Result<(), ApiError> {
    let user = &caller.account.user_id;
    let person = people::find(&app.pool, user).await?;
    if person.is_some_and(|person| person.has_password) {
        confirm(app, user, current).await?;
    }
    Ok(())
}

/// Uses an invitation up: whose address it proves.
async fn take_invitation(
    app: &App,
    transaction: &mut Transaction,
    sha256: &token::Hash,
) -> Result<String, ApiError> {
    let proof = mail_tokens::take(transaction, sha256, Purpose::Invite, app.now()).await?;
    Ok(proof.ok_or_else(too_old)?.email)
}

async fn create_linked(
    app: &App,
    transaction: &mut Transaction,
    email: &str,
    identity: Identity<'_>,
) -> Result<Account, ApiError> {
    let account = create(app, transaction, identity.name, email).await?;
    let user = &account.user_id;
    let linked = linked_accounts::link(transaction, user, identity, app.now()).await;
    linked.map_err(taken)?;
    Ok(account)
}

async fn create(
    app: &App,
    transaction: &mut Transaction,
    name: &str,
    email: &str,
) -> Result<Account, ApiError> {
    let account = Account {
        user_id: UserId::from_u128(token::id_bits()),
        tenant_id: TenantId::from_u128(token::id_bits()),
    };
    let address = Address {
        email,
        verified: true,
    };
    people::create(transaction, &account, name, address, app.now())
        .await
        .map_err(taken)?;
    Ok(account)
}

/// Sets a new password for who forgot theirs, and ends every sign-in and token: whoever
/// held one may be why. It proves the address as well.
pub(crate) async fn reset(
    app: &App,
    secret: &str,
    password: SecretString,
) -> Result<Member, ApiError> {
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
    let person = people::lock(&mut transaction, &user).await?;
    // A first password is nobody's who forgot one: an operator just gave them a token.
    if person.is_some_and(|person| person.has_password) {
        tokens::revoke(&mut transaction, &user, None, now).await?;
    }
    people::set_password(&mut transaction, &user, &hash).await?;
    sign_ins::end_all(&mut transaction, &user, None, "password_reset", now).await?;
    device_logins::forget(&mut transaction, &user).await?;
    mail_tokens::forget(&mut transaction, &user).await?;
    transaction.commit().await.map_err(storage::Error::from)?;
    tracing::info!(user.id = %user, "A password was reset");
    let person = people::find(&app.pool, &user).await?;
    Ok(Member {
        account: person.ok_or_else(too_old)?.account,
        email: Email::parse(&proof.email)?,
    })
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
