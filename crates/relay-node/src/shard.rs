//! A data thread: owns its sockets and its relay, and waits for nothing but the
//! network, the relay's timer and a wake-up. A node has one for each core.
//!
//! ```text
//! wait ─▶ receive (bounded) ─▶ messages (bounded) ─▶ timer ─▶ send ─▶ report ─▶ wait
//! ```
//!
//! Waiting is `mio`: the poller that tokio already brings, with a portable
//! wake-up, and edge-triggered, so that an idle socket costs nothing.

use std::io;
use std::os::fd::AsRawFd;
use std::sync::Arc;
use std::time::{Duration, Instant};

use mio::unix::SourceFd;
use mio::{Events, Interest, Poll, Token, Waker};
use model::telemetry::ForwardDelay;
use nix::sys::prctl::set_timerslack;
use relay_core::{Command, CommandError, Event, Handover, KeyWorkDone, Relay, Saved};
use tokio::sync::{mpsc, oneshot};

use crate::egress::Egress;
use crate::ingress::Batch;
use crate::key_worker::KeyWorker;
use crate::pace::Pace;
use crate::snapshot::{ReceiveStats, Snapshot};
use crate::sockets::Socket;

/// Receive calls to one socket in one turn: the others get their turn, too.
const RECEIVES_PER_TURN: usize = 8;
/// Messages taken in one turn.
const MESSAGES_PER_TURN: usize = 256;
/// Messages that may wait for a data thread.
const INBOX_LENGTH: usize = 4096;
/// Datagrams queued by the relay that are sent before more are received.
const TRANSMITS_PER_DRAIN: usize = 512;
/// Pauses are shorter than the 50 µs by which timers are late otherwise.
const TIMER_SLACK_NS: u64 = 1000;
/// How long a stopping node tries to send what it still has.
const FLUSH_MAX: Duration = Duration::from_millis(200);
/// The reason that sessions are cut for when the node stops.
const STOPPING: &str = "node_stopping";

const WAKE: Token = Token(usize::MAX);

/// What a data thread is told.
pub(crate) enum Message {
    /// Carry out a directive.
    Command(Command, oneshot::Sender<Result<(), CommandError>>),
    /// Say what is going on.
    Snapshot(oneshot::Sender<Snapshot>),
    /// Take what another thread has for this one.
    Handover(Handover),
    /// Take keys that were derived elsewhere.
    KeyWork(Box<KeyWorkDone>),
    /// Say what the next process needs to go on.
    Save(oneshot::Sender<Saved>),
    /// Tell those good-bye whom the next process will not know, and end.
    Stop(Farewell),
}

/// Whom a stopping node tells good-bye.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Farewell {
    /// Everybody: the node does not come back.
    All,
    /// All whose connections are not saved.
    Unsaved,
}

/// A data thread's letter box.
#[derive(Clone)]
pub(crate) struct Inbox {
    pub(crate) sender: mpsc::Sender<Message>,
    pub(crate) waker: Arc<Waker>,
}

/// What a data thread has before its sockets: others can write to it already.
pub(crate) struct Mailbox {
    poll: Poll,
    receiver: mpsc::Receiver<Message>,
    pub(crate) inbox: Inbox,
}

impl Mailbox {
    pub(crate) fn new() -> io::Result<Self> {
        let poll = Poll::new()?;
        let waker = Arc::new(Waker::new(poll.registry(), WAKE)?);
        let (sender, receiver) = mpsc::channel(INBOX_LENGTH);
        let inbox = Inbox { sender, waker };
        Ok(Self {
            poll,
            receiver,
            inbox,
        })
    }
}

/// A data thread's state.
pub(crate) struct Shard {
    poll: Poll,
    sockets: Vec<Socket>,
    readable: Vec<bool>,
    relay: Relay,
    inbox: mpsc::Receiver<Message>,
    /// All of the node, this one among them, in order.
    inboxes: Vec<Inbox>,
    /// This one's place among them.
    index: usize,
    key_worker: KeyWorker,
    events: mpsc::Sender<Event>,
    events_dropped: u64,
    batch: Batch,
    egress: Egress,
    pace: Pace,
    /// Datagrams taken in this turn.
    taken: usize,
    receive_stats: ReceiveStats,
    busy: Duration,
    delay: ForwardDelay,
    stopping: Option<Farewell>,
}

/// What a data thread is made of.
pub(crate) struct Parts {
    pub(crate) mailbox: Mailbox,
    pub(crate) inboxes: Vec<Inbox>,
    pub(crate) index: usize,
    pub(crate) key_worker: KeyWorker,
    pub(crate) sockets: Vec<Socket>,
    pub(crate) relay: Relay,
    pub(crate) events: mpsc::Sender<Event>,
    /// The longest pause to let datagrams gather.
    pub(crate) pause_max: Duration,
}

