//! Users as people: their address, their password, whether they may come in.

use model::{OpsRole, Region, TenantId, UnixMillis, UserId};
use sqlx::PgExecutor;

use super::accounts::{self, Account};
use super::column;
use crate::{Error, Pool, Transaction};

/// A user as the operator and the user see them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Person {
    /// Who it is.
    pub account: Account,
    /// What they are called.
    pub name: String,
    /// Where they are reached, in lower case.
    pub email: Option<String>,
    /// Whether they proved that the address is theirs.
    pub email_verified: bool,
    /// Whether a password is set.
    pub has_password: bool,
    /// Whether nothing of theirs opens anything.
    pub is_disabled: bool,
    /// Whether it is the one that the admin token stands for.
    pub is_bootstrap: bool,
    /// What they may do with the operator's part of the API.
    pub role: OpsRole,
    /// When they were made.
    pub created_at: UnixMillis,
}

struct PersonRow {
    user_id: String,
    tenant_id: String,
    name: String,
    email: Option<String>,
    email_verified: bool,
    has_password: bool,
    is_disabled: bool,
    is_bootstrap: bool,
    role: String,
    created_at: i64,
}

impl TryFrom<PersonRow> for Person {
    type Error = Error;

    fn try_from(row: PersonRow) -> Result<Self, Error> {
        Ok(Self {
            account: account(&row.user_id, &row.tenant_id)?,
            name: row.name,
            email: row.email,
            email_verified: row.email_verified,
            has_password: row.has_password,
            is_disabled: row.is_disabled,
            role: if row.is_bootstrap {
                OpsRole::Admin
            } else {
                column("users.ops_role", &row.role)?
            },
            is_bootstrap: row.is_bootstrap,
            created_at: UnixMillis(row.created_at),
        })
    }
}

fn account(user_id: &str, tenant_id: &str) -> Result<Account, Error> {
    Ok(Account {
        user_id: column::<UserId>("users.id", user_id)?,
        tenant_id: column::<TenantId>("users.tenant_id", tenant_id)?,
    })
}

macro_rules! select_people {
    ($tail:tt $(, $argument:expr)* $(,)?) => {
        sqlx::query_as!(
            PersonRow,
            r#"SELECT id AS user_id, tenant_id, name, email,
                email_verified_at IS NOT NULL AS "email_verified!",
                password_hash IS NOT NULL AS "has_password!",
                disabled_at IS NOT NULL AS "is_disabled!", is_bootstrap,
                ops_role AS role, created_at
            FROM control.users "# + $tail
            $(, $argument)*
        )
    };
}

/// One user.
///
/// # Errors
/// When the database fails.
pub async fn find(executor: impl PgExecutor<'_>, user: &UserId) -> Result<Option<Person>, Error> {
    let row = select_people!("WHERE id = $1", user.as_str())
        .fetch_optional(executor)
        .await?;
    row.map(TryInto::try_into).transpose()
}

/// Where a user wants sessions whose start names no region.
///
/// # Errors
/// When the database fails.
pub async fn preferred_region(
    executor: impl PgExecutor<'_>,
    user: &UserId,
) -> Result<Option<Region>, Error> {
    let region = sqlx::query_scalar!(
        "SELECT preferred_region FROM control.users WHERE id = $1",
        user.as_str()
    )
    .fetch_optional(executor)
    .await?;
    let region = region.flatten();
    region
        .map(|region| column("users.preferred_region", &region))
        .transpose()
}

/// Remembers where a user wants sessions; none: anywhere.
///
/// # Errors
/// When the database fails.
pub async fn set_preferred_region(
    executor: impl PgExecutor<'_>,
    user: &UserId,
    region: Option<&Region>,
) -> Result<(), Error> {
    sqlx::query!(
        "UPDATE control.users SET preferred_region = $2 WHERE id = $1",
        user.as_str(),
        region.map(Region::as_str)
    )
    .execute(executor)
    .await?;
    Ok(())
}

/// One user, whom nobody else changes before the transaction ends.
///
/// # Errors
/// When the database fails.
pub async fn lock(transaction: &mut Transaction, user: &UserId) -> Result<Option<Person>, Error> {
    let row = select_people!("WHERE id = $1 FOR UPDATE", user.as_str())
        .fetch_optional(&mut **transaction)
        .await?;
    row.map(TryInto::try_into).transpose()
}

/// The user with an address.
///
/// # Errors
/// When the database fails.
pub async fn by_email(executor: impl PgExecutor<'_>, email: &str) -> Result<Option<Person>, Error> {
    let row = select_people!("WHERE email = $1", email)
        .fetch_optional(executor)
        .await?;
    row.map(TryInto::try_into).transpose()
}

/// The users, the newest first, at most `limit`.
///
/// # Errors
/// When the database fails.
pub async fn list(pool: &Pool, limit: u32) -> Result<Vec<Person>, Error> {
    let rows = select_people!(
        "ORDER BY created_at DESC, id DESC LIMIT $1",
        i64::from(limit)
    )
    .fetch_all(pool)
    .await?;
    rows.into_iter().map(TryInto::try_into).collect()
}

