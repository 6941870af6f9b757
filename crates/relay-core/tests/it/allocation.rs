//! Nothing is allocated for a packet that is forwarded.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

use testkit::linksim::Impairment;

use crate::caller::Spec;
use crate::forwarding::delayed;
use crate::leases::{live, play};
use crate::world::World;

thread_local! {
    static ALLOCATIONS: Cell<u64> = const { Cell::new(0) };
    static BYTES: Cell<u64> = const { Cell::new(0) };
}

/// How often this thread has asked for memory.
pub(crate) fn allocations() -> u64 {
    ALLOCATIONS.get()
}

/// How many bytes this thread has asked for.
pub(crate) fn allocated_bytes() -> u64 {
    BYTES.get()
}

struct Counting;

// SAFETY: every call goes to the system's allocator unchanged.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        ALLOCATIONS.set(ALLOCATIONS.get() + 1);
        BYTES.set(BYTES.get() + layout.size() as u64);
        // SAFETY: the caller's promise is passed on.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: the caller's promise is passed on.
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static COUNTING: Counting = Counting;

fn allocations_of(path: &Impairment) -> u64 {
    let mut world = World::with_session();
    let spec = Spec {
        latency_ms: 400,
        ..Spec::new(1, live(1))
    };
    let _ = world.publisher(spec, 0, path);
    world.run_ms(1000);
    for host in [2, 3] {
        let _ = world.player(Spec::new(host, play(1)), path);
    }
    // The ring and the queues find their size.
    world.run_ms(5000);
    world.allocations = 0;
    world.run_ms(10_000);
    world.allocations
}

#[test]
fn forwarding_allocates_nothing() {
    assert_eq!(allocations_of(&delayed(5)), 0);
}

#[test]
fn repairing_losses_allocates_nothing() {
    assert_eq!(allocations_of(&delayed(20).with_loss(0.02)), 0);
}
