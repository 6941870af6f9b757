//! The table of remotes that this relay is to call, and where each attempt is.

use std::collections::BTreeMap;
use std::hash::Hasher;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use model::{SessionId, StreamId};
use siphasher::sip::SipHasher24;
use srt::SocketId;
use srt::caller::Caller;

use crate::key_work::Unwrapped;
use crate::remote::{Direction, Remote};
use crate::shard::Shard;
use crate::slab::Slab;
use crate::timers::Timers;

/// The first wait after a failure is at most this.
const BACKOFF_MIN: Duration = Duration::from_secs(1);
/// No wait is longer. A connection that lived so long forgets its failures.
const BACKOFF_MAX: Duration = Duration::from_secs(30);

/// One remote of one session.
#[derive(Debug)]
pub(crate) struct Dial {
    pub(crate) session: SessionId,
    pub(crate) stream: StreamId,
    pub(crate) direction: Direction,
    pub(crate) remote: Remote,
    pub(crate) state: State,
    failures: u32,
}

/// Where the attempt to reach a remote is.
#[derive(Debug)]
pub(crate) enum State {
    /// There is nothing to call for: the stream has its publisher already, or,
    /// for a push, has none.
    Standby,
    /// The next attempt starts at the dial's timer.
    Waiting,
    /// The owner looks for the address.
    LookingUp { attempt: u64 },
    /// The keys are derived that this address is called with.
    Deriving { attempt: u64, to: SocketAddr },
    /// The remote is being called.
    Calling(Box<Call>),
    /// It agreed; this is the connection's number.
    Connected { connection: u32, since: Instant },
}

/// A call under way.
#[derive(Debug)]
pub(crate) struct Call {
    pub(crate) caller: Caller,
    pub(crate) clock: CallClock,
    /// What the connection will be encrypted with.
    pub(crate) keys: Option<Unwrapped>,
}

/// The clock that a call's requests are stamped with.
#[derive(Debug, Clone, Copy)]
pub(crate) enum CallClock {
    /// Of a connection that only receives: its own, from its start.
    Own(Instant),
    /// Of a connection that will send this stream: the remote's time base
    /// begins with the handshake, so it is already the data's.
    Stream {
        /// The stream's number.
        stream: u32,
        /// From the stream's timeline to the connection's.
        offset_us: i64,
    },
}

impl Dial {
    pub(crate) const fn new(
        session: SessionId,
        stream: StreamId,
        direction: Direction,
        remote: Remote,
    ) -> Self {
        Self {
            session,
            stream,
            direction,
            remote,
            state: State::Standby,
            failures: 0,
        }
    }

    /// The call under way.
    pub(crate) fn call(&self) -> Option<&Call> {
        match &self.state {
            State::Calling(call) => Some(call),
            _ => None,
        }
    }

    /// The same, to go on with it.
    pub(crate) fn call_mut(&mut self) -> Option<&mut Call> {
        match &mut self.state {
            State::Calling(call) => Some(call),
            _ => None,
        }
    }

    /// Notes a failure, or the end of a connection that `lived`; says how long
    /// to wait. `roll` spreads those that failed together.
    fn back_off(&mut self, lived: Duration, roll: u32) -> Duration {
        if lived >= BACKOFF_MAX {
            self.failures = 0;
        }
        let longest = BACKOFF_MIN * (1 << self.failures.min(5));
        self.failures = self.failures.saturating_add(1);
        let half = longest.min(BACKOFF_MAX) / 2;
        half + half.mul_f64(f64::from(roll) / f64::from(u32::MAX))
    }
}

#[derive(Debug)]
pub(crate) struct Dials {
    table: Slab<Dial>,
    by_socket: BTreeMap<SocketId, u32>,
    timers: Timers,
    roll_key: [u8; 16],
    shard: Shard,
    rolls: u64,
    attempts: u64,
}

impl Dials {
    pub(crate) fn new(roll_key: [u8; 16], shard: Shard) -> Self {
        Self {
            table: Slab::new(),
            by_socket: BTreeMap::new(),
            timers: Timers::default(),
            roll_key,
            shard,
            rolls: 0,
            attempts: 0,
        }
    }

    pub(crate) fn dial(&self, key: u32) -> Option<&Dial> {
        self.table.item(key)
    }

    pub(crate) fn dial_mut(&mut self, key: u32) -> Option<&mut Dial> {
        self.table.item_mut(key)
    }

    /// Adds a dial whose first attempt is due at once.
    pub(crate) fn add(&mut self, now: Instant, dial: Dial) {
        let key = self.table.insert(dial);
        self.wait_until(key, now);
    }

    pub(crate) fn remove(&mut self, key: u32) -> Option<Dial> {
        let dial = self.table.remove(key)?;
        if let State::Calling(call) = &dial.state {
            self.by_socket.remove(&call.caller.socket_id());
        }
        self.timers.set(key, None);
        Some(dial)
    }

    /// The dials of a session.
    pub(crate) fn of_session(&self, session: &SessionId) -> Vec<u32> {
        self.keys_where(|dial| dial.session == *session)
    }

    /// Lets the dials look again that wait for something to happen to a stream.
    pub(crate) fn wake_all_for(&mut self, now: Instant, stream: &StreamId) {
        for key in self.keys_where(|dial| dial.stream == *stream) {
            self.wake(now, key);
        }
    }

