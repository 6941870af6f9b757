//! Tenants, users and their tokens.

use model::{TenantId, UnixMillis, UserId};

use super::column;
use crate::{Error, Pool, Transaction};

/// Who is behind a token.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Account {
    /// The user.
    pub user_id: UserId,
    /// The user's tenant.
    pub tenant_id: TenantId,
}

pub(super) struct AccountRow {
    pub(super) user_id: String,
    pub(super) tenant_id: String,
}

impl TryFrom<AccountRow> for Account {
    type Error = Error;

    fn try_from(row: AccountRow) -> Result<Self, Error> {
        Ok(Self {
            user_id: column("users.id", &row.user_id)?,
            tenant_id: column("users.tenant_id", &row.tenant_id)?,
        })
    }
}

/// The account that the admin token stands for; `fresh` becomes it when there is none.
///
/// # Errors
/// When the database fails.
pub async fn bootstrap(pool: &Pool, fresh: &Account, now: UnixMillis) -> Result<Account, Error> {
    let mut transaction = pool.begin().await?;
    // Replicas that start at once must not make two.
    sqlx::query!("SELECT pg_advisory_xact_lock(hashtext('control.bootstrap'))")
        .execute(&mut *transaction)
        .await?;
    let found = sqlx::query_as!(
        AccountRow,
        "SELECT id AS user_id, tenant_id FROM control.users WHERE is_bootstrap"
    )
    .fetch_optional(&mut *transaction)
    .await?;
    let account = match found {
        Some(row) => row.try_into()?,
        None => {
            insert(&mut transaction, fresh, "admin", true, now).await?;
            fresh.clone()
        }
    };
    transaction.commit().await?;
    Ok(account)
}

/// Makes a user in a tenant of their own, with a first token.
///
/// # Errors
/// When the database fails.
pub async fn create(
    transaction: &mut Transaction,
    account: &Account,
    name: &str,
    token_sha256: &[u8; 32],
    now: UnixMillis,
) -> Result<(), Error> {
    insert(transaction, account, name, false, now).await?;
    sqlx::query!(
        "INSERT INTO control.tokens (sha256, user_id, created_at) VALUES ($1, $2, $3)",
        token_sha256,
        account.user_id.as_str(),
        now.0
    )
    .execute(&mut **transaction)
    .await?;
    Ok(())
}

/// Who holds the token with this hash, if it is still good.
///
/// # Errors
/// When the database fails.
pub async fn by_token(
    pool: &Pool,
    token_sha256: &[u8; 32],
    now: UnixMillis,
) -> Result<Option<Account>, Error> {
    let row = sqlx::query_as!(
        AccountRow,
        "SELECT u.id AS user_id, u.tenant_id
         FROM control.tokens t JOIN control.users u ON u.id = t.user_id
         WHERE t.sha256 = $1 AND t.revoked_at IS NULL AND u.disabled_at IS NULL
           AND (t.expires_at IS NULL OR t.expires_at > $2)",
        token_sha256,
        now.0
    )
    .fetch_optional(pool)
    .await?;
    row.map(TryInto::try_into).transpose()
}

pub(super) async fn insert(
    transaction: &mut Transaction,
    account: &Account,
    name: &str,
    is_bootstrap: bool,
    now: UnixMillis,
) -> Result<(), Error> {
    sqlx::query!(
        "INSERT INTO control.tenants (id, name, created_at) VALUES ($1, $2, $3)",
        account.tenant_id.as_str(),
        name,
        now.0
    )
    .execute(&mut **transaction)
    .await?;
    sqlx::query!(
        "INSERT INTO control.users (id, tenant_id, name, is_bootstrap, created_at)
         VALUES ($1, $2, $3, $4, $5)",
        account.user_id.as_str(),
        account.tenant_id.as_str(),
        name,
        is_bootstrap,
        now.0
    )
    .execute(&mut **transaction)
    .await?;
    Ok(())
}
