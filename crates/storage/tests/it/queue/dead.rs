//! Rows that are dead and cannot go, since a transaction is open that could see them.

use std::time::Instant;
use storage::Pool;
use storage::queue::{Claimed, Frontier};

use super::*;

const DEAD: u32 = 20_000;
const BATCH: u32 = 500;

/// What every job that ever was would be looked at by is some multiple of [`DEAD`].
const LOOKED_AT_MAX: i64 = 10 * BATCH as i64;

#[tokio::test]
async fn a_batch_is_found_by_its_keys_and_not_among_the_dead() {
    let database = TestDb::new().await;
    // Counts of what is read belong to the connection that reads.
    let pool = storage::connect_queue("test", database.url(), 1).unwrap();
    let queue = Queue::new(pool.clone());
    let mut worker = Worker {
        queue: queue.clone(),
        frontier: Frontier::default(),
    };
    let report = database.hold("SELECT count(*) FROM queue.jobs").await;
    for _ in 0..DEAD / BATCH {
        worker.run(BATCH).await;
    }
    // Counts no row that lives.
    database.execute("VACUUM (ANALYZE) queue.jobs").await;

    queue.enqueue_many(&jobs(BATCH)).await.unwrap();
    let claimed = worker.claim(BATCH).await;
    let fences: Vec<Fence> = claimed.iter().map(Claimed::fence).collect();
    let before = looked_at(&pool).await;
    let kept = queue.extend(&fences, LEASE).await.unwrap();
    let after_extend = looked_at(&pool).await;
    let done = queue.complete_many(&fences, Retention::default()).await;
    let after_complete = looked_at(&pool).await;
    assert_eq!((kept.len(), done.unwrap().len()), (500, 500));
    for looked_at in [after_extend - before, after_complete - after_extend] {
        assert!((500..LOOKED_AT_MAX).contains(&looked_at), "{looked_at}");
    }
    drop(report);
}

#[tokio::test]
async fn looking_for_what_is_over_reads_the_dead_once() {
    let database = TestDb::new().await;
    let pool = storage::connect_queue("test", database.url(), 1).unwrap();
    let queue = Queue::new(pool.clone());
    let mut worker = Worker {
        queue: queue.clone(),
        frontier: Frontier::default(),
    };
    let report = database.hold("SELECT count(*) FROM queue.jobs").await;
    for _ in 0..DEAD / BATCH {
        worker.run(BATCH).await;
    }
    database.execute("VACUUM (ANALYZE) queue.jobs").await;
    queue.enqueue_many(&jobs(2)).await.unwrap();
    claimed(&queue, NO_LEASE).await;

    let before = looked_at(&pool).await;
    assert_eq!(rescued(&queue).await.len(), 2);
    let after_rescue = looked_at(&pool).await;
    let adopted = queue.adopt_finished(Retention::default(), BATCH).await;
    let after_adoption = looked_at(&pool).await;
    assert_eq!(adopted.unwrap(), 0);
    // An entry of an index and a row for each version that a job had.
    let once = 3 * i64::from(DEAD);
    for looked_at in [after_rescue - before, after_adoption - after_rescue] {
        assert!(looked_at <= once, "{looked_at}");
    }
    drop(report);
}

fn jobs(number: u32) -> Vec<NewJob> {
    vec![NewJob::new(KIND); number as usize]
}

/// Claims from where it came to.
struct Worker {
    queue: Queue,
    frontier: Frontier,
}

impl Worker {
    async fn run(&mut self, number: u32) {
        self.queue.enqueue_many(&jobs(number)).await.unwrap();
        let claimed = self.claim(number).await;
        let fences: Vec<Fence> = claimed.iter().map(Claimed::fence).collect();
        let done = self
            .queue
            .complete_many(&fences, Retention::default())
            .await;
        assert_eq!(done.unwrap().len(), fences.len());
    }

    async fn claim(&mut self, number: u32) -> Vec<Claimed> {
        let (started, bounds) = (Instant::now(), self.frontier.bounds());
        let kinds = [KIND.to_owned()];
        let claimed = self
            .queue
            .claim_from("default", bounds, "worker", &kinds, number, LEASE)
            .await
            .unwrap();
        self.frontier.note(started, &claimed, number);
        assert_eq!(claimed.len(), number as usize);
        claimed
    }
}

/// Rows of the queue's table and entries of its indexes that were read so far.
async fn looked_at(pool: &Pool) -> i64 {
    sqlx::query("SELECT pg_stat_force_next_flush()")
        .execute(pool)
        .await
        .unwrap();
    sqlx::query_scalar(
        "SELECT (seq_tup_read + (SELECT sum(idx_tup_read) FROM pg_stat_user_indexes AS i \
             WHERE i.relid = t.relid))::bigint \
         FROM pg_stat_user_tables AS t WHERE t.relid = 'queue.jobs'::regclass",
    )
    .fetch_one(pool)
    .await
    .unwrap()
}
