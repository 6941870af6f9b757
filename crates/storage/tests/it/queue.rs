//! The job queue against a real server.

mod dead;
mod history;
mod leader;
mod operate;
mod unique;

use std::collections::BTreeSet;
use std::time::Duration;

use model::job::JobState;
use model::{JobId, UnixMillis};
use storage::queue::{
    Bounds, Claimed, Enqueued, Fence, Filter, Hint, NewJob, Queue, Rescued, Retention,
};
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

async fn complete(queue: &Queue, fence: Fence) -> bool {
    queue.complete(fence, Retention::default()).await.unwrap()
}

async fn discard(queue: &Queue, fence: Fence, reason: &str) -> bool {
    queue
        .discard(fence, reason, Retention::default())
        .await
        .unwrap()
}

async fn rescued(queue: &Queue) -> Vec<Rescued> {
    queue
        .rescue(UnixMillis(0), 10, Retention::default())
        .await
        .unwrap()
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

    assert!(complete(&queue, claims[0].fence()).await);
    assert!(!complete(&queue, claims[0].fence()).await);
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
    assert_eq!(rescued(&queue).await.len(), 1);
    let next = claimed(&queue, LEASE).await[0].fence();
    assert_eq!((zombie.attempt, next.attempt), (1, 2));

    assert!(!complete(&queue, zombie).await);
    assert!(!queue.retry(zombie, LEASE, "late").await.unwrap());
    assert!(!discard(&queue, zombie, "late").await);
    assert!(!queue.snooze(zombie, LEASE).await.unwrap());
    assert!(queue.extend(&[zombie], LEASE).await.unwrap().is_empty());
    assert_eq!(state(&queue, id).await, JobState::Running);

    let kept = queue.extend(&[zombie, next], LEASE).await.unwrap();
    assert_eq!(kept.iter().map(|kept| kept.id).collect::<Vec<_>>(), [id]);
    assert!(complete(&queue, next).await);
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
        assert!(!complete(&queue, claims[0].fence()).await);
        assert_eq!(state(&queue, id).await, JobState::Available);
    }
}

