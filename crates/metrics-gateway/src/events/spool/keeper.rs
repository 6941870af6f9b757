//! The thread that writes: what waits is written together, synced once, and answered.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use model::UnixMillis;
use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore, mpsc, oneshot};
use tokio::task::JoinHandle;

use super::disk::Disk;
use super::frame;
use super::log::{Entry, Log, Sealed};
use crate::events::sink::Failure;
use crate::metrics::spool as metrics;

/// Bytes that wait for the disk.
const WAITING_BYTES_MAX: u32 = 64 << 20;
/// Records that are synced together.
const GROUP_MAX: usize = 1024;

/// The way to the thread; it ends when nobody has one any more.
#[derive(Clone)]
pub(super) struct Keeper {
    commands: mpsc::UnboundedSender<Command>,
    room: Arc<Semaphore>,
    shared: Arc<Shared>,
}

/// What is known of the log without asking.
pub(super) struct Shared {
    bytes_max: u64,
    /// Of records that are kept, or about to be.
    bytes: AtomicU64,
    /// Whether the disk did not take what was given to it last.
    is_failing: AtomicBool,
    /// Something was appended.
    pub(super) appended: Notify,
}

enum Command {
    Append(Append),
    Oldest(oneshot::Sender<io::Result<Option<Sealed>>>),
    Remove(Remove),
}

struct Remove {
    sealed: Sealed,
    is_unread: bool,
    done: oneshot::Sender<io::Result<()>>,
}

struct Append {
    entry: Entry,
    done: oneshot::Sender<Result<(), Failure>>,
    room: OwnedSemaphorePermit,
}

/// The thread's own.
struct Thread<D> {
    log: Log<D>,
    commands: mpsc::UnboundedReceiver<Command>,
    shared: Arc<Shared>,
}

impl Keeper {
    /// Starts the thread, on the runtime that this is called on.
    pub(super) fn start<D: Disk + 'static>(log: Log<D>, bytes_max: u64) -> (Self, JoinHandle<()>) {
        let (commands, receiver) = mpsc::unbounded_channel();
        let shared = Arc::new(Shared {
            bytes_max,
            bytes: AtomicU64::new(log.held().bytes),
            is_failing: AtomicBool::new(false),
            appended: Notify::new(),
        });
        let thread = Thread {
            log,
            commands: receiver,
            shared: shared.clone(),
        };
        let thread = tokio::task::spawn_blocking(|| thread.run());
        let room = Arc::new(Semaphore::new(WAITING_BYTES_MAX as usize));
        let keeper = Self {
            commands,
            room,
            shared,
        };
        (keeper, thread)
    }

    /// Keeps a record for good.
    pub(super) async fn append(&self, came_at: UnixMillis, payload: &[u8]) -> Result<(), Failure> {
        let frame = frame::write(came_at, payload).ok_or(Failure::Unavailable)?;
        let length = u32::try_from(frame.len()).map_err(|_| Failure::Full)?;
        let room = self.room.clone().try_acquire_many_owned(length);
        let room = room.map_err(|_| Failure::Full)?;
        if !self.shared.reserve(length.into()) {
            return Err(Failure::Full);
        }
        let (done, answer) = oneshot::channel();
        let append = Append {
            entry: Entry { came_at, frame },
            done,
            room,
        };
        let sent = self.commands.send(Command::Append(append));
        sent.map_err(|_| Failure::Unavailable)?;
        answer.await.unwrap_or(Err(Failure::Unavailable))
    }

    /// The oldest segment, if there are records.
    pub(super) async fn oldest(&self) -> io::Result<Option<Sealed>> {
        let (done, answer) = oneshot::channel();
        let sent = self.commands.send(Command::Oldest(done));
        sent.map_err(|_| io::ErrorKind::BrokenPipe)?;
        let answer = answer.await;
        answer.unwrap_or_else(|_| Err(io::ErrorKind::BrokenPipe.into()))
    }

    /// Takes a segment away whose records are in the store; one with something `is_unread` is
    /// set aside.
    pub(super) async fn remove(&self, sealed: Sealed, is_unread: bool) -> io::Result<()> {
        let (done, answer) = oneshot::channel();
        let command = Command::Remove(Remove {
            sealed,
            is_unread,
            done,
        });
        let sent = self.commands.send(command);
        sent.map_err(|_| io::ErrorKind::BrokenPipe)?;
        let answer = answer.await;
        answer.unwrap_or_else(|_| Err(io::ErrorKind::BrokenPipe.into()))
    }

    pub(super) fn shared(&self) -> &Arc<Shared> {
        &self.shared
    }
}

