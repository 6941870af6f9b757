//! The table of connections: who is behind a socket id.

use std::collections::{BTreeMap, HashMap};
use std::hash::{BuildHasherDefault, Hasher};
use std::net::SocketAddr;
use std::time::Instant;

use lease::Kid;
use model::session::Role;
use model::{SessionId, UnixMillis};
use siphasher::sip::SipHasher24;
use srt::listener::Reply;
use srt::{Seq, SocketId};

use crate::ended::Ended;
use crate::shard::Shard;
use crate::slab::Slab;
use crate::sources::SourceCounts;

/// Socket ids have 30 bits: the next one would mean a socket group to libsrt.
const SOCKET_ID_MASK: u64 = 0x3fff_ffff;

/// What a connection request is known by when it is sent again.
pub(crate) type Caller = (SocketAddr, SocketId);

#[derive(Debug)]
pub(crate) struct Connection {
    pub(crate) socket_id: SocketId,
    /// What it is known by; its address is its group's stand-in when it has one.
    pub(crate) caller: Caller,
    /// Where it called from.
    pub(crate) source: SocketAddr,
    pub(crate) isn: Seq,
    /// The stream's number.
    pub(crate) stream: u32,
    pub(crate) leg: Leg,
    pub(crate) session: SessionId,
    /// The lease that the caller brought itself.
    pub(crate) own_lease: Option<OwnLease>,
    /// When the lease ends under which it outlived a restart: in force until its
    /// session is assigned again.
    pub(crate) resumed_until: Option<UnixMillis>,
    /// The answer to its conclusion, which it may not have got; `None` when it is
    /// we who called, or when it outlived a restart.
    pub(crate) reply: Option<Reply>,
    /// The remote that we called, while it is the session's.
    pub(crate) dial: Option<u32>,
}

impl Connection {
    /// When the lease that it lives on alone is over.
    pub(crate) fn lease_end(&self) -> Option<UnixMillis> {
        let own = self.own_lease.as_ref().map(|lease| lease.end);
        own.or(self.resumed_until)
    }

    /// Whether it is we who called.
    pub(crate) const fn is_ours(&self) -> bool {
        self.reply.is_none() && self.resumed_until.is_none()
    }

    /// Whether we made it for a remote that is the session's no more.
    pub(crate) const fn is_withdrawn(&self) -> bool {
        self.is_ours() && self.dial.is_none()
    }
}

/// What a connection lives on whose caller brought its own lease.
#[derive(Debug, Clone)]
pub(crate) struct OwnLease {
    /// Which key signed it.
    pub(crate) kid: Kid,
    /// When it is over.
    pub(crate) end: UnixMillis,
}

/// Which end of a stream a connection is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Leg {
    Publisher,
    /// With its place among the stream's players.
    Player(u32),
}

impl Leg {
    pub(crate) const fn role(self) -> Role {
        match self {
            Self::Publisher => Role::Publish,
            Self::Player(_) => Role::Play,
        }
    }
}

#[derive(Debug)]
pub(crate) struct Connections {
    table: Slab<Connection>,
    by_id: HashMap<u32, u32, BuildHasherDefault<IdHasher>>,
    by_caller: BTreeMap<Caller, u32>,
    sources: SourceCounts,
    ended: Ended,
    id_key: [u8; 16],
    ids_made: u64,
    shard: Shard,
}

/// Socket ids are random already, and only ours are keys.
#[derive(Debug, Default)]
struct IdHasher(u64);

impl Hasher for IdHasher {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0 = self.0 << 8 | u64::from(*byte);
        }
    }

    /// The table takes its control bits from the top, its place from the bottom.
    fn write_u32(&mut self, id: u32) {
        self.0 = u64::from(id).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    }
}

impl Connections {
    pub(crate) fn new(id_key: [u8; 16], shard: Shard) -> Self {
        Self {
            table: Slab::new(),
            by_id: HashMap::default(),
            by_caller: BTreeMap::new(),
            sources: SourceCounts::new(),
            ended: Ended::default(),
            id_key,
            ids_made: 0,
            shard,
        }
    }

    pub(crate) fn len(&self) -> usize {
        self.table.len()
    }

    /// How many there are from the source of `peer`.
    pub(crate) fn count_from(&self, peer: SocketAddr) -> u32 {
        self.sources.of(peer)
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (u32, &Connection)> {
        self.table.iter()
    }

    pub(crate) fn connection(&self, key: u32) -> Option<&Connection> {
        self.table.item(key)
    }

    pub(crate) fn connection_mut(&mut self, key: u32) -> Option<&mut Connection> {
        self.table.item_mut(key)
    }

    /// Who has this socket id.
    pub(crate) fn find(&self, id: SocketId) -> Option<(u32, &Connection)> {
        let key = *self.by_id.get(&id.0)?;
        Some((key, self.table.item(key)?))
    }

    /// Whose connection request this was before.
    pub(crate) fn find_caller(&self, caller: Caller) -> Option<u32> {
        self.by_caller.get(&caller).copied()
    }

    /// A connection of this address; of a group's stand-in, what it carries.
    pub(crate) fn any_from(&self, address: SocketAddr) -> Option<u32> {
        let all = (address, SocketId(0))..=(address, SocketId(u32::MAX));
        self.by_caller.range(all).next().map(|(_, key)| *key)
    }

    /// Whether a connection was made with this first sequence number.
    pub(crate) fn is_same(&self, key: u32, isn: Seq) -> bool {
        self.connection(key)
            .is_some_and(|connection| connection.isn == isn)
    }

    /// Whether this request made a connection that has ended.
    pub(crate) fn has_ended(&self, caller: Caller, isn: Seq) -> bool {
        self.ended.contains(caller, isn)
    }

    /// An id that nobody has and nobody can guess.
    pub(crate) fn make_id(&mut self) -> SocketId {
        loop {
            let mut hasher = SipHasher24::new_with_key(&self.id_key);
            hasher.write_u16(self.shard.index());
            hasher.write_u64(self.ids_made);
            self.ids_made += 1;
            let random = SocketId((hasher.finish() & SOCKET_ID_MASK) as u32);
            let id = self.shard.own_socket(random);
            let is_plain = u64::from(id.0) <= SOCKET_ID_MASK && id != SocketId::LISTENER;
            if is_plain && !self.by_id.contains_key(&id.0) {
                return id;
            }
        }
    }

    pub(crate) fn insert(&mut self, connection: Connection) -> u32 {
        let (id, caller) = (connection.socket_id, connection.caller);
        let source = connection.source;
        // Whom we call ourselves takes no place of a source that calls us.
        let is_ours = connection.is_ours();
        let key = self.table.insert(connection);
        self.by_id.insert(id.0, key);
        self.by_caller.insert(caller, key);
        if !is_ours {
            self.sources.add(source);
        }
        key
    }

    pub(crate) fn remove(&mut self, key: u32, now: Instant) -> Option<Connection> {
        let connection = self.table.remove(key)?;
        self.by_id.remove(&connection.socket_id.0);
        if !connection.is_ours() {
            self.sources.remove(connection.source);
        }
        if self.by_caller.get(&connection.caller) == Some(&key) {
            self.by_caller.remove(&connection.caller);
        }
        self.ended.insert(now, connection.caller, connection.isn);
        Some(connection)
    }
}
