//! The data threads as one: what the runtime asks, and how their answers become
//! the node's.

use std::io;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use model::UnixMillis;
use relay_core::{Command, CommandError, Event, Relay, Saved, Shard as Place};
use tokio::sync::{mpsc, oneshot};

use crate::identity::Identity;
use crate::key_worker::KeyWorker;
use crate::shard::{Farewell, Inbox, Mailbox, Message, Parts, Shard};
use crate::snapshot::Snapshot;
use crate::sockets::Socket;

/// Events that may wait for the runtime.
const EVENTS_LENGTH: usize = 4096;
/// The reason that a session is taken back for that not every thread would take.
const REFUSED: &str = "refused";

/// A data thread is gone; the service ends.
#[derive(Debug, Clone, Copy, thiserror::Error)]
#[error("a data thread has ended")]
pub(crate) struct Gone;

/// The runtime's end: asks, and never makes a data thread wait.
#[derive(Clone)]
pub(crate) struct Shards {
    inboxes: Arc<[Inbox]>,
}

/// What the data threads are made of.
pub(crate) struct Plan {
    /// For each port its group of sockets, one for each thread.
    pub(crate) ports: Vec<Vec<Socket>>,
    pub(crate) config: relay_core::Config,
    pub(crate) identity: Identity,
    pub(crate) seed: [u8; 32],
    pub(crate) wall: UnixMillis,
    pub(crate) key_worker: KeyWorker,
    /// The longest pause to let datagrams gather.
    pub(crate) pause_max: Duration,
    /// What each thread of the last process left.
    pub(crate) saved: Vec<Saved>,
}

/// The data threads, running.
pub(crate) struct Running {
    pub(crate) shards: Shards,
    pub(crate) threads: Vec<JoinHandle<io::Result<()>>>,
    pub(crate) events: mpsc::Receiver<Event>,
}

/// Starts a data thread for each socket of a port. `spawn` gets the name and the
/// body of each.
///
/// # Errors
/// When the kernel has no more threads or wake-ups.
pub(crate) fn start(
    plan: Plan,
    mut spawn: impl FnMut(&str, Shard) -> io::Result<JoinHandle<io::Result<()>>>,
) -> io::Result<Running> {
    let count = plan.ports.first().map_or(0, Vec::len);
    let mailboxes = (0..count)
        .map(|_| Mailbox::new())
        .collect::<io::Result<Vec<_>>>()?;
    let inboxes: Vec<_> = mailboxes.iter().map(|m| m.inbox.clone()).collect();
    let (events, events_receiver) = mpsc::channel(EVENTS_LENGTH);
    let mut ports: Vec<_> = plan.ports.into_iter().map(Vec::into_iter).collect();
    let mut threads = Vec::with_capacity(count);
    // They count minutes and ages alike.
    let now = Instant::now();
    for (index, mailbox) in mailboxes.into_iter().enumerate() {
        let place = Place::new(index as u16, count as u16).expect("each has its place");
        let config = relay_core::Config {
            shard: place,
            ..plan.config.clone()
        };
        let (keys, node_id) = (plan.identity.keys.clone(), plan.identity.node_id.clone());
        let mut relay = Relay::new(config, plan.seed, keys, node_id, now, plan.wall);
        if let Some(saved) = plan.saved.get(index) {
            relay.resume(now, saved);
        }
        let shard = Shard::new(Parts {
            mailbox,
            inboxes: inboxes.clone(),
            index,
            key_worker: plan.key_worker.clone(),
            sockets: ports.iter_mut().filter_map(Iterator::next).collect(),
            relay,
            events: events.clone(),
            pause_max: plan.pause_max,
        })?;
        threads.push(spawn(&format!("data-{index}"), shard)?);
    }
    let inboxes = inboxes.into();
    Ok(Running {
        shards: Shards { inboxes },
        threads,
        events: events_receiver,
    })
}

impl Shards {
    /// Has a directive carried out by every thread. A session that one of them
    /// has no room for is held by none.
    pub(crate) async fn command(&self, command: Command) -> Result<Result<(), CommandError>, Gone> {
        let assigned = match &command {
            Command::Assign(grant) => Some(grant.session().clone()),
            _ => None,
        };
        let done = self.broadcast(command).await?;
        if let (Err(_), Some(session)) = (&done, assigned) {
            let reason = REFUSED.into();
            let _ = self.broadcast(Command::Revoke { session, reason }).await?;
        }
        Ok(done)
    }

    async fn broadcast(&self, command: Command) -> Result<Result<(), CommandError>, Gone> {
        let mut replies = Vec::with_capacity(self.inboxes.len());
        for inbox in self.inboxes.iter() {
            let (reply, result) = oneshot::channel();
            let message = Message::Command(command.clone(), reply);
            send(inbox, message).await?;
            replies.push(result);
        }
        let mut done = Ok(());
        for reply in replies {
            done = done.and(reply.await.map_err(|_| Gone)?);
        }
        Ok(done)
    }

    /// Asks every thread what is going on.
    pub(crate) async fn snapshot(&self) -> Result<Snapshot, Gone> {
        let mut replies = Vec::with_capacity(self.inboxes.len());
        for inbox in self.inboxes.iter() {
            let (reply, snapshot) = oneshot::channel();
            send(inbox, Message::Snapshot(reply)).await?;
            replies.push(snapshot);
        }
        let mut snapshots = Vec::with_capacity(replies.len());
        for reply in replies {
            snapshots.push(reply.await.map_err(|_| Gone)?);
        }
        Ok(Snapshot::merge(snapshots))
    }

    /// Asks every thread what the next process needs to go on.
    pub(crate) async fn save(&self) -> Result<Vec<Saved>, Gone> {
        let mut replies = Vec::with_capacity(self.inboxes.len());
        for inbox in self.inboxes.iter() {
            let (reply, saved) = oneshot::channel();
            send(inbox, Message::Save(reply)).await?;
            replies.push(saved);
        }
        let mut all = Vec::with_capacity(replies.len());
        for reply in replies {
            all.push(reply.await.map_err(|_| Gone)?);
        }
        Ok(all)
    }

    /// Has good-bye said, and the threads end.
    pub(crate) async fn stop(&self, farewell: Farewell) -> Result<(), Gone> {
        for inbox in self.inboxes.iter() {
            send(inbox, Message::Stop(farewell)).await?;
        }
        Ok(())
    }
}

async fn send(inbox: &Inbox, message: Message) -> Result<(), Gone> {
    inbox.sender.send(message).await.map_err(|_| Gone)?;
    inbox.waker.wake().map_err(|_| Gone)
}
