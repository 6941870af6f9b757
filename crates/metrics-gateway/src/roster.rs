//! Asks the control plane what every node is to it.

use std::sync::Arc;
use std::time::Duration;

use service_kit::Context;

use crate::control::Control;
use crate::fleet::Fleet;

/// Nodes are heard every five seconds themselves.
const INTERVAL: Duration = Duration::from_secs(5);

/// Asks until the service stops. While there is no answer, the last one ages.
pub(crate) async fn watch(control: Control, fleet: Arc<Fleet>, nodes_max: usize, context: Context) {
    loop {
        let answer = tokio::select! {
            () = context.shutdown.cancelled() => return,
            answer = control.fleet(nodes_max) => answer,
        };
        match answer {
            Ok(nodes) => fleet.learn(nodes, context.clock.now()),
            Err(status) => tracing::debug!(%status, "the api does not tell of the fleet"),
        }
        tokio::select! {
            () = context.shutdown.cancelled() => return,
            () = tokio::time::sleep(INTERVAL) => {}
        }
    }
}
