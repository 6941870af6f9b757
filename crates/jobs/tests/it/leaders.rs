//! Replicas that sleep, lose their connection and die between any two steps: what they would
//! do next is done late, by one that leads no more, or never. A clock that the test moves, and a
//! real server.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU32, Ordering};
use std::time::Duration;

use model::UnixMillis;
use model::clock::Clock;
use proptest::collection::vec;
use proptest::prelude::*;
use storage::queue::{Lead, Occurrence, Queue, SlotJob};
use streamhaul_jobs::engine::cadence::Cadence;
use streamhaul_jobs::engine::schedule::{CatchUp, Schedule};
use streamhaul_jobs::job::Registry;
use testkit::database::TestDb;

const TERM: Duration = Duration::from_secs(9);
const REPLICAS: usize = 3;
const START: UnixMillis = UnixMillis(1_800_000_000_000);

/// A clock that is moved by hand.
struct Wall(AtomicI64);

impl Clock for Wall {
    fn now(&self) -> UnixMillis {
        UnixMillis(self.0.load(Ordering::SeqCst))
    }
}

/// One step of one replica, or of the world. What does not happen to a replica for long is a
/// pause, or a partition.
#[derive(Debug, Clone, Copy)]
enum Step {
    Advance(u16),
    /// Stands for leadership.
    Elect(usize),
    /// Looks which slots are due, as the leader that it believes to be.
    Plan(usize),
    /// Makes the first slot that it planned.
    Make(usize),
    /// All of that without a pause in between.
    Turn(usize),
    /// Dies, and is started again.
    Kill(usize),
    /// Gives leadership up.
    Resign(usize),
    /// Workers do all that waits.
    Work,
}

fn steps() -> impl Strategy<Value = Step> {
    let replica = 0..REPLICAS;
    prop_oneof![
        3 => (0..15_000_u16).prop_map(Step::Advance),
        3 => replica.clone().prop_map(Step::Elect),
        3 => replica.clone().prop_map(Step::Plan),
        5 => replica.clone().prop_map(Step::Make),
        4 => replica.clone().prop_map(Step::Turn),
        1 => replica.clone().prop_map(Step::Kill),
        1 => replica.prop_map(Step::Resign),
        4 => Just(Step::Work),
    ]
}

#[derive(Default)]
struct Replica {
    lives: u32,
    lead: Option<Lead>,
    planned: Vec<(Lead, SlotJob)>,
}

struct World {
    queue: Queue,
    wall: Arc<Wall>,
    schedule: Schedule,
    leadership: String,
    replicas: [Replica; REPLICAS],
    /// The slots that were made, and in which epoch.
    made: Vec<(UnixMillis, i64)>,
    done: usize,
}

impl World {
    fn new(queue: Queue, catch_up: CatchUp) -> Self {
        static CASE: AtomicU32 = AtomicU32::new(0);
        let case = CASE.fetch_add(1, Ordering::Relaxed);
        let wall = Arc::new(Wall(AtomicI64::new(START.0)));
        // Schedules are named in code; a test has as many as it has cases.
        let name: &'static str = format!("case_{case}").leak();
        Self {
            queue: queue.with_clock(wall.clone()),
            wall,
            schedule: Schedule {
                name,
                kind: name,
                cadence: Cadence::Every(Duration::from_secs(5)),
                catch_up,
            },
            leadership: format!("scheduler_{case}"),
            replicas: Default::default(),
            made: Vec::new(),
            done: 0,
        }
    }

    async fn step(&mut self, step: Step) {
        match step {
            Step::Advance(ms) => {
                self.wall.0.fetch_add(ms.into(), Ordering::SeqCst);
            }
            Step::Elect(index) => self.elect(index).await,
            Step::Plan(index) => self.plan(index).await,
            Step::Make(index) => self.make(index).await,
            Step::Turn(index) => {
                self.elect(index).await;
                self.plan(index).await;
                while !self.replicas[index].planned.is_empty() {
                    self.make(index).await;
                }
            }
            Step::Kill(index) => {
                self.replicas[index] = Replica {
                    lives: self.replicas[index].lives + 1,
                    ..Replica::default()
                };
            }
            Step::Resign(index) => {
                // What it planned before may still be under way.
                if let Some(lead) = self.replicas[index].lead.take() {
                    self.queue.resign(&lead).await.unwrap();
                }
            }
            Step::Work => self.work().await,
        }
    }

