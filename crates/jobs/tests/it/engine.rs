//! How attempts begin and end.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use anyhow::anyhow;
use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use model::UnixMillis;
use model::job::JobState;
use storage::queue::{Cancelled, Fence, Filter, NewJob, Queue, Retention};
use streamhaul_jobs::engine::Settings;
use streamhaul_jobs::engine::schedule::Schedule;
use streamhaul_jobs::job::{Done, Failure, Job, Policy, Registry, Run};
use tokio::sync::Notify;

use crate::world::{World, settings, until};

const KIND: &str = "test_job";

type Behaviour = dyn Fn(u32, Run) -> BoxFuture<'static, Result<Done, Failure>> + Send + Sync;

/// A job whose attempts do what the test says; they are numbered from 1.
struct Scripted {
    policy: Policy,
    attempts: Arc<AtomicU32>,
    behaviour: Box<Behaviour>,
}

impl Job for Scripted {
    fn kind(&self) -> &'static str {
        KIND
    }

    fn policy(&self) -> Policy {
        self.policy
    }

    fn run(self: Arc<Self>, run: Run) -> BoxFuture<'static, Result<Done, Failure>> {
        let attempt = self.attempts.fetch_add(1, Ordering::SeqCst) + 1;
        (self.behaviour)(attempt, run)
    }
}

fn quick() -> Policy {
    Policy {
        timeout: Duration::from_secs(60),
        attempts_max: 3,
        backoff_max: Duration::from_millis(10),
    }
}

fn scripted<F, Fut>(policy: Policy, behaviour: F) -> (Registry, Arc<AtomicU32>)
where
    F: Fn(u32, Run) -> Fut + Send + Sync + 'static,
    Fut: Future<Output = Result<Done, Failure>> + Send + 'static,
{
    let attempts = Arc::new(AtomicU32::new(0));
    let job = Scripted {
        policy,
        attempts: attempts.clone(),
        behaviour: Box::new(move |attempt, run| behaviour(attempt, run).boxed()),
    };
    (Registry::default().with(job), attempts)
}

fn job() -> NewJob {
    NewJob {
        attempts_max: quick().attempts_max,
        ..NewJob::new(KIND)
    }
}

#[tokio::test]
async fn a_job_runs_with_its_arguments_and_completes() {
    let world = World::new().await;
    let (registry, attempts) = scripted(quick(), async |_, run: Run| {
        if run.arguments["answer"] == 42 {
            Ok(Done::Completed)
        } else {
            Err(Failure::Discard(anyhow!("not these")))
        }
    });
    let engine = world.engine(registry, settings());
    let arguments = serde_json::json!({"answer": 42});
    let id = world.enqueue(NewJob { arguments, ..job() }).await;
    world.wait_for(id, JobState::Completed).await;
    engine.stop().await;
    assert_eq!(attempts.load(Ordering::SeqCst), 1);
}

#[tokio::test]
async fn a_failed_attempt_is_followed_by_another() {
    let world = World::new().await;
    let (registry, _) = scripted(quick(), async |attempt, _| match attempt {
        1 => Err(anyhow!("not yet").into()),
        _ => Ok(Done::Completed),
    });
    let engine = world.engine(registry, settings());
    let id = world.enqueue(job()).await;
    let job = world.wait_for(id, JobState::Completed).await;
    engine.stop().await;
    assert_eq!(job.attempt, 2);
    assert_eq!(job.last_error.as_deref(), Some("not yet"));
}

#[tokio::test]
async fn a_panic_is_a_failed_attempt() {
    let world = World::new().await;
    let (registry, _) = scripted(quick(), async |attempt, _| match attempt {
        1 => panic!("out of cheese"),
        _ => Ok(Done::Completed),
    });
    let engine = world.engine(registry, settings());
    let id = world.enqueue(job()).await;
    let job = world.wait_for(id, JobState::Completed).await;
    engine.stop().await;
    assert_eq!(job.last_error.as_deref(), Some("panicked: out of cheese"));
}

#[tokio::test]
async fn an_attempt_that_takes_too_long_is_stopped() {
    let world = World::new().await;
    let policy = Policy {
        timeout: Duration::from_millis(50),
        ..quick()
    };
    let (registry, _) = scripted(policy, async |attempt, _| {
        if attempt == 1 {
            std::future::pending::<()>().await;
        }
        Ok(Done::Completed)
    });
    let engine = world.engine(registry, settings());
    let id = world.enqueue(job()).await;
    let job = world.wait_for(id, JobState::Completed).await;
    engine.stop().await;
    assert_eq!(job.last_error.as_deref(), Some("timed out after 0.05 s"));
}

