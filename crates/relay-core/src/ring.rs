//! What a stream keeps of its last seconds, once for all its players.
//!
//! Payloads lie in fixed chunks, in order of arrival. A chunk is used again when
//! its newest packet is older than anybody may ask for; only when none is, and
//! the stream and the node may have more, another chunk is taken. So the ring
//! grows to what rate and latency need in the first second or two and allocates
//! nothing after; what is twice as old as anybody may ask for is given back.
//!
//! All rings of a relay share a budget. Each has two chunks whatever the others
//! took; beyond the budget a ring keeps less than it should, and what is asked
//! for too late is gone.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use srt::Timestamp;

const CHUNK_BYTES: usize = 64 << 10;
const SLOTS_START: usize = 1024;
const SLOTS_MAX: usize = 65_536;

/// Chunks that every ring has, and that the budget cannot refuse.
const CHUNKS_MIN: usize = 2;

/// Chunks that all rings together may have. A relay has one owner: the atomic
/// makes it `Send`, and is touched once a chunk.
#[derive(Debug, Clone)]
pub(crate) struct ChunkBudget {
    taken: Arc<AtomicUsize>,
    chunks_max: usize,
}

impl ChunkBudget {
    pub(crate) fn new(bytes_max: usize) -> Self {
        Self {
            taken: Arc::default(),
            chunks_max: bytes_max / CHUNK_BYTES,
        }
    }

    fn is_used_up(&self) -> bool {
        self.taken.load(Ordering::Relaxed) >= self.chunks_max
    }

    fn take(&self) {
        self.taken.fetch_add(1, Ordering::Relaxed);
    }

    fn give_back(&self, chunks: usize) {
        self.taken.fetch_sub(chunks, Ordering::Relaxed);
    }
}

#[derive(Debug)]
pub(crate) struct Ring {
    slots: Vec<Slot>,
    chunks: Vec<Chunk>,
    /// Chunk numbers, least recently written first; the last is being filled.
    order: VecDeque<u32>,
    /// Chunk numbers without memory.
    spare: Vec<u32>,
    chunks_max: usize,
    budget: ChunkBudget,
    retention: Duration,
}

#[derive(Debug, Clone, Copy)]
struct Slot {
    index: u64,
    generation: u32,
    chunk: u32,
    start: u32,
    length: u32,
    timestamp: Timestamp,
    arrived_at: Instant,
}

#[derive(Debug)]
struct Chunk {
    bytes: Box<[u8]>,
    used: usize,
    generation: u32,
    written_at: Instant,
}

/// A packet of the ring.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Stored<'a> {
    pub(crate) timestamp: Timestamp,
    pub(crate) arrived_at: Instant,
    pub(crate) payload: &'a [u8],
}

impl Ring {
    pub(crate) fn new(bytes_max: usize, budget: ChunkBudget) -> Self {
        Self {
            slots: Vec::new(),
            chunks: Vec::new(),
            order: VecDeque::new(),
            spare: Vec::new(),
            chunks_max: (bytes_max / CHUNK_BYTES).max(CHUNKS_MIN),
            budget,
            retention: Duration::from_secs(1),
        }
    }

    /// Keeps packets at least so long, where the bound on bytes allows it.
    pub(crate) fn keep_for(&mut self, retention: Duration) {
        self.retention = self.retention.max(retention);
    }

    /// How many places back a packet can be at most.
    pub(crate) fn span(&self) -> u64 {
        self.slots.len() as u64
    }

    /// Keeps a packet; payloads longer than a datagram never get here.
    pub(crate) fn insert(
        &mut self,
        now: Instant,
        index: u64,
        timestamp: Timestamp,
        payload: &[u8],
    ) {
        self.make_slot(now, index);
        let chunk = self.chunk_for(now, payload.len());
        let place = self.place(index);
        let store = &mut self.chunks[chunk as usize];
        let start = store.used;
        store.bytes[start..start + payload.len()].copy_from_slice(payload);
        store.used += payload.len();
        store.written_at = now;
        self.slots[place] = Slot {
            index,
            generation: store.generation,
            chunk,
            start: start as u32,
            length: payload.len() as u32,
            timestamp,
            arrived_at: now,
        };
    }