    async fn elect(&mut self, index: usize) {
        let holder = format!("{index}.{}", self.replicas[index].lives);
        let elected = self.queue.elect(&self.leadership, &holder, TERM).await;
        self.replicas[index].lead = elected.unwrap();
    }

    async fn plan(&mut self, index: usize) {
        let Some(lead) = self.replicas[index].lead.clone() else {
            return;
        };
        let states = self.queue.schedules().await.unwrap();
        let known = states.iter().find(|state| state.name == self.schedule.name);
        let owed = self
            .schedule
            .owed(known.map(|state| state.last_slot), self.wall.now());
        let jobs = owed.into_iter().map(|slot| {
            let job = self.schedule.job(&Registry::default(), slot);
            (lead.clone(), job)
        });
        self.replicas[index].planned = jobs.collect();
    }

    async fn make(&mut self, index: usize) {
        let planned = &mut self.replicas[index].planned;
        if planned.is_empty() {
            return;
        }
        let (lead, job) = planned.remove(0);
        let outcome = self.queue.enqueue_slot(&lead, &job).await.unwrap();
        if let Occurrence::Created(_) = outcome {
            self.made.push((job.slot, lead.epoch));
        }
    }

    async fn work(&mut self) {
        let kinds = [self.schedule.kind.to_owned()];
        let claims = self.queue.claim("worker", &kinds, 500, TERM).await.unwrap();
        for claim in claims {
            let completed = self.queue.complete(claim.fence(), Default::default());
            assert!(completed.await.unwrap());
            self.done += 1;
        }
    }

    fn check(&self) {
        for pair in self.made.windows(2) {
            let ((slot, epoch), (later_slot, later_epoch)) = (pair[0], pair[1]);
            assert!(
                slot < later_slot,
                "a slot ran twice or out of order: {:?}",
                self.made
            );
            assert!(
                epoch <= later_epoch,
                "a deposed leader acted: {:?}",
                self.made
            );
        }
        assert_eq!(self.done, self.made.len(), "each slot's job runs once");
        assert!(self.made.iter().all(|(slot, _)| *slot <= self.wall.now()));
    }
}

#[test]
fn no_slot_runs_twice_whatever_becomes_of_leaders() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let database = runtime.block_on(TestDb::new());
    let queue = runtime.block_on(async {
        let pool = storage::connect_queue("test", database.url(), 4).unwrap();
        Queue::new(pool)
    });
    let config = ProptestConfig {
        cases: 48,
        failure_persistence: None,
        ..ProptestConfig::default()
    };
    let made = AtomicU32::new(0);
    let cases = (vec(steps(), 40..160), 0..3_u8);
    proptest::test_runner::TestRunner::new(config)
        .run(&cases, |(steps, catch_up)| {
            let catch_up = [CatchUp::None, CatchUp::Last, CatchUp::All][usize::from(catch_up)];
            let mut world = World::new(queue.clone(), catch_up);
            runtime.block_on(async {
                for step in steps {
                    world.step(step).await;
                }
                world.step(Step::Work).await;
            });
            world.check();
            made.fetch_add(world.made.len() as u32, Ordering::Relaxed);
            Ok(())
        })
        .unwrap();
    let made = made.into_inner();
    assert!(made > 200, "only {made} slots were made");
}

#[test]
fn a_leader_that_slept_through_its_term_makes_nothing() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(async {
        let database = TestDb::new().await;
        let pool = storage::connect_queue("test", database.url(), 4).unwrap();
        let mut world = World::new(Queue::new(pool), CatchUp::Last);
        world.step(Step::Elect(0)).await;
        world.step(Step::Plan(0)).await;
        world.step(Step::Advance(9_000)).await;
        world.step(Step::Make(0)).await;
        assert_eq!(world.made, [], "its term is over, though nobody followed");
        world.step(Step::Elect(1)).await;
        world.step(Step::Plan(0)).await;
        world.step(Step::Make(0)).await;
        assert_eq!(world.made, [], "somebody else leads");
        world.step(Step::Plan(1)).await;
        world.step(Step::Make(1)).await;
        world.step(Step::Work).await;
        assert_eq!(world.made.len(), 1);
        world.check();
    });
}
