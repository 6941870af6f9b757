//! The data thread: owns the sockets and the relay, and waits for nothing but
//! the network, the relay's timer and a wake-up.
//!
//! ```text
//! wait ─▶ receive (bounded) ─▶ commands (bounded) ─▶ timer ─▶ send ─▶ report ─▶ wait
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
use relay_core::{Command, CommandError, Event, Relay};
use tokio::sync::{mpsc, oneshot};

use crate::egress::Egress;
use crate::ingress::Batch;
use crate::snapshot::{ReceiveStats, Snapshot};
use crate::sockets::Socket;

/// Receive calls to one socket in one turn: the others get their turn, too.
const RECEIVES_PER_TURN: usize = 8;
/// Messages taken in one turn.
const MESSAGES_PER_TURN: usize = 32;
/// Messages that may wait for the data thread.
const INBOX_LENGTH: usize = 256;
/// Events that may wait for the runtime.
const EVENTS_LENGTH: usize = 4096;
/// Datagrams handled between two drains of the relay.
const DATAGRAMS_PER_DRAIN: usize = 32;
/// How long a stopping node tries to send what it still has.
const FLUSH_MAX: Duration = Duration::from_millis(200);
/// The reason that sessions are cut for when the node stops.
const STOPPING: &str = "node_stopping";

const WAKE: Token = Token(usize::MAX);

/// What the runtime asks of the data thread.
enum Message {
    Command(Command, oneshot::Sender<Result<(), CommandError>>),
    Snapshot(oneshot::Sender<Snapshot>),
    Stop,
}

/// The data thread is gone; the service ends.
#[derive(Debug, Clone, Copy, thiserror::Error)]
#[error("the data thread has ended")]
pub(crate) struct Gone;

/// The runtime's end: asks, and never makes the data thread wait.
#[derive(Clone)]
pub(crate) struct ShardHandle {
    inbox: mpsc::Sender<Message>,
    waker: Arc<Waker>,
}

impl ShardHandle {
    /// Has a directive carried out.
    pub(crate) async fn command(&self, command: Command) -> Result<Result<(), CommandError>, Gone> {
        let (reply, result) = oneshot::channel();
        self.send(Message::Command(command, reply)).await?;
        result.await.map_err(|_| Gone)
    }

    /// Asks what is going on.
    pub(crate) async fn snapshot(&self) -> Result<Snapshot, Gone> {
        let (reply, result) = oneshot::channel();
        self.send(Message::Snapshot(reply)).await?;
        result.await.map_err(|_| Gone)
    }

    /// Has everybody told good-bye, and the thread end.
    pub(crate) async fn stop(&self) -> Result<(), Gone> {
        self.send(Message::Stop).await
    }

    async fn send(&self, message: Message) -> Result<(), Gone> {
        self.inbox.send(message).await.map_err(|_| Gone)?;
        self.waker.wake().map_err(|_| Gone)
    }
}

/// The data thread's state.
pub(crate) struct Shard {
    poll: Poll,
    sockets: Vec<Socket>,
    readable: Vec<bool>,
    relay: Relay,
    inbox: mpsc::Receiver<Message>,
    events: mpsc::Sender<Event>,
    events_dropped: u64,
    batch: Batch,
    egress: Egress,
    receive_stats: ReceiveStats,
    busy: Duration,
    stopping: bool,
    /// Kept alive: a wake-up that is closed before it is seen is lost.
    _waker: Arc<Waker>,
}

impl Shard {
    /// Joins sockets and relay. The events' receiver is for the control plane.
    pub(crate) fn new(
        sockets: Vec<Socket>,
        relay: Relay,
    ) -> io::Result<(Self, ShardHandle, mpsc::Receiver<Event>)> {
        let poll = Poll::new()?;
        for (index, socket) in sockets.iter().enumerate() {
            let fd = socket.as_raw_fd();
            poll.registry()
                .register(&mut SourceFd(&fd), Token(index), Interest::READABLE)?;
        }
        let waker = Arc::new(Waker::new(poll.registry(), WAKE)?);
        let (inbox_sender, inbox) = mpsc::channel(INBOX_LENGTH);
        let (events, events_receiver) = mpsc::channel(EVENTS_LENGTH);
        let shard = Self {
            poll,
            readable: vec![true; sockets.len()],
            sockets,
            relay,
            inbox,
            events,
            events_dropped: 0,
            batch: Batch::new(),
            egress: Egress::new(),
            receive_stats: ReceiveStats::default(),
            busy: Duration::ZERO,
            stopping: false,
            _waker: Arc::clone(&waker),
        };
        Ok((
            shard,
            ShardHandle {
                inbox: inbox_sender,
                waker,
            },
            events_receiver,
        ))
    }

