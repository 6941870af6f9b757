//! The job queue against a real server.

use std::collections::BTreeSet;
use std::time::Duration;

use model::job::JobState;
use model::{JobId, UnixMillis};
use storage::queue::{Claimed, Enqueued, Filter, NewJob, Occurrence, Queue, Retention, SlotJob};
use streamhaul_storage as storage;
use testkit::database::TestDb;

const LEASE: Duration = Duration::from_secs(60);
/// A claim that is silent for too long at once.
const NO_LEASE: Duration = Duration::ZERO;
const KIND: &str = "sweep_nodes";

async fn queue() -> (TestDb, Queue) {
    let database = TestDb::new().await;
    let pool = storage::connect("test", database.url(), 4).unwrap();
    (database, Queue::new(pool))
}

async fn enqueued(queue: &Queue, job: &NewJob) -> JobId {
    match queue.enqueue(job).await.unwrap() {
        Enqueued::Created(job) => job.id,
        Enqueued::Existing(job) => panic!("{job:?} is in the way"),
    }
}

async fn claimed(queue: &Queue, lease: Duration) -> Vec<Claimed> {
    let kinds = [KIND.to_owned()];
    queue.claim("worker", &kinds, 100, lease).await.unwrap()
}

async fn state(queue: &Queue, id: JobId) -> JobState {
    queue.job(id).await.unwrap().unwrap().state
}

#[tokio::test]
async fn a_job_is_claimed_and_completed_once() {
    let (_database, queue) = queue().await;
    let id = enqueued(&queue, &NewJob::new(KIND)).await;
    let claims = claimed(&queue, LEASE).await;
    assert_eq!(claims.len(), 1);
    assert_eq!((claims[0].job.attempt, claims[0].tries), (1, 1));
    assert_eq!(claims[0].job.state, JobState::Running);
    assert!(claimed(&queue, LEASE).await.is_empty());

    assert!(queue.complete(claims[0].fence()).await.unwrap());
    assert!(!queue.complete(claims[0].fence()).await.unwrap());
    let job = queue.job(id).await.unwrap().unwrap();
    assert_eq!(job.state, JobState::Completed);
    assert!(job.finished_at.is_some());
}

#[tokio::test]
async fn concurrent_claimers_never_share_a_job() {
    let (_database, queue) = queue().await;
    for _ in 0..150 {
        enqueued(&queue, &NewJob::new(KIND)).await;
    }
    let claimers = (0..6).map(|number| {
        let queue = queue.clone();
        tokio::spawn(async move {
            let mut ids = Vec::new();
            loop {
                let worker = format!("worker {number}");
                let kinds = [KIND.to_owned()];
                let claims = queue.claim(&worker, &kinds, 7, LEASE).await.unwrap();
                if claims.is_empty() {
                    return ids;
                }
                assert!(claims.len() <= 7, "a claim is bounded");
                ids.extend(claims.iter().map(|claim| claim.job.id));
            }
        })
    });
    let mut all = Vec::new();
    for claimer in claimers.collect::<Vec<_>>() {
        all.extend(claimer.await.unwrap());
    }
    let distinct: BTreeSet<_> = all.iter().copied().collect();
    assert_eq!((all.len(), distinct.len()), (150, 150));
}

#[tokio::test]
async fn only_known_kinds_are_claimed() {
    let (_database, queue) = queue().await;
    enqueued(&queue, &NewJob::new("of_a_newer_version")).await;
    assert!(claimed(&queue, LEASE).await.is_empty());
}

#[tokio::test]
async fn a_zombie_can_do_nothing_to_the_next_attempt() {
    let (_database, queue) = queue().await;
    let id = enqueued(&queue, &NewJob::new(KIND)).await;
    let zombie = claimed(&queue, NO_LEASE).await[0].fence();
    assert_eq!(queue.rescue(10).await.unwrap().len(), 1);
    let next = claimed(&queue, LEASE).await[0].fence();
    assert_eq!((zombie.attempt, next.attempt), (1, 2));

    assert!(!queue.complete(zombie).await.unwrap());
    assert!(!queue.retry(zombie, LEASE, "late").await.unwrap());
    assert!(!queue.discard(zombie, "late").await.unwrap());
    assert!(!queue.snooze(zombie, LEASE).await.unwrap());
    assert!(queue.extend(&[zombie], LEASE).await.unwrap().is_empty());
    assert_eq!(state(&queue, id).await, JobState::Running);

    assert!(
        queue
            .extend(&[zombie, next], LEASE)
            .await
            .unwrap()
            .contains(&id)
    );
    assert!(queue.complete(next).await.unwrap());
}

