//! Leaders and slots.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use model::clock::Clock;
use storage::queue::{Lead, Occurrence, SlotJob};

use super::*;

const TERM: Duration = Duration::from_secs(10);

/// A clock that is moved by hand.
#[derive(Clone)]
struct Wall(Arc<AtomicI64>);

impl Clock for Wall {
    fn now(&self) -> UnixMillis {
        UnixMillis(self.0.load(Ordering::SeqCst))
    }
}

impl Wall {
    fn advance(&self, by: Duration) {
        self.0.fetch_add(by.as_millis() as i64, Ordering::SeqCst);
    }
}

async fn timed() -> (TestDb, Queue, Wall) {
    let (database, queue) = queue().await;
    let wall = Wall(Arc::new(AtomicI64::new(1_800_000_000_000)));
    let queue = queue.with_clock(Arc::new(wall.clone()));
    (database, queue, wall)
}

async fn elect(queue: &Queue, holder: &str) -> Option<Lead> {
    queue.elect("scheduler", holder, TERM).await.unwrap()
}

fn slot(ms: i64) -> SlotJob {
    SlotJob {
        schedule: KIND.to_owned(),
        slot: UnixMillis(ms),
        may_overlap: false,
        job: NewJob::new(KIND),
    }
}

#[tokio::test]
async fn one_leads_until_its_term_is_over() {
    let (_database, queue, wall) = timed().await;
    let one = elect(&queue, "one").await.unwrap();
    assert_eq!(elect(&queue, "two").await, None);
    wall.advance(TERM / 2);
    assert_eq!(elect(&queue, "one").await.unwrap().epoch, one.epoch, "kept");
    wall.advance(TERM / 2);
    assert_eq!(elect(&queue, "two").await, None, "the term was renewed");
    wall.advance(TERM);
    let two = elect(&queue, "two").await.unwrap();
    assert!(two.epoch > one.epoch);
    assert_eq!(elect(&queue, "one").await, None);
}

#[tokio::test]
async fn who_comes_back_after_its_term_leads_anew() {
    let (_database, queue, wall) = timed().await;
    let before = elect(&queue, "one").await.unwrap();
    wall.advance(TERM);
    let after = elect(&queue, "one").await.unwrap();
    assert!(after.epoch > before.epoch);
    let outcome = queue.enqueue_slot(&before, &slot(5000)).await.unwrap();
    assert_eq!(outcome, Occurrence::Deposed);
}

#[tokio::test]
async fn one_of_many_is_elected() {
    let (_database, queue) = queue().await;
    let candidates = (0..12).map(|number| {
        let queue = queue.clone();
        tokio::spawn(async move { elect(&queue, &format!("number {number}")).await })
    });
    let mut elected = 0;
    for candidate in candidates.collect::<Vec<_>>() {
        elected += usize::from(candidate.await.unwrap().is_some());
    }
    assert_eq!(elected, 1);
}

#[tokio::test]
async fn a_leader_that_resigns_is_followed_at_once() {
    let (_database, queue, _wall) = timed().await;
    let one = elect(&queue, "one").await.unwrap();
    let mut wakeups = queue.wakeups().await.unwrap();
    assert!(queue.resign(&one).await.unwrap());
    assert_eq!(wakeups.next().await.unwrap(), Hint::Resigned);
    assert!(!queue.resign(&one).await.unwrap());
    let two = elect(&queue, "two").await.unwrap();
    assert!(two.epoch > one.epoch);
    assert!(!queue.resign(&one).await.unwrap(), "not another's");
    assert!(elect(&queue, "three").await.is_none());
}

#[tokio::test]
async fn a_slot_has_one_job_however_often_it_is_asked_for() {
    let (_database, queue) = queue().await;
    let lead = elect(&queue, "one").await.unwrap();
    let callers = (0..12).map(|_| {
        let (queue, lead) = (queue.clone(), lead.clone());
        tokio::spawn(async move { queue.enqueue_slot(&lead, &slot(5000)).await.unwrap() })
    });
    let mut created = 0;
    for caller in callers.collect::<Vec<_>>() {
        match caller.await.unwrap() {
            Occurrence::Created(_) => created += 1,
            other => assert_eq!(other, Occurrence::Taken),
        }
    }
    assert_eq!(created, 1);
}

#[tokio::test]
async fn slots_do_not_overlap_and_never_come_back() {
    let (_database, queue) = queue().await;
    let lead = elect(&queue, "one").await.unwrap();
    let at = async |ms| queue.enqueue_slot(&lead, &slot(ms)).await.unwrap();
    assert!(matches!(at(5000).await, Occurrence::Created(_)));
    assert_eq!(at(10_000).await, Occurrence::Overlapped);
    let claim = claimed(&queue, LEASE).await[0].fence();
    complete(&queue, claim).await;
    assert_eq!(at(10_000).await, Occurrence::Taken);
    assert_eq!(at(5000).await, Occurrence::Taken);
    assert!(matches!(at(15_000).await, Occurrence::Created(_)));
    let states = queue.schedules().await.unwrap();
    assert_eq!(
        (states[0].name.as_str(), states[0].last_slot),
        (KIND, UnixMillis(15_000))
    );
    assert!(states[0].last_success.is_some());
}

#[tokio::test]
async fn what_a_run_by_hand_did_counts_for_the_schedule() {
    let (_database, queue) = queue().await;
    let run = async |current| {
        let current = UnixMillis(current);
        let enqueued = queue.enqueue_run(KIND, current, NewJob::new(KIND)).await;
        enqueued.unwrap()
    };
    let state = async || queue.schedules().await.unwrap().remove(0);
    // Before any slot.
    let Enqueued::Created(job) = run(5000).await else {
        panic!("nothing else lives");
    };
    assert_eq!(job.schedule.as_deref(), Some(KIND));
    assert!(matches!(run(10_000).await, Enqueued::Existing(it) if it == job));
    assert_eq!(state().await.last_slot, UnixMillis(5000));
    assert_eq!(state().await.last_success, None);
    // The slot has no job of its own, and is done with the run.
    let lead = elect(&queue, "one").await.unwrap();
    let at = async |ms| queue.enqueue_slot(&lead, &slot(ms)).await.unwrap();
    assert_eq!(at(5000).await, Occurrence::Taken);
    assert_eq!(at(10_000).await, Occurrence::Overlapped);
    complete(&queue, claimed(&queue, LEASE).await[0].fence()).await;
    assert!(state().await.last_success.is_some());
    assert_eq!(state().await.last_slot, UnixMillis(10_000));
    // Slots come after it as before.
    assert!(matches!(at(15_000).await, Occurrence::Created(_)));
    assert_eq!(at(20_000).await, Occurrence::Overlapped);
    let Enqueued::Existing(slots) = run(20_000).await else {
        panic!("the last slot's job lives");
    };
    assert_eq!(slots.schedule.as_deref(), Some(KIND));
}

#[tokio::test]
async fn slots_that_are_made_up_for_stand_beside_each_other() {
    let (_database, queue) = queue().await;
    let lead = elect(&queue, "one").await.unwrap();
    for ms in [5000, 10_000, 15_000] {
        let slot = SlotJob {
            may_overlap: true,
            ..slot(ms)
        };
        let outcome = queue.enqueue_slot(&lead, &slot).await.unwrap();
        assert!(matches!(outcome, Occurrence::Created(_)), "{outcome:?}");
    }
    assert_eq!(claimed(&queue, LEASE).await.len(), 3);
}
