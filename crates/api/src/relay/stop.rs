//! Ends a session, and with it what its stream moves from or to, whichever of the sessions
//! is named; ending it again says the same.

use model::session::Session;
use storage::Transaction;
use storage::control::accounts::Account;
use storage::control::sessions::{self, Record};
use storage::control::{chains, connections};

use super::request::{Named, StopRequest};
use crate::error::ApiError;
use crate::metrics;
use crate::state::App;

pub(crate) async fn stop(
    app: &App,
    account: &Account,
    request: &StopRequest,
) -> Result<Session, ApiError> {
    let reason = request.reason()?;
    let unknown = || ApiError::not_found("no such session");
    let mut transaction = storage::begin(&app.pool).await?;
    // A start or a move that is under way comes before or after, never in between.
    sessions::lock_user(&mut transaction, &account.user_id).await?;
    let named = request.named()?;
    let found = find(&mut transaction, account, &named).await?;
    let found = found.ok_or_else(unknown)?.session;
    let id = found.id;
    let stopped = chains::stop(&mut transaction, &id, reason, app.now()).await?;
    let is_meant = !stopped.is_empty() || matches!(named, Named::Connection(_));
    if let Some(name) = found.connection_id.filter(|_| is_meant) {
        // Or it would be given a session again. An old session's name does not count:
        // its connection may have another by now.
        connections::forget(&mut transaction, &account.user_id, &name).await?;
    }
    let session = sessions::find(&mut *transaction, &id)
        .await?
        .ok_or_else(unknown)?;
    storage::commit(transaction).await?;
    metrics::stopped(metrics::Stopped::Requested, stopped.len());
    for id in &stopped {
        tracing::info!(session.id = %id, "A session was stopped");
    }
    Ok(session.session)
}

/// The session that is meant; somebody else's is as unknown as none.
async fn find(
    transaction: &mut Transaction,
    account: &Account,
    named: &Named<'_>,
) -> Result<Option<Record>, ApiError> {
    let found = match named {
        Named::Session(id) => sessions::find(&mut **transaction, id).await?,
        Named::Connection(connection) => {
            sessions::last_of_connection(&mut **transaction, &account.user_id, Some(connection))
                .await?
        }
        Named::Nobody => None,
    };
    Ok(found.filter(|record| record.session.user_id == account.user_id))
}

/// Removes a connection: it is wanted no longer, and its session ends.
pub(crate) async fn remove(app: &App, account: &Account, name: &str) -> Result<(), ApiError> {
    let mut transaction = storage::begin(&app.pool).await?;
    let user = &account.user_id;
    // A start that is under way comes before or after, never in between.
    sessions::lock_user(&mut transaction, user).await?;
    let was_wanted = connections::forget(&mut transaction, user, name).await?;
    let live = sessions::live_of_connection(&mut *transaction, user, Some(name)).await?;
    if let Some(record) = &live {
        chains::stop(&mut transaction, &record.session.id, "requested", app.now()).await?;
    }
    storage::commit(transaction).await?;
    if let Some(record) = live {
        metrics::stopped(metrics::Stopped::Requested, 1);
        tracing::info!(session.id = %record.session.id, "A connection was removed");
    } else if !was_wanted {
        return Err(ApiError::not_found("no such connection"));
    }
    Ok(())
}
