//! Who did what to the control plane: an entry stands in the transaction that did it,
//! so that neither is ever there without the other.

use model::{UnixMillis, UserId};
use serde_json::Value;

use crate::{Error, Pool, Transaction};

/// Who acts.
#[derive(Debug, Clone, Copy)]
pub enum Actor<'a> {
    /// A user, by hand.
    User(&'a UserId),
    /// A service, by itself.
    Service(&'a str),
}

/// What was done.
#[derive(Debug, Clone, Copy)]
pub struct Action<'a> {
    /// Who did it.
    pub actor: Actor<'a>,
    /// What, such as `node.drain`.
    pub name: &'a str,
    /// The id of what it was done to; empty when it was to no one thing.
    pub subject: &'a str,
    /// Why, in the actor's words.
    pub reason: Option<&'a str>,
}

/// What was done, as it was written down.
#[derive(Debug, Clone, PartialEq)]
pub struct Entry {
    /// Rises with time.
    pub id: i64,
    /// When.
    pub at: UnixMillis,
    /// A user's id or a service's name.
    pub actor: String,
    /// What.
    pub action: String,
    /// To what.
    pub subject: String,
    /// Why.
    pub reason: Option<String>,
    /// What else there is to know; its shape is the action's.
    pub detail: Value,
}

/// Which entries; what is absent matches all.
#[derive(Debug, Clone, Copy, Default)]
pub struct Filter<'a> {
    /// Those of one action, or of all that begin with it and a dot.
    pub action: Option<&'a str>,
    /// Those about one thing.
    pub subject: Option<&'a str>,
    /// Those older than this entry.
    pub before: Option<i64>,
}

impl Actor<'_> {
    fn as_str(&self) -> &str {
        match self {
            Self::User(user) => user.as_str(),
            Self::Service(name) => name,
        }
    }
}

/// Writes down what this transaction does.
///
/// # Errors
/// When the database fails.
pub async fn record(
    transaction: &mut Transaction,
    action: Action<'_>,
    detail: &Value,
    now: UnixMillis,
) -> Result<(), Error> {
    sqlx::query!(
        "INSERT INTO control.audit (at, actor, action, subject, reason, detail)
         VALUES ($1, $2, $3, $4, $5, $6)",
        now.0,
        action.actor.as_str(),
        action.name,
        action.subject,
        action.reason,
        detail
    )
    .execute(&mut **transaction)
    .await?;
    Ok(())
}

/// The newest entries, newest first.
///
/// # Errors
/// When the database fails.
pub async fn list(pool: &Pool, filter: Filter<'_>, entries_max: u32) -> Result<Vec<Entry>, Error> {
    let rows = sqlx::query_as!(
        Row,
        "SELECT id, at, actor, action, subject, reason, detail FROM control.audit
         WHERE ($1::text IS NULL OR action = $1 OR starts_with(action, $1 || '.'))
             AND ($2::text IS NULL OR subject = $2)
             AND ($3::bigint IS NULL OR id < $3)
         ORDER BY id DESC LIMIT $4",
        filter.action,
        filter.subject,
        filter.before,
        i64::from(entries_max)
    )
    .fetch_all(pool)
    .await?;
    Ok(rows.into_iter().map(Into::into).collect())
}

struct Row {
    id: i64,
    at: i64,
    actor: String,
    action: String,
    subject: String,
    reason: Option<String>,
    detail: Value,
}

impl From<Row> for Entry {
    fn from(row: Row) -> Self {
        Self {
            id: row.id,
            at: UnixMillis(row.at),
            actor: row.actor,
            action: row.action,
            subject: row.subject,
            reason: row.reason,
            detail: row.detail,
        }
    }
}