    /// Runs until told to stop.
    pub(crate) fn run(mut self) -> io::Result<()> {
        let mut events = Events::with_capacity(16);
        let mut woke = Instant::now();
        while !self.stopping {
            let wait = self.wait_max(woke);
            self.busy += woke.elapsed();
            if let Err(error) = self.poll.poll(&mut events, wait)
                && error.kind() != io::ErrorKind::Interrupted
            {
                return Err(error);
            }
            woke = Instant::now();
            self.note_ready(&events);
            self.turn();
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

    fn turn(&mut self) {
        for index in 0..self.sockets.len() {
            self.receive(index);
        }
        self.take_messages();
        let now = Instant::now();
        if self.relay.poll_timeout().is_some_and(|due| due <= now) {
            self.relay.handle_timeout(now);
        }
        self.drain();
    }

    fn receive(&mut self, index: usize) {
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
            self.handle_batch(index as u8);
        }
    }

    fn handle_batch(&mut self, socket: u8) {
        if self.batch.trains() == 0 {
            return;
        }
        self.receive_stats.calls += 1;
        let now = Instant::now();
        let mut since_drain = 0;
        for train in 0..self.batch.trains() {
            let (ingress, datagrams) = self.batch.datagrams(train, socket);
            for datagram in datagrams {
                if ingress.peer.port() == 0 {
                    self.receive_stats.unanswerable += 1;
                    continue;
                }
                self.relay.handle_datagram(now, ingress, datagram);
                since_drain += 1;
                if since_drain == DATAGRAMS_PER_DRAIN {
                    since_drain = 0;
                    drain(&mut self.relay, &mut self.egress, &self.sockets);
                }
            }
        }
        self.drain();
    }

    fn take_messages(&mut self) {
        for _ in 0..MESSAGES_PER_TURN {
            match self.inbox.try_recv() {
                Ok(message) => self.handle_message(message),
                Err(mpsc::error::TryRecvError::Empty) => return,
                Err(mpsc::error::TryRecvError::Disconnected) => {
                    self.stopping = true;
                    return;
                }
            }
        }
    }

    fn handle_message(&mut self, message: Message) {
        // Who asked may be gone; then nobody needs the answer.
        match message {
            Message::Command(command, reply) => {
                let _ = reply.send(self.relay.handle_command(Instant::now(), command));
                self.drain();
            }
            Message::Snapshot(reply) => {
                let _ = reply.send(self.snapshot());
            }
            Message::Stop => self.stopping = true,
        }
    }

    fn drain(&mut self) {
        drain(&mut self.relay, &mut self.egress, &self.sockets);
        while let Some(event) = self.relay.poll_event() {
            if self.events.try_send(event).is_err() {
                self.events_dropped += 1;
            }
        }
        self.watch_writable();
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

    fn snapshot(&self) -> Snapshot {
        Snapshot {
            held: self.relay.held(),
            samples: self.relay.samples(Instant::now()),
            counters: self.relay.counters().clone(),
            publishers: self.relay.publishers(),
            players: self.relay.players(),
            busy: self.busy,
            receive: self.receive_stats,
            send: *self.egress.stats(),
            events_dropped: self.events_dropped,
        }
    }

    /// Closes every connection and sends what is left, for a bounded time.
    fn say_goodbye(&mut self) {
        let now = Instant::now();
        // Neither can fail: draining and revoking ask for nothing.
        let _ = self.relay.handle_command(now, Command::Drain(true));
        for held in self.relay.held() {
            let revoke = Command::Revoke {
                session: held.session_id,
                reason: STOPPING.into(),
            };
            let _ = self.relay.handle_command(now, revoke);
        }
        self.drain();
        while now.elapsed() < FLUSH_MAX && self.has_backlog() {
            std::thread::sleep(Duration::from_millis(5));
            for index in 0..self.sockets.len() {
                self.egress.retry(&self.sockets, index as u8);
            }
        }
    }

    fn has_backlog(&self) -> bool {
        (0..self.sockets.len()).any(|index| self.egress.waits_for(index as u8))
    }
}

/// Sends everything the relay has to send.
fn drain(relay: &mut Relay, egress: &mut Egress, sockets: &[Socket]) {
    for transmit in relay.drain_transmits() {
        egress.push(sockets, &transmit);
    }
    egress.flush(sockets);
}