    /// The packet at `index`, if it is still here.
    pub(crate) fn packet(&self, index: u64) -> Option<Stored<'_>> {
        if self.slots.is_empty() {
            return None;
        }
        let slot = &self.slots[self.place(index)];
        let chunk = self.chunks.get(slot.chunk as usize)?;
        if slot.index != index || slot.generation != chunk.generation {
            return None;
        }
        let start = slot.start as usize;
        Some(Stored {
            timestamp: slot.timestamp,
            arrived_at: slot.arrived_at,
            payload: &chunk.bytes[start..start + slot.length as usize],
        })
    }

    fn place(&self, index: u64) -> usize {
        index as usize & (self.slots.len() - 1)
    }

    /// Doubles the table while the packet to be overwritten may be asked for.
    fn make_slot(&mut self, now: Instant, index: u64) {
        if self.slots.is_empty() {
            self.slots = vec![Slot::empty(now); SLOTS_START];
        }
        while self.slots.len() < SLOTS_MAX
            && self.is_wanted(now, self.slots[self.place(index)], index)
        {
            let old = std::mem::take(&mut self.slots);
            self.slots = vec![Slot::empty(now); old.len() * 2];
            for slot in old.into_iter().filter(|slot| slot.index != u64::MAX) {
                let place = self.place(slot.index);
                self.slots[place] = slot;
            }
        }
    }

    fn is_wanted(&self, now: Instant, slot: Slot, index: u64) -> bool {
        slot.index != u64::MAX
            && slot.index != index
            && now.saturating_duration_since(slot.arrived_at) < self.retention
    }

    /// The number of a chunk with room for `length` more bytes.
    fn chunk_for(&mut self, now: Instant, length: usize) -> u32 {
        if let Some(current) = self.order.back().copied()
            && self.chunks[current as usize].used + length <= CHUNK_BYTES
        {
            return current;
        }
        self.give_back_surplus(now);
        let chunk = if self.may_reuse_oldest(now) {
            self.pop_oldest()
        } else {
            self.add_chunk(now)
        };
        self.order.push_back(chunk);
        chunk
    }

    fn may_reuse_oldest(&self, now: Instant) -> bool {
        let chunks = self.order.len();
        let is_full =
            chunks >= self.chunks_max || (chunks >= CHUNKS_MIN && self.budget.is_used_up());
        is_full
            || self
                .oldest_age(now)
                .is_some_and(|age| age >= self.retention)
    }

    fn oldest_age(&self, now: Instant) -> Option<Duration> {
        let oldest = *self.order.front()?;
        let written_at = self.chunks[oldest as usize].written_at;
        Some(now.saturating_duration_since(written_at))
    }

    /// A steady stream uses a chunk again long before it is that old.
    fn give_back_surplus(&mut self, now: Instant) {
        while self.order.len() > CHUNKS_MIN
            && self
                .oldest_age(now)
                .is_some_and(|age| age >= self.retention * 2)
        {
            let chunk = self.pop_oldest();
            self.chunks[chunk as usize].bytes = Box::default();
            self.spare.push(chunk);
            self.budget.give_back(1);
        }
    }

    /// Takes out the least recently written chunk; what was in it is gone.
    fn pop_oldest(&mut self) -> u32 {
        let oldest = self.order.pop_front();
        let oldest = oldest.expect("it was just looked at");
        let chunk = &mut self.chunks[oldest as usize];
        chunk.used = 0;
        chunk.generation = chunk.generation.wrapping_add(1);
        oldest
    }

    fn add_chunk(&mut self, now: Instant) -> u32 {
        self.budget.take();
        let bytes = vec![0; CHUNK_BYTES].into_boxed_slice();
        if let Some(chunk) = self.spare.pop() {
            self.chunks[chunk as usize].bytes = bytes;
            return chunk;
        }
        self.chunks.push(Chunk {
            bytes,
            used: 0,
            generation: 0,
            written_at: now,
        });
        (self.chunks.len() - 1) as u32
    }
}

impl Drop for Ring {
    fn drop(&mut self) {
        self.budget.give_back(self.order.len());
    }
}

