//! Looks after the database: readiness, wakes from other processes, gauges.

use std::sync::Arc;
use std::time::Duration;

use service_kit::Readiness;
use storage::control::wake::{Listener, Wake};
use storage::control::{nodes, sessions};

use crate::fleet::bans;
use crate::metrics;
use crate::state::App;

/// The part of readiness that says whether the database answers.
pub(crate) const DATABASE: &str = "database";

const INTERVAL: Duration = Duration::from_secs(2);
const RECONNECT_INTERVAL: Duration = Duration::from_secs(1);

/// Asks the database for a sign of life, again and again.
pub(crate) async fn database(app: Arc<App>, readiness: Readiness) {
    let mut interval = tokio::time::interval(INTERVAL);
    interval.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    let mut was_away = false;
    loop {
        interval.tick().await;
        let result = figures(&app).await;
        let is_away = result.is_err();
        match &result {
            Ok(()) if was_away => tracing::info!("The database is back"),
            Err(error) if !was_away => {
                tracing::warn!(
                    error = error as &dyn std::error::Error,
                    "The database is away"
                );
            }
            _ => {}
        }
        if is_away || was_away {
            // When it is back, nodes are not yet heard.
            app.pause.trouble(app.now());
        }
        readiness.set(DATABASE, result.map_err(|error| error.to_string()));
        was_away = is_away;
    }
}

async fn figures(app: &App) -> Result<(), storage::Error> {
    metrics::nodes(&nodes::count_by_state(&app.pool).await?);
    metrics::sessions(&sessions::count_by_state(&app.pool).await?);
    refresh_keys(app).await;
    refresh_bans(app).await;
    Ok(())
}

/// Wakes the streams of nodes whose sessions any process changed.
pub(crate) async fn wakes(app: Arc<App>) {
    loop {
        match Listener::connect(&app.pool).await {
            Ok(listener) => listen(&app, listener).await,
            // Readiness tells; the streams look by themselves meanwhile.
            Err(error) => {
                tracing::debug!(error = &error as &dyn std::error::Error, "Cannot listen");
            }
        }
        tokio::time::sleep(RECONNECT_INTERVAL).await;
    }
}

async fn listen(app: &App, mut listener: Listener) {
    // Whatever was said before we listened was missed.
    pass_on(app, Wake::Missed).await;
    loop {
        match listener.next().await {
            Ok(wake) => pass_on(app, wake).await,
            Err(error) => {
                tracing::debug!(error = &error as &dyn std::error::Error, "Listening ended");
                return;
            }
        }
    }
}

/// To the streams of nodes, and to those who watch sessions.
async fn pass_on(app: &App, wake: Wake) {
    match &wake {
        Wake::Node(node) => app.registry.wake(node),
        Wake::Keys => refresh_keys(app).await,
        Wake::Bans => refresh_bans(app).await,
        Wake::Missed => {
            refresh_bans(app).await;
            app.registry.wake_all();
        }
        Wake::Session(_) => {}
    }
    // Nobody may be watching.
    let _ = app.wakes.send(wake);
}

/// Reads the bans again, and wakes everyone who has to tell a node.
async fn refresh_bans(app: &App) {
    match bans::look(app).await {
        Ok(true) => app.registry.wake_all(),
        Ok(false) => {}
        Err(error) => {
            let error = &error as &dyn std::error::Error;
            tracing::debug!(error, "The bans could not be read");
        }
    }
}

/// Reads the lease keys again, and wakes everyone who has to tell a node.
async fn refresh_keys(app: &App) {
    match app.issuer.refresh(&app.pool, app.now()).await {
        Ok(true) => app.registry.wake_all(),
        Ok(false) => {}
        Err(error) => {
            tracing::error!(
                error = &error as &dyn std::error::Error,
                "Lease keys cannot be read"
            );
        }
    }
}