#[tokio::test]
async fn a_fence_stays_unique_when_attempts_are_given_back() {
    let (_database, queue) = queue().await;
    let id = enqueued(
        &queue,
        &NewJob {
            attempts_max: 1,
            ..NewJob::new(KIND)
        },
    )
    .await;
    for round in 1..=3 {
        let claims = claimed(&queue, LEASE).await;
        assert_eq!((claims[0].job.attempt, claims[0].tries), (round, 1));
        assert!(
            queue
                .snooze(claims[0].fence(), Duration::ZERO)
                .await
                .unwrap()
        );
        assert!(!queue.complete(claims[0].fence()).await.unwrap());
        assert_eq!(state(&queue, id).await, JobState::Available);
    }
}

#[tokio::test]
async fn only_silent_workers_lose_their_jobs() {
    let (_database, queue) = queue().await;
    let id = enqueued(&queue, &NewJob::new(KIND)).await;
    let claims = claimed(&queue, LEASE).await;
    assert!(queue.rescue(10).await.unwrap().is_empty());
    queue.extend(&[claims[0].fence()], NO_LEASE).await.unwrap();
    let rescued = queue.rescue(10).await.unwrap();
    assert_eq!((rescued[0].id, rescued[0].discarded), (id, false));
    assert_eq!(state(&queue, id).await, JobState::Available);
}

#[tokio::test]
async fn a_job_that_kills_its_workers_is_discarded_with_its_reason() {
    let (_database, queue) = queue().await;
    let id = enqueued(
        &queue,
        &NewJob {
            attempts_max: 2,
            ..NewJob::new(KIND)
        },
    )
    .await;
    for discarded in [false, true] {
        claimed(&queue, NO_LEASE).await;
        assert_eq!(queue.rescue(10).await.unwrap()[0].discarded, discarded);
    }
    let job = queue.job(id).await.unwrap().unwrap();
    assert_eq!(job.state, JobState::Discarded);
    assert!(
        job.last_error
            .unwrap()
            .contains("worker fell silent in attempt 2")
    );
}

#[tokio::test]
async fn a_retry_waits_for_its_time() {
    let (_database, queue) = queue().await;
    let id = enqueued(&queue, &NewJob::new(KIND)).await;
    let first = claimed(&queue, LEASE).await[0].fence();
    assert!(queue.retry(first, LEASE, "no\0route").await.unwrap());
    assert_eq!(state(&queue, id).await, JobState::Retryable);
    assert_eq!(queue.promote(10).await.unwrap(), 0);
    assert!(claimed(&queue, LEASE).await.is_empty());
    let error = queue.job(id).await.unwrap().unwrap().last_error;
    assert_eq!(error.as_deref(), Some("noroute"));
}

#[tokio::test]
async fn a_due_job_is_promoted_and_claimed() {
    let (_database, queue) = queue().await;
    enqueued(&queue, &NewJob::new(KIND)).await;
    let first = claimed(&queue, LEASE).await[0].fence();
    queue.retry(first, Duration::ZERO, "again").await.unwrap();
    assert_eq!(queue.promote(10).await.unwrap(), 1);
    assert_eq!(claimed(&queue, LEASE).await[0].tries, 2);
}

#[tokio::test]
async fn a_job_for_later_is_scheduled_and_one_from_the_past_is_not() {
    let (_database, queue) = queue().await;
    let later = queue.now().await.unwrap().plus(Duration::from_secs(3600));
    let later = enqueued(
        &queue,
        &NewJob {
            run_at: Some(later),
            ..NewJob::new(KIND)
        },
    )
    .await;
    let past = enqueued(
        &queue,
        &NewJob {
            run_at: Some(UnixMillis(1)),
            ..NewJob::new(KIND)
        },
    )
    .await;
    assert_eq!(state(&queue, later).await, JobState::Scheduled);
    assert_eq!(state(&queue, past).await, JobState::Available);
    assert_eq!(queue.promote(10).await.unwrap(), 0);
}

#[tokio::test]
async fn a_unique_key_is_held_by_one_live_job() {
    let (_database, queue) = queue().await;
    let job = NewJob {
        unique_key: Some("key".to_owned()),
        ..NewJob::new(KIND)
    };
    let callers = (0..8).map(|_| {
        let (queue, job) = (queue.clone(), job.clone());
        tokio::spawn(async move { queue.enqueue(&job).await.unwrap() })
    });
    let mut ids = BTreeSet::new();
    let mut created = 0;
    for caller in callers.collect::<Vec<_>>() {
        match caller.await.unwrap() {
            Enqueued::Created(job) => {
                created += 1;
                ids.insert(job.id);
            }
            Enqueued::Existing(job) => {
                ids.insert(job.id);
            }
        }
    }
    assert_eq!((created, ids.len()), (1, 1));

    let claim = claimed(&queue, LEASE).await[0].fence();
    assert!(matches!(
        queue.enqueue(&job).await.unwrap(),
        Enqueued::Existing(_)
    ));
    queue.complete(claim).await.unwrap();
    assert!(matches!(
        queue.enqueue(&job).await.unwrap(),
        Enqueued::Created(_)
    ));
}

