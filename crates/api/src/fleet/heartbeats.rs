//! Writes heartbeats down, those of all nodes together: what ten thousand nodes say in a
//! second are a few statements.
//!
//! While a batch is being written the next one gathers. A node hears that its heartbeat
//! counts once it is in the database. Nothing is kept for a database that is away: the
//! next heartbeat says the same and more.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use model::NodeId;
use proto::fleet as pb;
use proto::fleet::control_message::Directive;
use storage::control::{heartbeats, round_trips};
use tokio::sync::mpsc;
use tokio::time::Instant;

use super::connection::Outgoing;
use super::registry::Line;
use crate::metrics;
use crate::state::App;

/// Heartbeats that wait for the database; more are not written.
const WAITING_MAX: usize = 32_768;
/// Heartbeats in one statement.
const BATCH_MAX: usize = 2048;
/// From one batch to the next, at least: they gather meanwhile.
const GATHER: Duration = Duration::from_millis(100);

/// A heartbeat that was heard.
pub(crate) struct Heard {
    pub(crate) beat: heartbeats::Beat,
    /// What the node counts it as; 0: it wants no answer.
    pub(crate) sequence: u64,
    /// Where it is answered.
    pub(crate) outgoing: Outgoing,
    /// The stream that heard it.
    pub(crate) line: Arc<Line>,
}

/// Takes heartbeats of every stream.
pub(crate) struct Heartbeats(mpsc::Sender<Heard>);

/// Those that are not written yet.
pub(crate) struct Waiting(mpsc::Receiver<Heard>);

pub(crate) fn channel() -> (Heartbeats, Waiting) {
    let (sender, receiver) = mpsc::channel(WAITING_MAX);
    (Heartbeats(sender), Waiting(receiver))
}

impl Heartbeats {
    /// Has it written soon. Says whether there was room.
    pub(crate) fn write(&self, heard: Heard) -> bool {
        self.0.try_send(heard).is_ok()
    }
}

/// Writes until the process ends.
pub(crate) async fn run(app: Arc<App>, mut waiting: Waiting) {
    let mut batch = Vec::new();
    while waiting.0.recv_many(&mut batch, BATCH_MAX).await > 0 {
        let begun = Instant::now();
        write_batch(&app, std::mem::take(&mut batch)).await;
        tokio::time::sleep_until(begun + GATHER).await;
    }
}

/// What a node said last counts: it says everything that it said before.
fn latest(batch: Vec<Heard>) -> BTreeMap<NodeId, Heard> {
    let by_node = batch.into_iter().map(|it| (it.beat.node.clone(), it));
    by_node.collect()
}

async fn write_batch(app: &App, batch: Vec<Heard>) {
    let batch: Vec<Heard> = latest(batch).into_values().collect();
    let beats: Vec<_> = batch.iter().map(|heard| heard.beat.clone()).collect();
    let renewal = app.config.sessions.renewal();
    let written = heartbeats::record(&app.pool, &beats, renewal).await;
    match written {
        Ok(superseded) => {
            conclude(&batch, &superseded);
            learn(app, &beats).await;
        }
        Err(error) if error.is_retryable() || batch.len() == 1 => {
            failed(app, &error, batch.len());
        }
        // One of them may be what the database does not take: the others are not its victims.
        Err(_) => {
            for heard in &batch {
                let one = std::slice::from_ref(&heard.beat);
                match heartbeats::record(&app.pool, one, renewal).await {
                    Ok(superseded) => conclude(std::slice::from_ref(heard), &superseded),
                    Err(error) => failed(app, &error, 1),
                }
            }
        }
    }
}

/// Takes the round trips that nodes measured; the next time makes up for one that failed.
async fn learn(app: &App, beats: &[heartbeats::Beat]) {
    if let Err(error) = round_trips::learn(&app.pool, beats).await {
        let error = &error as &dyn std::error::Error;
        tracing::debug!(error, "Round trips could not be written");
    }
}

/// Answers those whose stream is the newest of their node, and ends the others'.
fn conclude(batch: &[Heard], superseded: &BTreeSet<NodeId>) {
    for heard in batch {
        if superseded.contains(&heard.beat.node) {
            heard.line.replaced.cancel();
        } else {
            done(heard);
        }
    }
}

fn done(heard: &Heard) {
    metrics::heartbeats(true, 1);
    if heard.sequence > 0 {
        let ack = pb::HeartbeatAck {
            sequence: heard.sequence,
        };
        // A node that does not read will find out otherwise.
        let _ = heard.outgoing.try_send(Ok(Box::new(pb::ControlMessage {
            directive_id: 0,
            directive: Some(Directive::HeartbeatAck(ack)),
        })));
    }
}

fn failed(app: &App, error: &storage::Error, count: usize) {
    metrics::heartbeats(false, count);
    app.pause.trouble(app.now());
    let is_retryable = error.is_retryable();
    let error = error as &dyn std::error::Error;
    if is_retryable {
        tracing::debug!(count, error, "Heartbeats could not be written");
    } else {
        tracing::error!(count, error, "Heartbeats could not be written");
    }
}

#[cfg(test)]
mod tests {
    use model::UnixMillis;
    use model::node::Heartbeat;
    use storage::control::epochs::StreamEpoch;

    use super::*;

    fn heard(node: u128, sequence: u64) -> Heard {
        let said = pb::Heartbeat {
            boot_id: "boot".into(),
            ..Default::default()
        };
        Heard {
            beat: heartbeats::Beat {
                node: NodeId::from_u128(node),
                epoch: StreamEpoch::default(),
                at: UnixMillis(0),
                said: Heartbeat::try_from(said).unwrap(),
            },
            sequence,
            outgoing: mpsc::channel(1).0,
            line: Arc::default(),
        }
    }

    #[test]
    fn the_last_word_of_a_node_counts() {
        let batch = vec![heard(1, 1), heard(2, 7), heard(1, 2), heard(2, 8)];
        let kept: Vec<_> = latest(batch).into_values().map(|it| it.sequence).collect();
        assert_eq!(kept, [2, 8]);
    }
}