impl Slot {
    const fn empty(now: Instant) -> Self {
        Self {
            index: u64::MAX,
            generation: 0,
            chunk: 0,
            start: 0,
            length: 0,
            timestamp: Timestamp(0),
            arrived_at: now,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[allow(
        clippy::disallowed_methods,
        reason = "tests need one instant to count from"
    )]
    fn start() -> Instant {
        Instant::now()
    }

    fn ring(bytes_max: usize) -> Ring {
        Ring::new(bytes_max, ChunkBudget::new(1 << 30))
    }

    /// Fills so many chunks at once.
    fn fill(ring: &mut Ring, now: Instant, chunks: u64) {
        for index in 0..chunks * (CHUNK_BYTES / 1316) as u64 {
            ring.insert(now, index, Timestamp(0), &payload(index));
        }
    }

    #[test]
    fn rings_share_a_budget_and_each_has_its_least() {
        let start = start();
        let budget = ChunkBudget::new(10 * CHUNK_BYTES);
        let mut rings = [(); 3].map(|()| Ring::new(1 << 30, budget.clone()));
        for ring in &mut rings {
            fill(ring, start, 8);
        }
        assert_eq!(rings.each_ref().map(|ring| ring.order.len()), [8, 2, 2]);
        let [first, mut second, third] = rings;
        drop(first);
        fill(&mut second, start, 100);
        assert_eq!(second.order.len(), 8);
        drop((second, third));
        assert_eq!(budget.taken.load(Ordering::Relaxed), 0);
    }

    #[test]
    fn what_a_burst_took_is_given_back() {
        let start = start();
        let mut ring = ring(1 << 30);
        fill(&mut ring, start, 50);
        assert_eq!(ring.order.len(), 50);
        for step in 0..400u64 {
            let now = start + Duration::from_millis(20 * step);
            ring.insert(now, 10_000 + step, Timestamp(0), &payload(step));
        }
        assert!(ring.order.len() <= 4, "{} chunks left", ring.order.len());
        fill(&mut ring, start + Duration::from_secs(8), 20);
        assert!(ring.chunks.len() <= 53, "their numbers are used again");
        assert_eq!(
            ring.packet(900).map(|s| s.payload.to_vec()),
            Some(payload(900))
        );
    }

    fn payload(index: u64) -> Vec<u8> {
        vec![index as u8; 1316]
    }

    #[test]
    fn it_keeps_what_retention_asks_and_forgets_the_rest() {
        let start = start();
        let at = |index: u64| start + Duration::from_millis(index);
        let mut ring = ring(16 << 20);
        for index in 0..5000 {
            ring.insert(at(index), index, Timestamp(index as u32), &payload(index));
            let oldest = index.saturating_sub(999);
            for kept in [oldest, (oldest + index) / 2, index] {
                let stored = ring.packet(kept).expect("kept for a second");
                assert_eq!(stored.payload, payload(kept));
                assert_eq!(stored.timestamp, Timestamp(kept as u32));
            }
        }
        assert!(ring.packet(0).is_none());
        assert!(ring.packet(5000).is_none());
        assert!(
            ring.chunks.len() <= 23,
            "{} chunks for a second",
            ring.chunks.len()
        );
    }

    #[test]
    fn it_never_has_more_than_its_bytes() {
        let start = start();
        let mut ring = ring(256 << 10);
        for index in 0..2000 {
            ring.insert(start, index, Timestamp(0), &payload(index));
        }
        assert_eq!(ring.chunks.len(), 4);
        assert_eq!(
            ring.packet(1999).map(|stored| stored.payload.to_vec()),
            Some(payload(1999))
        );
        assert!(ring.packet(1700).is_none());
    }

    #[test]
    fn late_packets_find_their_place() {
        let start = start();
        let mut ring = ring(1 << 20);
        for index in [1u64, 2, 5, 3, 9, 4] {
            ring.insert(start, index, Timestamp(index as u32), &payload(index));
        }
        for index in [1u64, 2, 3, 4, 5, 9] {
            assert_eq!(
                ring.packet(index).map(|s| s.timestamp),
                Some(Timestamp(index as u32))
            );
        }
        assert!(ring.packet(6).is_none());
    }
}
