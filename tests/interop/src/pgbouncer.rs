//! Background jobs behind pgbouncer, which lends PostgreSQL's connections by the transaction:
//! does everything that the job engine promises hold there, and is a pgbouncer that cannot do it
//! refused in words that help?
//!
//! PostgreSQL and api are a house's; two replicas of jobs reach the database through the proxy
//! only. What they do is counted by an endpoint that webhooks are delivered to.

mod endpoint;
mod finding;
mod front_door;
mod proxy;
mod replica;

use std::collections::BTreeSet;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use e2e::house::{House, Options, Service};
use e2e::wait;
use proto::jobs::{EnqueueRequest, Job, JobState};
use serde_json::json;

use endpoint::{Endpoint, HELD};
pub use finding::{Finding, Through};
use front_door::FrontDoor;
use proxy::{Proxy, Version};
use replica::Replica;

const DELIVERY: &str = "deliver_webhook";
const SCHEDULED: [&str; 2] = ["expire_sessions", "sweep_nodes"];
/// Jobs that are delivered at full speed.
const MESSAGES: usize = 400;
const BATCH: usize = 100;
/// Jobs that are timed one by one.
const SINGLES: usize = 10;
/// Jobs that run while their worker dies; together the replicas have as many workers.
const HELD_JOBS: usize = 2 * replica::WORKERS;
/// A busy machine is patient; figures are in the report.
const PATIENCE: Duration = Duration::from_secs(90);
/// What a killed leader may cost.
const LEADER_WITHIN: Duration = Duration::from_secs(15);

/// Tries everything with the pgbouncer at `binary`; one that cannot follow prepared statements
/// has only to be refused.
///
/// # Errors
/// Says what was not as it should be.
pub fn check(binary: &Path) -> anyhow::Result<Finding> {
    let version = proxy::version(binary)?;
    let options = Options::default().with(Service::Api, "WEBHOOKS_HTTP_ALLOWED", "true");
    let mut house = House::control_plane(options)?;
    refused(&mut house, binary, version)?;
    let through = match version.follows_statements() {
        true => Some(through(&mut house, binary, version)?),
        false => None,
    };
    Ok(Finding { version, through })
}

/// What is set up wrongly ends with a sentence that says what to do.
fn refused(house: &mut House, binary: &Path, version: Version) -> anyhow::Result<()> {
    let none = version.follows_statements().then_some(0);
    let proxy = Proxy::start(binary, house, none)?;
    for (is_proxied, hint) in [
        (false, "database_proxied"),
        (true, "max_prepared_statements"),
    ] {
        let mut replica = Replica::start(house, 0, &proxy.url(), is_proxied)?;
        let said = replica.refusal(PATIENCE)?;
        ensure!(said.contains(hint), "no word of {hint}:\n{said}");
    }
    Ok(())
}

fn through(house: &mut House, binary: &Path, version: Version) -> anyhow::Result<Through> {
    let proxy = Proxy::start(binary, house, Some(proxy::STATEMENTS))?;
    let endpoint = Endpoint::start()?;
    let hook = json!({"url": endpoint.url()});
    let hook = house.api().post("/api/v1/webhooks", &hook)?.success()?;
    let hook = hook["webhook_id"].as_str().context("no webhook_id")?;
    let replicas = [0, 1].map(|number| Replica::start(house, number, &proxy.url(), true));
    let [mut one, mut two] = replicas.map(|replica| replica.and_then(Replica::ready));
    let (one, two) = (one.as_mut(), two.as_mut());
    let (one, two) = match (one, two) {
        (Ok(one), Ok(two)) => (one, two),
        (one, two) => anyhow::bail!("{version}: {:?} {:?}", one.err(), two.err()),
    };
    let scene = Scene {
        door: FrontDoor::open(house, one)?,
        other: FrontDoor::open(house, two)?,
        endpoint,
        hook: hook.to_owned(),
    };
    let start_max = scene.singles()?;
    let took = scene.many()?;
    let cancelled_within = scene.cancelled()?;
    let (leader, follower, door) = match one.leads()? {
        true => (one, two, &scene.other),
        false => (two, one, &scene.door),
    };
    let (led_within, rescued, rescued_within) = scene.killed(leader, follower, door)?;
    let slots = scene.slots(door)?;
    // A replica that stops waits for its callers to go.
    drop(scene);
    follower.stop(PATIENCE)?;
    Ok(Through {
        connections: proxy::CONNECTIONS,
        jobs: MESSAGES,
        took,
        start_max,
        cancelled_within,
        led_within,
        rescued,
        rescued_within,
        slots,
    })
}

/// Two replicas by their front doors, and who is called.
struct Scene {
    door: FrontDoor,
    other: FrontDoor,
    endpoint: Endpoint,
    hook: String,
}

impl Scene {
    /// From one job's enqueuing until it calls, at most; the same wish twice is one job.
    fn singles(&self) -> anyhow::Result<Duration> {
        let mut longest = Duration::ZERO;
        for number in 0..SINGLES {
            let message = format!("single-{number}");
            let wish = EnqueueRequest {
                idempotency_key: message.clone(),
                ..self.delivery(&message)
            };
            let began = Instant::now();
            let (id, created) = self.door.enqueue(wish.clone())?;
            self.called(&message)?;
            longest = longest.max(began.elapsed());
            let again = self.other.enqueue(wish)?;
            ensure!(created && again == (id, false), "a key made two jobs");
        }
        Ok(longest)
    }