impl Shard {
    pub(crate) fn new(parts: Parts) -> io::Result<Self> {
        let Mailbox { poll, receiver, .. } = parts.mailbox;
        for (index, socket) in parts.sockets.iter().enumerate() {
            let fd = socket.as_raw_fd();
            poll.registry()
                .register(&mut SourceFd(&fd), Token(index), Interest::READABLE)?;
        }
        Ok(Self {
            poll,
            readable: vec![true; parts.sockets.len()],
            sockets: parts.sockets,
            relay: parts.relay,
            inbox: receiver,
            inboxes: parts.inboxes,
            index: parts.index,
            key_worker: parts.key_worker,
            events: parts.events,
            events_dropped: 0,
            batch: Batch::new(),
            egress: Egress::default(),
            pace: Pace::new(parts.pause_max, Instant::now()),
            taken: 0,
            receive_stats: ReceiveStats::default(),
            busy: Duration::ZERO,
            delay: ForwardDelay::default(),
            stopping: None,
        })
    }

    /// Runs until told to stop.
    pub(crate) fn run(mut self) -> io::Result<()> {
        if let Err(error) = set_timerslack(TIMER_SLACK_NS) {
            tracing::debug!(%error, "pauses are as coarse as the system's timers");
        }
        let mut events = Events::with_capacity(16);
        let mut woke = Instant::now();
        // The pause before this turn: what the turn takes may have come at its beginning.
        let mut gathered = Duration::ZERO;
        while self.stopping.is_none() {
            let wait = self.wait_max(woke);
            let pause = self.pace.next(woke, self.taken);
            let worked = woke.elapsed();
            self.busy += worked;
            self.delay.record(gathered + worked, self.taken as u64);
            let (paused, wait) = gather(pause, wait);
            gathered = paused;
            if let Err(error) = self.poll.poll(&mut events, wait)
                && error.kind() != io::ErrorKind::Interrupted
            {
                return Err(error);
            }
            woke = Instant::now();
            self.note_ready(&events);
            self.turn(woke);
        }
        self.say_goodbye();
        Ok(())
    }

    /// How long there is nothing to do unless the network calls.
    fn wait_max(&self, now: Instant) -> Option<Duration> {
        if self.readable.contains(&true) || !self.inbox.is_empty() {
            return Some(Duration::ZERO);
        }
        let due = self.relay.poll_timeout()?;
        Some(due.saturating_duration_since(now))
    }

    fn note_ready(&mut self, events: &Events) {
        for event in events {
            let Token(index) = event.token();
            if event.token() == WAKE {
                continue;
            }
            if event.is_readable() {
                self.readable[index] = true;
            }
            if event.is_writable() {
                self.retry(index);
            }
        }
    }

    fn turn(&mut self, now: Instant) {
        self.taken = 0;
        for index in 0..self.sockets.len() {
            self.receive(now, index);
        }
        self.take_messages(now);
        if self.relay.poll_timeout().is_some_and(|due| due <= now) {
            self.relay.handle_timeout(now);
        }
        self.drain();
    }

    fn receive(&mut self, now: Instant, index: usize) {
        for _ in 0..RECEIVES_PER_TURN {
            if !self.readable[index] {
                return;
            }
            match self.batch.receive(&self.sockets[index]) {
                Ok(more) => self.readable[index] = more,
                // Such an error is about one datagram; the next one that comes
                // makes the socket readable again.
                Err(_) => {
                    self.receive_stats.errors += 1;
                    self.readable[index] = false;
                    return;
                }
            }
            self.handle_batch(now, index as u8);
        }
    }

    fn handle_batch(&mut self, now: Instant, socket: u8) {
        if self.batch.trains() == 0 {
            return;
        }
        self.receive_stats.calls += 1;
        for train in 0..self.batch.trains() {
            let (ingress, datagrams) = self.batch.datagrams(train, socket);
            for datagram in datagrams {
                self.taken += 1;
                if ingress.peer.port() == 0 {
                    self.receive_stats.unanswerable += 1;
                    continue;
                }
                self.relay.handle_datagram(now, ingress, datagram);
                if self.relay.queued_transmits() >= TRANSMITS_PER_DRAIN {
                    let drained = self.relay.drain_transmits();
                    self.egress.send(&self.sockets, drained);
                }
            }
        }
    }

    fn take_messages(&mut self, now: Instant) {
        for _ in 0..MESSAGES_PER_TURN {
            match self.inbox.try_recv() {
                Ok(message) => self.handle_message(now, message),
                Err(mpsc::error::TryRecvError::Empty) => return,
                Err(mpsc::error::TryRecvError::Disconnected) => {
                    self.stopping = Some(Farewell::All);
                    return;
                }
            }
        }
    }