impl Shared {
    /// Whether there are records that the store has not.
    pub(super) fn holds_any(&self) -> bool {
        self.bytes.load(Ordering::Acquire) > 0
    }

    /// Whether there is room for as much as a request may bring, and the disk takes it.
    pub(super) fn has_room(&self, bytes: u64) -> bool {
        let held = self.bytes.load(Ordering::Acquire);
        held.saturating_add(bytes) <= self.bytes_max && !self.is_failing.load(Ordering::Acquire)
    }

    fn reserve(&self, bytes: u64) -> bool {
        let more = |held: u64| held.checked_add(bytes).filter(|sum| *sum <= self.bytes_max);
        let reserved = self
            .bytes
            .fetch_update(Ordering::AcqRel, Ordering::Acquire, more);
        reserved.is_ok()
    }

    fn release(&self, bytes: u64) {
        self.bytes.fetch_sub(bytes, Ordering::AcqRel);
    }
}

impl<D: Disk> Thread<D> {
    fn run(mut self) {
        self.show();
        while let Some(first) = self.commands.blocking_recv() {
            let mut group = Vec::new();
            let mut next = Some(first);
            while let Some(command) = next {
                match command {
                    Command::Append(append) => group.push(append),
                    Command::Oldest(done) => {
                        let _ = done.send(self.log.oldest());
                    }
                    Command::Remove(remove) => self.remove(remove),
                }
                next = match group.len() {
                    GROUP_MAX.. => None,
                    _ => self.commands.try_recv().ok(),
                };
            }
            self.append(group);
            self.show();
        }
    }

    /// Appends all of a group, and answers.
    fn append(&mut self, group: Vec<Append>) {
        if group.is_empty() {
            return;
        }
        let (entries, waiting): (Vec<Entry>, Vec<_>) = group
            .into_iter()
            .map(|append| (append.entry, (append.done, append.room)))
            .unzip();
        let result = self.write(&entries);
        for (done, _room) in waiting {
            // Whoever gave up waiting sends it again.
            let _ = done.send(result);
        }
    }

    fn write(&mut self, entries: &[Entry]) -> Result<(), Failure> {
        let before = self.log.held().bytes;
        let result = self.log.append(entries);
        let Err(error) = result else {
            metrics::appended(entries.len());
            self.shared.is_failing.store(false, Ordering::Release);
            self.shared.appended.notify_one();
            return Ok(());
        };
        tracing::error!(%error, "the spool cannot be written");
        let reserved: u64 = entries.iter().map(|entry| entry.frame.len() as u64).sum();
        // Some of it may be there all the same, and is replayed.
        let there = self.log.held().bytes.saturating_sub(before);
        if there > 0 {
            self.shared.appended.notify_one();
        }
        self.shared.is_failing.store(true, Ordering::Release);
        self.shared.release(reserved.saturating_sub(there));
        Err(Failure::Unavailable)
    }

    fn remove(&mut self, remove: Remove) {
        let removed = self.log.remove(&remove.sealed, remove.is_unread);
        let result = removed.map(|bytes| self.shared.release(bytes));
        let _ = remove.done.send(result);
    }

    fn show(&self) {
        metrics::held(self.log.held());
    }
}