    /// Batches by both doors: each job once, at its first attempt.
    fn many(&self) -> anyhow::Result<Duration> {
        let names: Vec<String> = (0..MESSAGES).map(|it| format!("many-{it}")).collect();
        let began = Instant::now();
        let mut ids = BTreeSet::new();
        for (batch, door) in names
            .chunks(BATCH)
            .zip([&self.door, &self.other].iter().cycle())
        {
            let wishes = batch.iter().map(|name| self.delivery(name)).collect();
            ids.extend(door.enqueue_many(wishes)?);
        }
        ensure!(ids.len() == MESSAGES, "{} jobs were made", ids.len());
        let jobs = self.finished(&self.door, &ids)?;
        let took = began.elapsed();
        for job in jobs {
            let state = job.state();
            ensure!(
                state == JobState::Completed && job.attempt == 1,
                "{job:?} was not done at once"
            );
        }
        for name in &names {
            let calls = self.endpoint.calls(name);
            ensure!(calls == 1, "{name} was delivered {calls} times");
        }
        Ok(took)
    }

    /// A running job is cancelled by the replica that may not have it.
    fn cancelled(&self) -> anyhow::Result<Duration> {
        let message = format!("{HELD}-cancelled");
        let (id, _) = self.door.enqueue(self.delivery(&message))?;
        self.called(&message)?;
        let began = Instant::now();
        self.other.cancel(id)?;
        let jobs = self.finished(&self.door, &BTreeSet::from([id]))?;
        let took = began.elapsed();
        let calls = self.endpoint.calls(&message);
        ensure!(
            jobs.iter().all(|job| job.state() == JobState::Cancelled) && calls == 1,
            "a job that was cancelled was called {calls} times: {jobs:?}"
        );
        Ok(took)
    }

    /// The leader dies with work in its hands. Gives when the other led, how many jobs were
    /// rescued, and when the last one was done.
    fn killed(
        &self,
        leader: &mut Replica,
        follower: &Replica,
        door: &FrontDoor,
    ) -> anyhow::Result<(Duration, usize, Duration)> {
        let names: Vec<String> = (0..HELD_JOBS).map(|it| format!("{HELD}-{it}")).collect();
        let wishes = names.iter().map(|name| self.delivery(name)).collect();
        let ids: BTreeSet<i64> = door.enqueue_many(wishes)?.into_iter().collect();
        for name in &names {
            self.called(name)?;
        }
        leader.kill()?;
        let began = Instant::now();
        self.endpoint.release();
        wait::until("the other replica leads", LEADER_WITHIN, || {
            follower.leads().ok()?.then_some(())
        })?;
        let led_within = began.elapsed();
        let jobs = self.finished(door, &ids)?;
        let is_done = |job: &Job| job.state() == JobState::Completed;
        ensure!(jobs.iter().all(is_done), "jobs of a dead worker: {jobs:?}");
        let rescued = jobs.iter().filter(|job| job.attempt > 1).count();
        ensure!(rescued > 0, "the dead worker had no job");
        Ok((led_within, rescued, began.elapsed()))
    }

    /// Every slot made one job, also after the leader's death, and none failed.
    fn slots(&self, door: &FrontDoor) -> anyhow::Result<usize> {
        let newest = |jobs: &[Job]| jobs.iter().map(|job| job.id).max();
        let before = newest(&door.list(SCHEDULED[0])?);
        wait::until("the new leader makes a slot's job", PATIENCE, || {
            let jobs = door.list(SCHEDULED[0]).ok()?;
            (newest(&jobs) > before).then_some(())
        })?;
        let mut slots = 0;
        for kind in SCHEDULED {
            let jobs = door.list(kind)?;
            let made: BTreeSet<i64> = jobs.iter().map(|job| job.run_at_unix_ms).collect();
            ensure!(made.len() == jobs.len(), "{kind}: a slot has two jobs");
            let failed = jobs.iter().find(|job| job.state() == JobState::Discarded);
            ensure!(failed.is_none(), "{kind}: {failed:?}");
            slots += jobs.len();
        }
        Ok(slots)
    }

    fn delivery(&self, message: &str) -> EnqueueRequest {
        let arguments = json!({"webhook_id": self.hook, "message_id": message, "body": "{}"});
        EnqueueRequest {
            kind: DELIVERY.to_owned(),
            arguments_json: arguments.to_string(),
            ..EnqueueRequest::default()
        }
    }

    fn called(&self, message: &str) -> anyhow::Result<()> {
        let what = format!("{message} is delivered");
        wait::until(&what, PATIENCE, || {
            (self.endpoint.calls(message) > 0).then_some(())
        })
    }

    /// The jobs, once all have finished.
    fn finished(&self, door: &FrontDoor, ids: &BTreeSet<i64>) -> anyhow::Result<Vec<Job>> {
        wait::until("jobs finish", PATIENCE, || {
            let mut jobs = door.list(DELIVERY).ok()?;
            jobs.retain(|job| ids.contains(&job.id) && job.finished_at_unix_ms > 0);
            (jobs.len() == ids.len()).then_some(jobs)
        })
    }
}