    fn handle_message(&mut self, now: Instant, message: Message) {
        // Who asked may be gone; then nobody needs the answer.
        match message {
            Message::Command(command, reply) => {
                let _ = reply.send(self.relay.handle_command(now, command));
                self.drain();
            }
            Message::Snapshot(reply) => {
                let _ = reply.send(self.snapshot());
            }
            Message::Handover(handover) => self.relay.handle_handover(now, handover),
            Message::KeyWork(done) => self.relay.handle_key_work(now, *done),
            Message::Save(reply) => {
                let _ = reply.send(self.relay.save(now));
            }
            Message::Stop(farewell) => self.stopping = Some(farewell),
        }
    }

    /// Sends and reports everything that the relay has.
    fn drain(&mut self) {
        let drained = self.relay.drain_transmits();
        self.egress.send(&self.sockets, drained);
        while let Some(event) = self.relay.poll_event() {
            if self.events.try_send(event).is_err() {
                self.events_dropped += 1;
            }
        }
        self.hand_over();
        self.give_key_work();
        self.watch_writable();
    }

    /// Gives others what is theirs; each of them is woken once.
    fn hand_over(&mut self) {
        let mut given = 0u64;
        while let Some(handover) = self.relay.poll_handover() {
            let shard = usize::from(handover.shard);
            let message = Message::Handover(handover);
            match self.inboxes[shard].sender.try_send(message) {
                Ok(()) => given |= 1 << shard,
                Err(_) => self.receive_stats.handovers_dropped += 1,
            }
        }
        for (shard, inbox) in self.inboxes.iter().enumerate() {
            if given & 1 << shard != 0 {
                // It fails when that thread has ended, and the node with it.
                let _ = inbox.waker.wake();
            }
        }
    }

    /// Has keys derived elsewhere. What there is no room for the relay forgets
    /// in time, and the caller asks again.
    fn give_key_work(&mut self) {
        while let Some(work) = self.relay.poll_key_work() {
            let inbox = self.inboxes[self.index].clone();
            if !self.key_worker.give(work, inbox) {
                self.receive_stats.key_work_dropped += 1;
            }
        }
    }

    /// Asks to be told when a full socket takes datagrams again. Otherwise each
    /// datagram sent would wake the thread.
    fn watch_writable(&self) {
        for (index, socket) in self.sockets.iter().enumerate() {
            if self.egress.waits_for(index as u8) {
                self.register(index, socket, Interest::READABLE | Interest::WRITABLE);
            }
        }
    }

    fn retry(&mut self, index: usize) {
        self.egress.retry(&self.sockets, index as u8);
        if !self.egress.waits_for(index as u8) {
            self.register(index, &self.sockets[index], Interest::READABLE);
        }
    }

    fn register(&self, index: usize, socket: &Socket, interest: Interest) {
        let fd = socket.as_raw_fd();
        self.poll
            .registry()
            .reregister(&mut SourceFd(&fd), Token(index), interest)
            .expect("a registered socket can be registered anew");
    }

    fn snapshot(&mut self) -> Snapshot {
        Snapshot {
            held: self.relay.held(),
            samples: self.relay.samples(Instant::now()),
            counters: self.relay.counters().clone(),
            publishers: self.relay.publishers(),
            players: self.relay.players(),
            groups: self.relay.groups(),
            links: self.relay.links(),
            srtla: *self.relay.srtla_counters(),
            busy: vec![self.busy],
            delay: self.delay,
            receive: ReceiveStats {
                kernel_drops: self.sockets.iter().map(Socket::kernel_drops).sum(),
                ..self.receive_stats
            },
            send: *self.egress.stats(),
            events_dropped: self.events_dropped,
        }
    }

    /// Closes connections and sends what is left, for a bounded time.
    fn say_goodbye(&mut self) {
        let now = Instant::now();
        match self.stopping {
            Some(Farewell::Unsaved) => self.relay.leave(now),
            Some(Farewell::All) | None => self.revoke_all(now),
        }
        self.drain();
        while now.elapsed() < FLUSH_MAX && self.has_backlog() {
            std::thread::sleep(Duration::from_millis(5));
            for index in 0..self.sockets.len() {
                self.egress.retry(&self.sockets, index as u8);
            }
        }
    }

    fn revoke_all(&mut self, now: Instant) {
        // Neither can fail: draining and revoking ask for nothing.
        let _ = self.relay.handle_command(now, Command::Drain(true));
        for held in self.relay.held() {
            let revoke = Command::Revoke {
                session: held.session_id,
                reason: STOPPING.into(),
            };
            let _ = self.relay.handle_command(now, revoke);
        }
    }

    fn has_backlog(&self) -> bool {
        (0..self.sockets.len()).any(|index| self.egress.waits_for(index as u8))
    }
}

/// Lets datagrams gather. Returns for how long, and how long to wait for the first one
/// then: not at all after a pause.
fn gather(pause: Option<Duration>, wait: Option<Duration>) -> (Duration, Option<Duration>) {
    let Some(pause) = pause else {
        return (Duration::ZERO, wait);
    };
    let pause = wait.map_or(pause, |wait| wait.min(pause));
    if !pause.is_zero() {
        std::thread::sleep(pause);
    }
    (pause, Some(Duration::ZERO))
}