#[tokio::test]
async fn poison_is_discarded_with_its_reason() {
    let world = World::new().await;
    let (registry, attempts) = scripted(quick(), async |_, _| Err(anyhow!("always").into()));
    let engine = world.engine(registry, settings());
    let id = world.enqueue(job()).await;
    let job = world.wait_for(id, JobState::Discarded).await;
    engine.stop().await;
    assert_eq!(attempts.load(Ordering::SeqCst), 3);
    let reason = job.last_error.unwrap();
    assert_eq!(reason, "no attempts left; the last one: always");
}

#[tokio::test]
async fn a_hopeless_job_is_discarded_at_once() {
    let world = World::new().await;
    let (registry, attempts) = scripted(quick(), async |_, _| {
        Err(Failure::Discard(anyhow!("the session never existed")))
    });
    let engine = world.engine(registry, settings());
    let id = world.enqueue(job()).await;
    let job = world.wait_for(id, JobState::Discarded).await;
    engine.stop().await;
    assert_eq!(attempts.load(Ordering::SeqCst), 1);
    assert_eq!(job.last_error.unwrap(), "the session never existed");
}

#[tokio::test]
async fn snoozing_does_not_count() {
    let world = World::new().await;
    let (registry, _) = scripted(quick(), async |attempt, _| match attempt {
        1..=5 => Ok(Done::Snooze(Duration::from_millis(1))),
        _ => Ok(Done::Completed),
    });
    let engine = world.engine(registry, settings());
    let id = world.enqueue(job()).await;
    let job = world.wait_for(id, JobState::Completed).await;
    engine.stop().await;
    assert_eq!((job.attempt, job.attempts_max), (6, 3));
}

