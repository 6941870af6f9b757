//! What sessions do when nobody asks: they end when their time is over, follow their
//! publisher to another node, leave nodes that drain. `jobs` has it looked after every few
//! seconds; each step goes on from what the rows say, in whatever replica.

use std::time::{Duration, Instant};

use model::SessionId;
use storage::control::sessions::{self, Patience};
use storage::control::{moves, provisioning, session_events};

use super::moves::{By, Destination, begin};
use super::{names, outcomes};
use crate::config::seconds;
use crate::metrics;
use crate::state::App;
use crate::webhooks;

/// Moves settled, and sessions ended on drained nodes, in one look.
const SETTLED_MAX: u32 = 500;
/// Sessions that begin to leave draining nodes in one look, and how long that may take: who
/// looks waits for it.
const LEAVING_MAX: u32 = 1000;
const LEAVING_TIME: Duration = Duration::from_secs(3);
/// Changes written down at once, and how often in one look.
const NOTED_MAX: u32 = 500;
const NOTES_MAX: usize = 20;

/// Ends sessions whose time is over, at most `limit`.
pub(crate) async fn expire(app: &App, limit: u32) -> Result<Vec<SessionId>, storage::Error> {
    let (now, config) = (app.now(), &app.config);
    // Who could not be heard is not silent.
    if app
        .pause
        .is_on(seconds(config.fleet.expiry_pause_seconds), now)
    {
        return Ok(Vec::new());
    }
    let patience = Patience {
        grace: seconds(config.sessions.grace_seconds),
        silence: seconds(config.fleet.lost_after_seconds),
    };
    let stopped = sessions::expire(&app.pool, now, patience, limit).await?;
    note_ends(&stopped, "A session expired");
    Ok(stopped)
}

/// Ends sessions that their nodes never confirmed, at most `limit`.
pub(crate) async fn reap(app: &App, limit: u32) -> Result<Vec<SessionId>, storage::Error> {
    let (now, patience) = (app.now(), seconds(app.config.sessions.provisioning_seconds));
    // What a node says could not be written down.
    if app.pause.is_on(patience, now) {
        return Ok(Vec::new());
    }
    let reaped = provisioning::reap(&app.pool, now.minus(patience), now, limit).await?;
    note_ends(&reaped, "A session was never confirmed by its node");
    Ok(reaped)
}

/// Takes moves and drains as far as they are, and writes down what changed.
pub(crate) async fn keep(app: &App) -> Result<(), storage::Error> {
    let now = app.now();
    let drained = moves::end_drained(&app.pool, now, SETTLED_MAX).await?;
    note_ends(&drained, "A session's node is drained");
    let settled = moves::settle(&app.pool, now, names::empty_max(&app.config), SETTLED_MAX).await?;
    note_ends(&settled.ended, "A session's stream has moved");
    for session in &settled.undone {
        tracing::warn!(session.id = %session, "A session's stream did not move: the new node is lost");
    }
    leave(app).await?;
    note(app).await
}

fn note_ends(sessions: &[SessionId], message: &'static str) {
    metrics::stopped(metrics::Stopped::Expired, sessions.len());
    for session in sessions {
        tracing::info!(session.id = %session, "{message}");
    }
}

/// Moves sessions from nodes that drain; those that no other node can take are tried again.
async fn leave(app: &App) -> Result<(), storage::Error> {
    let began = Instant::now();
    for (session, deadline) in moves::due(&app.pool, LEAVING_MAX).await? {
        if began.elapsed() >= LEAVING_TIME {
            break;
        }
        let moved = begin(app, &session, &Destination::default(), By::Drain(deadline)).await;
        if let Err(error) = moved {
            tracing::debug!(session.id = %session, ?error, "A session cannot leave its node");
        }
    }
    Ok(())
}

async fn note(app: &App) -> Result<(), storage::Error> {
    for _ in 0..NOTES_MAX {
        let mut transaction = storage::begin(&app.pool).await?;
        let changes = session_events::note(&mut transaction, app.now(), NOTED_MAX).await?;
        webhooks::tell(&mut transaction, &changes, app.now()).await?;
        if !changes.is_empty() {
            names::look(app, &mut transaction).await?;
        }
        storage::commit(transaction).await?;
        outcomes::count(&changes);
        if changes.len() < NOTED_MAX as usize {
            break;
        }
    }
    Ok(())
}
