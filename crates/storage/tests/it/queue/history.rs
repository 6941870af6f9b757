//! Finished jobs, and what the database makes of dead rows.

use super::*;

/// Forgotten as soon as its partition can go.
const NOT_KEPT: Retention = Retention {
    completed: Duration::ZERO,
    discarded: LEASE,
};

#[tokio::test]
async fn finished_jobs_are_found_for_as_long_as_they_are_kept() {
    let (_database, queue) = queue().await;
    let gone = enqueued(&queue, &NewJob::new(KIND)).await;
    let kept = enqueued(&queue, &NewJob::new(KIND)).await;
    for claim in claimed(&queue, LEASE).await {
        if claim.job.id == gone {
            assert!(queue.complete(claim.fence(), NOT_KEPT).await.unwrap());
        } else {
            assert!(
                queue
                    .discard(claim.fence(), "poison", NOT_KEPT)
                    .await
                    .unwrap()
            );
        }
    }
    assert!(queue.job(gone).await.unwrap().is_none());
    let job = queue.job(kept).await.unwrap().unwrap();
    assert_eq!(
        (job.state, job.worker.as_deref()),
        (JobState::Discarded, Some("worker"))
    );
    assert_eq!(job.last_error.as_deref(), Some("poison"));
    assert!(
        queue.depth().await.unwrap().is_empty(),
        "the live table is empty"
    );
    let filter = Filter {
        limit: 10,
        ..Filter::default()
    };
    assert_eq!(queue.list(&filter).await.unwrap(), [job]);
}

#[tokio::test]
async fn partitions_are_made_ahead_and_dropped_when_they_are_over() {
    let (database, queue) = queue().await;
    let year = Retention {
        completed: Duration::from_secs(30 * 24 * 3600),
        ..Retention::default()
    };
    // A month and a day in quarters of days, less what the migration made.
    let made = queue.make_history(year).await.unwrap();
    assert!((80..=124).contains(&made), "{made}");
    assert_eq!(queue.make_history(year).await.unwrap(), 0);
    // The database may have been made in an earlier quarter of a day.
    queue.drop_history().await.unwrap();
    assert_eq!(queue.drop_history().await.unwrap(), 0, "none is over");

    let past = "CREATE TABLE queue.history_2020010100 PARTITION OF queue.history \
                FOR VALUES FROM ('2020-01-01 00:00+00') TO ('2020-01-01 06:00+00')";
    database.execute(past).await;
    assert_eq!(queue.drop_history().await.unwrap(), 1);
    assert_eq!(queue.drop_history().await.unwrap(), 0);
}

#[tokio::test]
async fn a_reader_of_the_history_is_not_waited_for() {
    let (database, queue) = queue().await;
    let past = "CREATE TABLE queue.history_2020010100 PARTITION OF queue.history \
                FOR VALUES FROM ('2020-01-01 00:00+00') TO ('2020-01-01 06:00+00')";
    database.execute(past).await;
    let backup = database.hold("SELECT count(*) FROM queue.history").await;
    assert_eq!(queue.drop_history().await.unwrap(), 0);
    let month = Retention {
        completed: Duration::from_secs(30 * 24 * 3600),
        ..Retention::default()
    };
    assert!(
        queue.make_history(month).await.unwrap() > 0,
        "room is made beside it"
    );
    let id = enqueued(&queue, &NewJob::new(KIND)).await;
    let claim = claimed(&queue, LEASE).await[0].fence();
    assert!(complete(&queue, claim).await);
    assert_eq!(state(&queue, id).await, JobState::Completed);
    drop(backup);
}

#[tokio::test]
async fn jobs_that_an_older_worker_finished_are_moved() {
    let (database, queue) = queue().await;
    let id = enqueued(&queue, &NewJob::new(KIND)).await;
    let old = "UPDATE queue.jobs SET state = 'completed', finished_at = now()";
    database.execute(old).await;
    assert_eq!(
        queue
            .adopt_finished(Retention::default(), 10)
            .await
            .unwrap(),
        1
    );
    assert_eq!(
        queue
            .adopt_finished(Retention::default(), 10)
            .await
            .unwrap(),
        0
    );
    assert_eq!(state(&queue, id).await, JobState::Completed);
    assert!(queue.depth().await.unwrap().is_empty());
}

#[tokio::test]
async fn an_open_transaction_is_seen() {
    let (database, queue) = queue().await;
    let before = queue.oldest_transaction().await.unwrap().transactions;
    let report = database.hold("SELECT 1").await;
    for _ in 0..5 {
        enqueued(&queue, &NewJob::new(KIND)).await;
    }
    let oldest = queue.oldest_transaction().await.unwrap();
    assert!(oldest.age > Duration::ZERO);
    assert!(oldest.transactions >= 5, "{oldest:?}, {before} before");
    drop(report);
}

#[tokio::test]
async fn an_effect_and_its_completion_happen_together_or_not_at_all() {
    let (_database, queue) = queue().await;
    let retention = Retention::default();
    let id = enqueued(&queue, &NewJob::new(KIND)).await;
    let zombie = claimed(&queue, NO_LEASE).await[0].fence();
    rescued(&queue).await;
    let next = claimed(&queue, LEASE).await[0].fence();

    let mut late = queue.begin().await.unwrap();
    assert!(
        !Queue::complete_with(&mut late, zombie, retention)
            .await
            .unwrap()
    );
    drop(late);
    let mut dropped = queue.begin().await.unwrap();
    assert!(
        Queue::complete_with(&mut dropped, next, retention)
            .await
            .unwrap()
    );
    drop(dropped);
    assert_eq!(state(&queue, id).await, JobState::Running);
    let mut kept = queue.begin().await.unwrap();
    assert!(
        Queue::complete_with(&mut kept, next, retention)
            .await
            .unwrap()
    );
    storage::commit(kept).await.unwrap();
    assert_eq!(state(&queue, id).await, JobState::Completed);
}