#[tokio::test]
async fn no_more_jobs_run_than_there_are_workers() {
    let world = World::new().await;
    let now = Arc::new(AtomicU32::new(0));
    let most = Arc::new(AtomicU32::new(0));
    let (running, peak) = (now.clone(), most.clone());
    let (registry, attempts) = scripted(quick(), move |_, _| {
        let (running, peak) = (running.clone(), peak.clone());
        async move {
            peak.fetch_max(running.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
            tokio::time::sleep(Duration::from_millis(5)).await;
            running.fetch_sub(1, Ordering::SeqCst);
            Ok(Done::Completed)
        }
    });
    for _ in 0..20 {
        world.enqueue(job()).await;
    }
    let two = Settings {
        workers: 2,
        ..settings()
    };
    let engine = world.engine(registry, two);
    until(async || (attempts.load(Ordering::SeqCst) == 20).then_some(())).await;
    engine.stop().await;
    assert_eq!(most.load(Ordering::SeqCst), 2);
}

#[tokio::test]
async fn a_stop_lets_running_jobs_finish() {
    let world = World::new().await;
    let begun = Arc::new(Notify::new());
    let begin = begun.clone();
    let (registry, _) = scripted(quick(), move |_, run: Run| {
        begin.notify_one();
        async move {
            run.stopping.cancelled().await;
            tokio::time::sleep(Duration::from_millis(50)).await;
            Ok(Done::Completed)
        }
    });
    let engine = world.engine(registry, settings());
    let id = world.enqueue(job()).await;
    begun.notified().await;
    let waiting = world.enqueue(job());
    engine.begin_stop();
    let waiting = waiting.await;
    engine.stop().await;
    assert_eq!(world.job(id).await.state, JobState::Completed);
    assert_eq!(
        world.job(waiting).await.state,
        JobState::Available,
        "no new work after a stop"
    );
}

#[tokio::test]
async fn a_stop_gives_long_jobs_back_uncounted() {
    let world = World::new().await;
    let begun = Arc::new(Notify::new());
    let begin = begun.clone();
    let (registry, _) = scripted(quick(), move |_, _| {
        begin.notify_one();
        std::future::pending()
    });
    let impatient = Settings {
        finish_grace: Duration::from_millis(20),
        ..settings()
    };
    let engine = world.engine(registry, impatient);
    let id = world.enqueue(job()).await;
    begun.notified().await;
    engine.stop().await;
    assert_eq!(world.job(id).await.state, JobState::Available);

    let kinds = [KIND.to_owned()];
    let lease = Duration::from_secs(60);
    let again = world.queue.claim("next", &kinds, 1, lease).await.unwrap();
    assert_eq!((again[0].job.attempt, again[0].tries), (2, 1));
}

#[tokio::test]
async fn a_job_of_a_dead_worker_is_rescued_and_run() {
    let world = World::new().await;
    let id = world.enqueue(job()).await;
    let kinds = [KIND.to_owned()];
    let dead = world
        .queue
        .claim("dead", &kinds, 1, Duration::ZERO)
        .await
        .unwrap();
    let (registry, _) = scripted(quick(), async |_, _| Ok(Done::Completed));
    let engine = world.engine(registry, settings());
    let job = world.wait_for(id, JobState::Completed).await;
    assert_eq!(job.attempt, 2);
    let late = world.queue.complete(dead[0].fence(), Retention::default());
    assert!(!late.await.unwrap());
    engine.stop().await;
}

#[tokio::test]
async fn long_jobs_keep_their_lease() {
    let world = World::new().await;
    let (registry, attempts) = scripted(quick(), async |_, _| {
        tokio::time::sleep(Duration::from_secs(3)).await;
        Ok(Done::Completed)
    });
    let short = Settings {
        lease: Duration::from_secs(1),
        ..settings()
    };
    let engines = [(); 2].map(|()| world.engine(registry.clone(), short.clone()));
    let id = world.enqueue(job()).await;
    world.wait_for(id, JobState::Completed).await;
    for engine in engines {
        engine.stop().await;
    }
    assert_eq!(attempts.load(Ordering::SeqCst), 1);
}

#[tokio::test]
async fn an_attempt_that_lost_its_lease_is_stopped() {
    let world = World::new().await;
    let stopped = Arc::new(Notify::new());
    let told = stopped.clone();
    let (registry, _) = scripted(quick(), move |attempt, _| {
        let told = told.clone();
        async move {
            if attempt == 1 {
                let _tell = Tell(told);
                std::future::pending::<()>().await;
            }
            Ok(Done::Completed)
        }
    });
    let short = Settings {
        lease: Duration::from_millis(900),
        workers: 1,
        ..settings()
    };
    let engine = world.engine(registry, short);
    let id = world.enqueue(job()).await;
    let running = world.wait_for(id, JobState::Running).await;
    let fence = Fence {
        id,
        attempt: running.attempt,
    };
    // The lease runs out under it, and whoever notices first takes the job.
    until(async || {
        world.queue.extend(&[fence], Duration::ZERO).await.unwrap();
        let rescue = world.queue.rescue(UnixMillis(0), 10, Retention::default());
        rescue.await.unwrap();
        let job = world.job(id).await;
        (job.state != JobState::Running || job.attempt > 1).then_some(())
    })
    .await;
    stopped.notified().await;
    world.wait_for(id, JobState::Completed).await;
    engine.stop().await;
}

#[tokio::test]
async fn a_running_job_is_cancelled_at_once() {
    let world = World::new().await;
    let (begun, stopped) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
    let (begin, told) = (begun.clone(), stopped.clone());
    let (registry, attempts) = scripted(quick(), move |_, _| {
        let tell = Tell(told.clone());
        begin.notify_one();
        async move {
            let _tell = tell;
            std::future::pending().await
        }
    });
    let engine = world.engine(registry, settings());
    let id = world.enqueue(job()).await;
    begun.notified().await;
    let cancelled = world.queue.cancel(id, Retention::default()).await.unwrap();
    assert_eq!(cancelled, Cancelled::Asked);
    stopped.notified().await;
    world.wait_for(id, JobState::Cancelled).await;
    engine.stop().await;
    assert_eq!(attempts.load(Ordering::SeqCst), 1);
}

#[tokio::test]
async fn everything_works_for_who_only_polls() {
    let world = World::new().await;
    let begun = Arc::new(Notify::new());
    let begin = begun.clone();
    let (registry, _) = scripted(quick(), move |_, run: Run| {
        begin.notify_one();
        async move {
            if run.arguments["long"] == true {
                std::future::pending::<()>().await;
            }
            Ok(Done::Completed)
        }
    });
    let deaf = Settings {
        listen: false,
        lease: Duration::from_millis(900),
        ..settings()
    };
    let engine = world.engine(registry, deaf);
    let short = world.enqueue(job()).await;
    world.wait_for(short, JobState::Completed).await;
    begun.notified().await;
    let arguments = serde_json::json!({"long": true});
    let long = world.enqueue(NewJob { arguments, ..job() }).await;
    begun.notified().await;
    world
        .queue
        .cancel(long, Retention::default())
        .await
        .unwrap();
    world.wait_for(long, JobState::Cancelled).await;
    engine.stop().await;
}

#[tokio::test]
async fn a_queue_has_its_own_workers_and_its_own_rest() {
    let world = World::new().await;
    let held = Arc::new(Notify::new());
    let hold = held.clone();
    let (registry, _) = scripted(quick(), move |_, run: Run| {
        let hold = hold.clone();
        async move {
            if run.arguments["slow"] == true {
                hold.notified().await;
            }
            Ok(Done::Completed)
        }
    });
    let two = Settings {
        workers: 1,
        queues: [("slow".to_owned(), 1)].into(),
        ..settings()
    };
    world.queue.pause("slow").await.unwrap();
    let engine = world.engine(registry, two);
    let slow = NewJob {
        queue: "slow".to_owned(),
        arguments: serde_json::json!({"slow": true}),
        ..job()
    };
    let slow = world.enqueue(slow).await;
    let quick = world.enqueue(job()).await;
    world.wait_for(quick, JobState::Completed).await;
    assert_eq!(
        world.job(slow).await.state,
        JobState::Available,
        "it is paused"
    );
    world.queue.resume("slow").await.unwrap();
    world.wait_for(slow, JobState::Running).await;
    let quick = world.enqueue(job()).await;
    world.wait_for(quick, JobState::Completed).await;
    held.notify_one();
    world.wait_for(slow, JobState::Completed).await;
    engine.stop().await;
}

#[tokio::test]
async fn many_jobs_end_each_in_its_way() {
    let world = World::new().await;
    let (registry, _) = scripted(quick(), async |_, run: Run| {
        match run.arguments["number"].as_u64().unwrap() % 4 {
            0 => Err(Failure::Discard(anyhow!("never"))),
            1 if run.fence.attempt == 1 => Err(anyhow!("later").into()),
            2 if run.fence.attempt == 1 => Ok(Done::Snooze(Duration::from_millis(1))),
            _ => Ok(Done::Completed),
        }
    });
    let jobs: Vec<NewJob> = (0..400)
        .map(|number| NewJob {
            arguments: serde_json::json!({"number": number}),
            ..job()
        })
        .collect();
    let items = world.queue.enqueue_many(&jobs).await.unwrap();
    let wide = Settings {
        workers: 64,
        ..settings()
    };
    let engine = world.engine(registry, wide);
    until(async || world.queue.depth().await.unwrap().is_empty().then_some(())).await;
    engine.stop().await;
    for (number, item) in items.iter().enumerate() {
        let job = world.job(item.id).await;
        let expected = match number % 4 {
            0 => (JobState::Discarded, 1),
            3 => (JobState::Completed, 1),
            _ => (JobState::Completed, 2),
        };
        assert_eq!((job.state, job.attempt), expected, "{job:?}");
    }
}

#[tokio::test]
async fn an_effect_that_settles_its_job_happens_once() {
    let world = World::new().await;
    let queue = world.queue.clone();
    let (registry, attempts) = scripted(quick(), move |_, run: Run| {
        let queue = queue.clone();
        async move {
            let mut transaction = queue.begin().await.map_err(anyhow::Error::from)?;
            let held = Queue::complete_with(&mut transaction, run.fence, run.retention).await;
            assert!(held.map_err(anyhow::Error::from)?);
            storage::commit(transaction)
                .await
                .map_err(anyhow::Error::from)?;
            Ok(Done::Settled)
        }
    });
    let engine = world.engine(registry, settings());
    let id = world.enqueue(job()).await;
    world.wait_for(id, JobState::Completed).await;
    engine.stop().await;
    assert_eq!(attempts.load(Ordering::SeqCst), 1);
}

#[tokio::test]
async fn a_leader_that_stops_is_followed_before_its_term_ends() {
    let world = World::new().await;
    let (registry, attempts) = scripted(quick(), async |_, _| Ok(Done::Completed));
    let scheduled = Settings {
        // Nobody's patience is that long.
        leader_term: Duration::from_secs(600),
        schedules: vec![Schedule::every(KIND, Duration::from_millis(100))],
        ..settings()
    };
    let first = world.engine(registry.clone(), scheduled.clone());
    until(async || (attempts.load(Ordering::SeqCst) > 0).then_some(())).await;
    let second = world.engine(registry, scheduled);
    first.stop().await;
    let before = attempts.load(Ordering::SeqCst);
    until(async || (attempts.load(Ordering::SeqCst) > before + 1).then_some(())).await;
    second.stop().await;
}

/// Says when it is dropped.
struct Tell(Arc<Notify>);

impl Drop for Tell {
    fn drop(&mut self) {
        self.0.notify_one();
    }
}

#[tokio::test]
async fn a_schedule_runs_each_slot_once_across_replicas() {
    let world = World::new().await;
    let (registry, attempts) = scripted(quick(), async |_, _| Ok(Done::Completed));
    let scheduled = Settings {
        schedules: vec![Schedule::every(KIND, Duration::from_millis(400))],
        ..settings()
    };
    let before = world.queue.now().await.unwrap();
    let engines = [(); 3].map(|()| world.engine(registry.clone(), scheduled.clone()));
    until(async || (attempts.load(Ordering::SeqCst) >= 4).then_some(())).await;
    for engine in engines {
        engine.stop().await;
    }
    let after = world.queue.now().await.unwrap();
    let filter = Filter {
        limit: 500,
        ..Filter::default()
    };
    let jobs = world.queue.list(&filter).await.unwrap();
    let slots = after.0 / 400 - before.0 / 400 + 1;
    assert!(jobs.iter().all(|job| job.attempt <= 1), "{jobs:?}");
    assert!(
        jobs.len() as i64 <= slots,
        "{} jobs in {slots} slots",
        jobs.len()
    );
}
