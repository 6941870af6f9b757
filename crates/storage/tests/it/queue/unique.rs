//! The same wish, made again, and many wishes at once.

use storage::queue::Unique;

use super::*;

const BY_ARGUMENTS: Unique = Unique {
    by_arguments: true,
    period: None,
};

fn job(number: u32) -> NewJob {
    NewJob {
        arguments: serde_json::json!({"number": number}),
        ..NewJob::new(KIND)
    }
}

async fn now(queue: &Queue) -> UnixMillis {
    queue.now().await.unwrap()
}

fn created(enqueued: &Enqueued) -> bool {
    matches!(enqueued, Enqueued::Created(_))
}

#[tokio::test]
async fn an_idempotency_key_names_its_job_also_when_it_has_finished() {
    let (_database, queue) = queue().await;
    let job = job(1).idempotent("order 7", now(&queue).await);
    let first = queue.enqueue(&job).await.unwrap();
    assert!(created(&first));
    complete(&queue, claimed(&queue, LEASE).await[0].fence()).await;
    let second = queue.enqueue(&job).await.unwrap();
    assert!(!created(&second));
    assert_eq!(
        (second.job().id, second.job().state),
        (first.job().id, JobState::Completed)
    );
}

#[tokio::test]
async fn one_of_many_callers_with_the_same_key_makes_the_job() {
    let (_database, queue) = queue().await;
    let job = job(1).idempotent("k", now(&queue).await);
    let callers = (0..8).map(|_| {
        let (queue, job) = (queue.clone(), job.clone());
        tokio::spawn(async move { queue.enqueue(&job).await.unwrap() })
    });
    let mut answers = Vec::new();
    for caller in callers.collect::<Vec<_>>() {
        answers.push(caller.await.unwrap());
    }
    assert_eq!(answers.iter().filter(|answer| created(answer)).count(), 1);
    let ids: BTreeSet<_> = answers.iter().map(|answer| answer.job().id).collect();
    assert_eq!(ids.len(), 1);
}

#[tokio::test]
async fn a_key_is_free_again_when_its_time_or_its_job_is_gone() {
    let (_database, queue) = queue().await;
    let mut past = job(1).idempotent("k", now(&queue).await);
    past.once[0].expires_at = UnixMillis(1);
    assert!(created(&queue.enqueue(&past).await.unwrap()));
    assert!(created(&queue.enqueue(&past).await.unwrap()));
    assert_eq!(queue.trim_keys(10).await.unwrap(), 1);

    let keyed = job(2).idempotent("l", now(&queue).await);
    assert!(created(&queue.enqueue(&keyed).await.unwrap()));
    let nothing = Retention {
        completed: Duration::ZERO,
        discarded: Duration::ZERO,
    };
    for claim in claimed(&queue, LEASE).await {
        queue.complete(claim.fence(), nothing).await.unwrap();
    }
    assert!(created(&queue.enqueue(&keyed).await.unwrap()));
}

#[tokio::test]
async fn a_failed_transaction_takes_its_keys_back() {
    let (_database, queue) = queue().await;
    let job = job(1).idempotent("k", now(&queue).await);
    let mut transaction = queue.begin().await.unwrap();
    let lost = storage::queue::enqueue(&mut transaction, &job)
        .await
        .unwrap();
    drop(transaction);
    assert!(created(&lost));
    assert!(created(&queue.enqueue(&job).await.unwrap()));
}

#[tokio::test]
async fn one_live_job_of_the_same_arguments() {
    let (_database, queue) = queue().await;
    let at = now(&queue).await;
    assert!(created(
        &queue
            .enqueue(&job(1).unique(BY_ARGUMENTS, at))
            .await
            .unwrap()
    ));
    assert!(!created(
        &queue
            .enqueue(&job(1).unique(BY_ARGUMENTS, at))
            .await
            .unwrap()
    ));
    assert!(created(
        &queue
            .enqueue(&job(2).unique(BY_ARGUMENTS, at))
            .await
            .unwrap()
    ));
    for claim in claimed(&queue, LEASE).await {
        complete(&queue, claim.fence()).await;
    }
    assert!(created(
        &queue
            .enqueue(&job(1).unique(BY_ARGUMENTS, at))
            .await
            .unwrap()
    ));
}

#[tokio::test]
async fn one_job_in_a_period_even_when_it_has_finished() {
    let (_database, queue) = queue().await;
    let hourly = Unique {
        by_arguments: false,
        period: Some(Duration::from_secs(3600)),
    };
    let at = now(&queue).await;
    let first = queue.enqueue(&job(1).unique(hourly, at)).await.unwrap();
    complete(&queue, claimed(&queue, LEASE).await[0].fence()).await;
    let second = queue.enqueue(&job(2).unique(hourly, at)).await.unwrap();
    assert_eq!((created(&first), created(&second)), (true, false));
    let later = at.plus(Duration::from_secs(3600));
    assert!(created(
        &queue.enqueue(&job(3).unique(hourly, later)).await.unwrap()
    ));
}

#[tokio::test]
async fn a_batch_is_answered_in_its_order() {
    let (_database, queue) = queue().await;
    let at = now(&queue).await;
    let held = queue
        .enqueue(&job(0).unique(BY_ARGUMENTS, at))
        .await
        .unwrap();
    let later = NewJob {
        run_at: Some(at.plus(LEASE)),
        trace_context: Some("trace".to_owned()),
        ..job(3)
    };
    let batch = [
        job(1),
        job(0).unique(BY_ARGUMENTS, at),
        later,
        job(4).idempotent("k", at),
        job(5).idempotent("k", at),
    ];
    let items = queue.enqueue_many(&batch).await.unwrap();
    let made: Vec<bool> = items.iter().map(|item| item.created).collect();
    assert_eq!(made, [true, false, true, true, false]);
    assert_eq!(items[1].id, held.job().id);
    assert_eq!(items[4].id, items[3].id);
    for (item, number) in [(items[0], 1), (items[2], 3), (items[3], 4)] {
        let job = queue.job(item.id).await.unwrap().unwrap();
        assert_eq!(job.arguments_json, format!(r#"{{"number": {number}}}"#));
    }
    assert_eq!(state(&queue, items[2].id).await, JobState::Scheduled);
    assert_eq!(queue.enqueue_many(&[]).await.unwrap(), []);
}

#[tokio::test]
async fn a_batch_that_is_refused_leaves_nothing() {
    let (_database, queue) = queue().await;
    let bad = NewJob {
        priority: 9,
        ..job(2)
    };
    assert!(queue.enqueue_many(&[job(1), bad]).await.is_err());
    assert!(queue.depth().await.unwrap().is_empty());
}
