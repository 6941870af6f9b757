//! What people do: cancel, retry, pause.

use storage::queue::{Cancelled, Retried};

use super::*;

async fn cancel(queue: &Queue, id: JobId) -> Cancelled {
    queue.cancel(id, Retention::default()).await.unwrap()
}

#[tokio::test]
async fn a_job_that_waits_is_cancelled_at_once() {
    let (_database, queue) = queue().await;
    let id = enqueued(&queue, &NewJob::new(KIND)).await;
    assert_eq!(cancel(&queue, id).await, Cancelled::Done);
    assert_eq!(state(&queue, id).await, JobState::Cancelled);
    assert!(claimed(&queue, LEASE).await.is_empty());
    assert_eq!(cancel(&queue, id).await, Cancelled::TooLate);
    assert_eq!(cancel(&queue, JobId(i64::MAX)).await, Cancelled::Unknown);
}

#[tokio::test]
async fn the_worker_of_a_running_job_is_told_twice_over() {
    let (_database, queue) = queue().await;
    let id = enqueued(&queue, &NewJob::new(KIND)).await;
    let fence = claimed(&queue, LEASE).await[0].fence();
    let mut wakeups = queue.wakeups().await.unwrap();
    assert_eq!(cancel(&queue, id).await, Cancelled::Asked);
    assert_eq!(wakeups.next().await.unwrap(), Hint::Cancel(id));
    assert!(queue.extend(&[fence], LEASE).await.unwrap()[0].cancel_requested);
    assert!(queue.job(id).await.unwrap().unwrap().cancel_requested);
    assert!(
        queue
            .cancel_running(fence, Retention::default())
            .await
            .unwrap()
    );
    assert_eq!(state(&queue, id).await, JobState::Cancelled);
}

#[tokio::test]
async fn a_cancelled_job_of_a_dead_worker_does_not_run_again() {
    let (_database, queue) = queue().await;
    let id = enqueued(&queue, &NewJob::new(KIND)).await;
    claimed(&queue, NO_LEASE).await;
    cancel(&queue, id).await;
    assert_eq!(rescued(&queue).await[0].state, JobState::Cancelled);
    assert_eq!(state(&queue, id).await, JobState::Cancelled);
}

#[tokio::test]
async fn a_discarded_job_is_tried_again_with_all_its_attempts() {
    let (_database, queue) = queue().await;
    let once = NewJob {
        attempts_max: 1,
        arguments: serde_json::json!({"a": 1}),
        ..NewJob::new(KIND)
    };
    let id = enqueued(&queue, &once).await;
    let fence = claimed(&queue, LEASE).await[0].fence();
    assert_eq!(queue.retry_now(id).await.unwrap(), Retried::Running);
    discard(&queue, fence, "poison").await;
    assert_eq!(queue.retry_now(id).await.unwrap(), Retried::Done);
    let again = claimed(&queue, LEASE).await.remove(0);
    assert_eq!((again.job.attempt, again.tries), (2, 1));
    assert_eq!(again.job.arguments_json, r#"{"a": 1}"#);
    assert!(!complete(&queue, fence).await, "the old fence stays shut");
    assert!(complete(&queue, again.fence()).await);
    assert_eq!(
        queue.retry_now(JobId(i64::MAX)).await.unwrap(),
        Retried::Unknown
    );
}

#[tokio::test]
async fn a_job_whose_key_was_taken_since_stays_where_it_is() {
    let (_database, queue) = queue().await;
    let keyed = NewJob {
        unique_key: Some("key".to_owned()),
        ..NewJob::new(KIND)
    };
    let first = enqueued(&queue, &keyed).await;
    discard(&queue, claimed(&queue, LEASE).await[0].fence(), "poison").await;
    enqueued(&queue, &keyed).await;
    assert_eq!(queue.retry_now(first).await.unwrap(), Retried::KeyTaken);
    assert_eq!(state(&queue, first).await, JobState::Discarded);
}

#[tokio::test]
async fn a_job_for_later_is_run_now() {
    let (_database, queue) = queue().await;
    let later = queue.now().await.unwrap().plus(LEASE);
    let job = NewJob {
        run_at: Some(later),
        ..NewJob::new(KIND)
    };
    let id = enqueued(&queue, &job).await;
    assert_eq!(queue.retry_now(id).await.unwrap(), Retried::Done);
    assert_eq!(claimed(&queue, LEASE).await[0].job.id, id);
}

#[tokio::test]
async fn a_paused_queue_rests_until_it_goes_on() {
    let (_database, queue) = queue().await;
    enqueued(&queue, &NewJob::new(KIND)).await;
    assert!(queue.pause("default").await.unwrap());
    assert!(!queue.pause("default").await.unwrap());
    assert!(claimed(&queue, LEASE).await.is_empty());
    let states = queue.queues().await.unwrap();
    assert_eq!(
        (states[0].name.as_str(), states[0].available),
        ("default", 1)
    );
    assert!(states[0].paused_at.is_some());
    assert!(queue.resume("default").await.unwrap());
    assert!(!queue.resume("default").await.unwrap());
    assert_eq!(claimed(&queue, LEASE).await.len(), 1);
}