    /// Lets a dial look again if it is on standby.
    pub(crate) fn wake(&mut self, now: Instant, key: u32) {
        let state = self.table.item(key).map(|dial| &dial.state);
        if matches!(state, Some(State::Standby)) {
            self.wait_until(key, now);
        }
    }

    /// The calls that would send the stream of this number.
    pub(crate) fn calls_for(&self, number: u32) -> Vec<u32> {
        self.keys_where(|dial| match &dial.state {
            State::Calling(call) => {
                matches!(call.clock, CallClock::Stream { stream, .. } if stream == number)
            }
            _ => false,
        })
    }

    fn keys_where(&self, is_meant: impl Fn(&Dial) -> bool) -> Vec<u32> {
        let meant = self.table.iter().filter(|(_, dial)| is_meant(dial));
        meant.map(|(key, _)| key).collect()
    }

    /// Who waits for an answer to this socket.
    pub(crate) fn by_socket(&self, socket: SocketId) -> Option<u32> {
        self.by_socket.get(&socket).copied()
    }

    /// Who waits for this attempt's address.
    pub(crate) fn by_lookup(&self, session: &SessionId, wanted: u64) -> Option<u32> {
        self.find(session, |state| match state {
            State::LookingUp { attempt } => (*attempt == wanted).then_some(()),
            _ => None,
        })
        .map(|(key, ())| key)
    }

    /// Who waits for this attempt's keys, and where it will call with them.
    pub(crate) fn by_key_work(
        &self,
        session: &SessionId,
        wanted: u64,
    ) -> Option<(u32, SocketAddr)> {
        self.find(session, |state| match state {
            State::Deriving { attempt, to } => (*attempt == wanted).then_some(*to),
            _ => None,
        })
    }

    /// The session's dial whose state has something of what is looked for.
    fn find<T>(&self, session: &SessionId, look: impl Fn(&State) -> Option<T>) -> Option<(u32, T)> {
        let mut own = self
            .table
            .iter()
            .filter(|(_, dial)| dial.session == *session);
        own.find_map(|(key, dial)| Some((key, look(&dial.state)?)))
    }

    /// A number that no attempt of the node had before.
    pub(crate) fn next_attempt(&mut self) -> u64 {
        self.attempts += 1;
        self.attempts * u64::from(self.shard.count()) + u64::from(self.shard.index())
    }

    /// Moves a dial on; `at` is when it is due.
    pub(crate) fn set_state(&mut self, key: u32, state: State, at: Option<Instant>) {
        let Some(dial) = self.table.item_mut(key) else {
            return;
        };
        if let State::Calling(call) = &dial.state {
            self.by_socket.remove(&call.caller.socket_id());
        }
        if let State::Calling(call) = &state {
            self.by_socket.insert(call.caller.socket_id(), key);
        }
        dial.state = state;
        self.timers.set(key, at);
    }

    pub(crate) fn set_timer(&mut self, key: u32, at: Option<Instant>) {
        self.timers.set(key, at);
    }

    pub(crate) fn wait_until(&mut self, key: u32, at: Instant) {
        self.set_state(key, State::Waiting, Some(at));
    }

    /// Lets a dial wait after a failure, or after a connection that `lived`.
    pub(crate) fn back_off(&mut self, now: Instant, key: u32, lived: Duration) {
        let roll = self.roll();
        if let Some(dial) = self.table.item_mut(key) {
            let at = now + dial.back_off(lived, roll);
            self.wait_until(key, at);
        }
    }

    /// A number that nobody can guess.
    pub(crate) fn roll(&mut self) -> u32 {
        let mut hasher = SipHasher24::new_with_key(&self.roll_key);
        hasher.write_u16(self.shard.index());
        hasher.write_u64(self.rolls);
        self.rolls += 1;
        hasher.finish() as u32
    }

    pub(crate) fn poll_timeout(&self) -> Option<Instant> {
        self.timers.next()
    }

    pub(crate) fn pop_due(&mut self, now: Instant) -> Option<u32> {
        self.timers.pop_due(now)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn dial() -> Dial {
        let remote = Remote {
            host: "relay.example".into(),
            port: 9000,
            stream_id: None,
            latency: Duration::ZERO,
            secret: None,
        };
        let session = SessionId::parse("ses_1").unwrap();
        let stream = StreamId::parse("str_1").unwrap();
        Dial::new(session, stream, Direction::Pull, remote)
    }

    #[test]
    fn waits_double_up_to_a_bound_and_are_spread() {
        let seconds = |roll| {
            let mut dial = dial();
            let waits = (0..8).map(|_| dial.back_off(Duration::ZERO, roll).as_secs_f64());
            waits.collect::<Vec<_>>()
        };
        let shortest = [0.5, 1.0, 2.0, 4.0, 8.0, 15.0, 15.0, 15.0];
        assert_eq!(seconds(0), shortest);
        assert_eq!(seconds(u32::MAX), shortest.map(|wait| wait * 2.0));
    }

    #[test]
    fn a_long_connection_forgets_its_failures() {
        let mut dial = dial();
        for _ in 0..5 {
            dial.back_off(Duration::ZERO, 0);
        }
        let wait = dial.back_off(BACKOFF_MAX, 0);
        assert_eq!(wait, BACKOFF_MIN / 2);
    }
}