#[tokio::test]
async fn only_silent_workers_lose_their_jobs() {
    let (_database, queue) = queue().await;
    let id = enqueued(&queue, &NewJob::new(KIND)).await;
    let claims = claimed(&queue, LEASE).await;
    assert!(rescued(&queue).await.is_empty());
    queue.extend(&[claims[0].fence()], NO_LEASE).await.unwrap();
    let rescued = rescued(&queue).await;
    assert_eq!((rescued[0].id, rescued[0].state), (id, JobState::Available));
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
    for state in [JobState::Available, JobState::Discarded] {
        claimed(&queue, NO_LEASE).await;
        assert_eq!(rescued(&queue).await[0].state, state);
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
    complete(&queue, claim).await;
    assert!(matches!(
        queue.enqueue(&job).await.unwrap(),
        Enqueued::Created(_)
    ));
}

#[tokio::test]
async fn the_depth_counts_and_ages_what_lives() {
    let (_database, queue) = queue().await;
    assert_eq!(queue.depth().await.unwrap(), []);
    for _ in 0..3 {
        enqueued(&queue, &NewJob::new(KIND)).await;
    }
    let kinds = [KIND.to_owned()];
    let claims = queue.claim("worker", &kinds, 2, LEASE).await.unwrap();
    discard(&queue, claims[0].fence(), "poison").await;
    let mut depths = queue.depth().await.unwrap();
    depths.sort_by_key(|depth| depth.state);
    let counted: Vec<_> = depths
        .iter()
        .map(|depth| (depth.state, depth.jobs))
        .collect();
    assert_eq!(counted, [(JobState::Available, 1), (JobState::Running, 1)]);
    assert!(depths.iter().all(|depth| depth.queue == "default"));
    assert!(depths[0].oldest_age > Duration::ZERO);
    assert_eq!(queue.discarded().await.unwrap(), 1);
}

#[tokio::test]
async fn priorities_come_first_then_the_order_of_readiness() {
    let (_database, queue) = queue().await;
    let mut ids = Vec::new();
    for priority in [3, 1, 4, 2, 1] {
        let job = NewJob {
            priority,
            ..NewJob::new(KIND)
        };
        ids.push(enqueued(&queue, &job).await);
    }
    let kinds = [KIND.to_owned()];
    let mut order = Vec::new();
    for _ in 0..5 {
        let claims = queue.claim("worker", &kinds, 1, LEASE).await.unwrap();
        order.push(claims[0].job.id);
    }
    assert_eq!(order, [ids[1], ids[4], ids[3], ids[0], ids[2]]);
}

#[tokio::test]
async fn a_claim_across_priorities_is_bounded() {
    let (_database, queue) = queue().await;
    for priority in [1, 1, 2, 3, 4, 4] {
        let job = NewJob {
            priority,
            ..NewJob::new(KIND)
        };
        enqueued(&queue, &job).await;
    }
    let kinds = [KIND.to_owned()];
    let claims = queue.claim("worker", &kinds, 4, LEASE).await.unwrap();
    let mut priorities: Vec<u8> = claims.iter().map(|claim| claim.job.priority).collect();
    priorities.sort_unstable();
    assert_eq!(priorities, [1, 1, 2, 3]);
    assert_eq!(claimed(&queue, LEASE).await.len(), 2);
}

#[tokio::test]
async fn a_queue_is_claimed_by_its_own_workers() {
    let (_database, queue) = queue().await;
    let slow = NewJob {
        queue: "slow".to_owned(),
        ..NewJob::new(KIND)
    };
    let id = enqueued(&queue, &slow).await;
    assert!(claimed(&queue, LEASE).await.is_empty());
    let kinds = [KIND.to_owned()];
    let claims = queue
        .claim_from("slow", Bounds::NONE, "w", &kinds, 10, LEASE)
        .await
        .unwrap();
    assert_eq!(claims[0].job.id, id);
}

#[tokio::test]
async fn what_becomes_available_again_has_a_new_place() {
    let (_database, queue) = queue().await;
    enqueued(&queue, &NewJob::new(KIND)).await;
    let mut last = 0;
    for round in 0..4 {
        let claim = claimed(&queue, NO_LEASE).await.remove(0);
        assert!(claim.ready > last, "{} after {last}", claim.ready);
        last = claim.ready;
        match round {
            0 => assert!(queue.snooze(claim.fence(), Duration::ZERO).await.unwrap()),
            1 => assert_eq!(rescued(&queue).await.len(), 1),
            _ => {
                queue
                    .retry(claim.fence(), Duration::ZERO, "no")
                    .await
                    .unwrap();
                queue.promote(10).await.unwrap();
            }
        }
    }
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
            ..Filter::default()
        };
        let jobs = queue.list(&filter).await.unwrap();
        jobs.iter().map(|job| job.id).collect::<Vec<_>>()
    };
    assert_eq!(list(None, None, 2).await, [third, second]);
    assert_eq!(list(None, Some(KIND), 10).await, [second, first]);
    assert!(list(Some(JobState::Running), None, 10).await.is_empty());
}

#[tokio::test]
async fn new_work_wakes_listeners_of_its_queue() {
    let (_database, queue) = queue().await;
    let mut wakeups = queue.wakeups().await.unwrap();
    enqueued(&queue, &NewJob::new(KIND)).await;
    assert_eq!(
        wakeups.next().await.unwrap(),
        Hint::Work(Some("default".to_owned()))
    );
    let slow = NewJob {
        queue: "slow".to_owned(),
        ..NewJob::new(KIND)
    };
    queue.enqueue_many(&[slow.clone(), slow]).await.unwrap();
    assert_eq!(
        wakeups.next().await.unwrap(),
        Hint::Work(Some("slow".to_owned()))
    );
}