fn slot(ms: i64) -> SlotJob {
    SlotJob {
        schedule: KIND.to_owned(),
        slot: UnixMillis(ms),
        kind: KIND.to_owned(),
        attempts_max: 3,
    }
}

#[tokio::test]
async fn a_slot_has_one_job_however_many_ask() {
    let (_database, queue) = queue().await;
    let callers = (0..12).map(|_| {
        let queue = queue.clone();
        tokio::spawn(async move { queue.enqueue_slot(&slot(5000)).await.unwrap() })
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
    let at = |ms| {
        let queue = queue.clone();
        async move { queue.enqueue_slot(&slot(ms)).await.unwrap() }
    };
    assert!(matches!(at(5000).await, Occurrence::Created(_)));
    assert_eq!(at(10_000).await, Occurrence::Overlapped);
    let claim = claimed(&queue, LEASE).await[0].fence();
    queue.complete(claim).await.unwrap();
    assert_eq!(at(10_000).await, Occurrence::Taken);
    assert_eq!(at(5000).await, Occurrence::Taken);
    assert!(matches!(at(15_000).await, Occurrence::Created(_)));
}

#[tokio::test]
async fn the_depth_counts_every_state() {
    let (_database, queue) = queue().await;
    assert_eq!(queue.depth().await.unwrap().jobs[&JobState::Available], 0);
    enqueued(&queue, &NewJob::new(KIND)).await;
    enqueued(&queue, &NewJob::new(KIND)).await;
    let claim = queue
        .claim("worker", &[KIND.to_owned()], 1, LEASE)
        .await
        .unwrap()[0]
        .fence();
    queue.discard(claim, "poison").await.unwrap();
    let depth = queue.depth().await.unwrap();
    assert_eq!(depth.jobs.len(), JobState::ALL.len());
    assert_eq!(depth.jobs[&JobState::Available], 1);
    assert_eq!(depth.jobs[&JobState::Discarded], 1);
    assert!(depth.oldest_available_age > Duration::ZERO);
}

#[tokio::test]
async fn lists_are_filtered_bounded_and_newest_first() {
    let (_database, queue) = queue().await;
    let first = enqueued(&queue, &NewJob::new(KIND)).await;
    let second = enqueued(&queue, &NewJob::new(KIND)).await;
    let third = enqueued(&queue, &NewJob::new("other")).await;
    let list = async |state, kind: Option<&str>, limit| {
        let filter = Filter {
            state,
            kind: kind.map(str::to_owned),
            limit,
        };
        let jobs = queue.list(&filter).await.unwrap();
        jobs.iter().map(|job| job.id).collect::<Vec<_>>()
    };
    assert_eq!(list(None, None, 2).await, [third, second]);
    assert_eq!(list(None, Some(KIND), 10).await, [second, first]);
    assert!(list(Some(JobState::Running), None, 10).await.is_empty());
}

#[tokio::test]
async fn finished_jobs_go_after_their_retention() {
    let (_database, queue) = queue().await;
    let completed = enqueued(&queue, &NewJob::new(KIND)).await;
    let discarded = enqueued(&queue, &NewJob::new(KIND)).await;
    let live = enqueued(&queue, &NewJob::new("other")).await;
    for claim in claimed(&queue, LEASE).await {
        if claim.job.id == completed {
            queue.complete(claim.fence()).await.unwrap();
        } else {
            queue.discard(claim.fence(), "poison").await.unwrap();
        }
    }
    let retention = Retention {
        completed: Duration::ZERO,
        discarded: LEASE,
    };
    assert_eq!(queue.trim(retention, 10).await.unwrap(), 1);
    assert!(queue.job(completed).await.unwrap().is_none());
    assert!(queue.job(discarded).await.unwrap().is_some());
    assert!(queue.job(live).await.unwrap().is_some());
}

#[tokio::test]
async fn new_work_wakes_listeners() {
    let (_database, queue) = queue().await;
    let mut wakeups = queue.wakeups().await.unwrap();
    enqueued(&queue, &NewJob::new(KIND)).await;
    wakeups.next().await.unwrap();
    queue.enqueue_slot(&slot(5000)).await.unwrap();
    wakeups.next().await.unwrap();
}