/// Who may sign in with an address, and the hash of their password.
#[derive(Debug)]
pub struct Login {
    /// Who.
    pub account: Account,
    /// A PHC string.
    pub password_hash: String,
}

/// What signing in with an address needs: an enabled user who proved that it is
/// theirs and set a password.
///
/// # Errors
/// When the database fails.
pub async fn login(pool: &Pool, email: &str) -> Result<Option<Login>, Error> {
    let row = sqlx::query!(
        r#"SELECT id, tenant_id, password_hash AS "password_hash!" FROM control.users
           WHERE email = $1 AND email_verified_at IS NOT NULL AND disabled_at IS NULL
             AND password_hash IS NOT NULL"#,
        email
    )
    .fetch_optional(pool)
    .await?;
    row.map(|row| {
        Ok(Login {
            account: account(&row.id, &row.tenant_id)?,
            password_hash: row.password_hash,
        })
    })
    .transpose()
}

/// A user's password hash, if one is set.
///
/// # Errors
/// When the database fails.
pub async fn password_hash(pool: &Pool, user: &UserId) -> Result<Option<String>, Error> {
    let hash = sqlx::query_scalar!(
        "SELECT password_hash FROM control.users WHERE id = $1",
        user.as_str()
    )
    .fetch_optional(pool)
    .await?;
    Ok(hash.flatten())
}

/// Makes a person in a tenant of their own. An address that is `verified` may sign in.
///
/// # Errors
/// [`Error::Conflict`] when the address is somebody's.
pub async fn create(
    transaction: &mut Transaction,
    account: &Account,
    name: &str,
    address: Address<'_>,
    now: UnixMillis,
) -> Result<(), Error> {
    accounts::insert(transaction, account, name, false, now).await?;
    set_email(transaction, &account.user_id, address, now).await
}

/// An address, and whether its owner proved that it is theirs.
#[derive(Debug, Clone, Copy)]
pub struct Address<'a> {
    /// In lower case.
    pub email: &'a str,
    /// Whether it is proven.
    pub verified: bool,
}

/// Gives a user an address.
///
/// # Errors
/// [`Error::Conflict`] when the address is somebody else's.
pub async fn set_email(
    transaction: &mut Transaction,
    user: &UserId,
    address: Address<'_>,
    now: UnixMillis,
) -> Result<(), Error> {
    sqlx::query!(
        "UPDATE control.users SET email = $2, email_verified_at = $3 WHERE id = $1",
        user.as_str(),
        address.email,
        address.verified.then_some(now.0)
    )
    .execute(&mut **transaction)
    .await?;
    Ok(())
}

/// Sets a user's password.
///
/// # Errors
/// When the database fails.
pub async fn set_password(
    transaction: &mut Transaction,
    user: &UserId,
    hash: &str,
) -> Result<(), Error> {
    sqlx::query!(
        "UPDATE control.users SET password_hash = $2 WHERE id = $1",
        user.as_str(),
        hash
    )
    .execute(&mut **transaction)
    .await?;
    Ok(())
}

/// What a user may do with the operator's part of the API.
///
/// # Errors
/// When the database fails.
pub async fn role(pool: &Pool, user: &UserId) -> Result<OpsRole, Error> {
    let word = sqlx::query_scalar!(
        "SELECT ops_role FROM control.users WHERE id = $1",
        user.as_str()
    )
    .fetch_optional(pool)
    .await?;
    word.map_or(Ok(OpsRole::None), |word| column("users.ops_role", &word))
}

/// The highest role that anybody of a tenant has. `None`: no such tenant.
///
/// # Errors
/// When the database fails.
pub async fn highest_role(pool: &Pool, tenant: &TenantId) -> Result<Option<OpsRole>, Error> {
    let words = sqlx::query_scalar!(
        r#"SELECT CASE WHEN is_bootstrap THEN 'admin' ELSE ops_role END AS "role!"
           FROM control.users WHERE tenant_id = $1"#,
        tenant.as_str()
    )
    .fetch_all(pool)
    .await?;
    let roles = words.iter().map(|word| column("users.ops_role", word));
    let roles: Vec<OpsRole> = roles.collect::<Result<_, _>>()?;
    Ok(roles.into_iter().max())
}

/// Gives a user a role.
///
/// # Errors
/// When the database fails.
pub async fn set_role(
    transaction: &mut Transaction,
    user: &UserId,
    role: OpsRole,
) -> Result<(), Error> {
    sqlx::query!(
        "UPDATE control.users SET ops_role = $2 WHERE id = $1",
        user.as_str(),
        role.as_str()
    )
    .execute(&mut **transaction)
    .await?;
    Ok(())
}

/// Shuts a user out, or lets them in again. Says whether there is such a user; the one
/// that the admin token stands for cannot be shut out.
///
/// # Errors
/// When the database fails.
pub async fn set_disabled(
    transaction: &mut Transaction,
    user: &UserId,
    disabled_at: Option<UnixMillis>,
) -> Result<bool, Error> {
    let done = sqlx::query!(
        "UPDATE control.users SET disabled_at = $2 WHERE id = $1 AND NOT is_bootstrap",
        user.as_str(),
        disabled_at.map(|at| at.0)
    )
    .execute(&mut **transaction)
    .await?;
    Ok(done.rows_affected() == 1)
}
