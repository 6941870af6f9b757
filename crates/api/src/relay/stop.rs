//! Ends a session; ending it again says the same.

use model::session::Session;
use storage::control::accounts::Account;
use storage::control::sessions::{self, Record};

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
    let found: Option<Record> = match request.named()? {
        Named::Session(id) => sessions::find(&mut *transaction, &id).await?,
        Named::Connection(connection) => {
            sessions::last_of_connection(&mut *transaction, &account.user_id, Some(connection))
                .await?
        }
        Named::Nobody => None,
    };
    // Somebody else's session is as unknown as none.
    let found = found.filter(|record| record.session.user_id == account.user_id);
    let id = found.ok_or_else(unknown)?.session.id;
    let was_live = sessions::stop(&mut transaction, &id, reason, app.now()).await?;
    let stopped = sessions::find(&mut *transaction, &id)
        .await?
        .ok_or_else(unknown)?;
    transaction.commit().await.map_err(storage::Error::from)?;
    if was_live {
        metrics::stopped(metrics::Stopped::Requested, 1);
        tracing::info!(session.id = %id, "A session was stopped");
    }
    Ok(stopped.session)
}
