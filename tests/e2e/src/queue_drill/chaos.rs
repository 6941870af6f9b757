//! Who dies when.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use testkit::random::Random;

use super::{LEASE, Plan};
use crate::postgres::Postgres;
use crate::program::Program;

/// What the database takes to be away.
const AWAY: Duration = Duration::from_millis(700);

/// The workers and their database.
pub(super) struct Chaos {
    plan: Plan,
    directory: PathBuf,
    postgres: Postgres,
    workers: Vec<Program>,
    random: Random,
    kill_at: Instant,
    kills: u32,
    restarts: u32,
    restarted: Option<Instant>,
}

impl Chaos {
    pub(super) fn start(plan: &Plan, postgres: Postgres, directory: &Path) -> anyhow::Result<Self> {
        let mut chaos = Self {
            plan: plan.clone(),
            directory: directory.to_owned(),
            postgres,
            workers: Vec::new(),
            random: Random::new(plan.seed),
            kill_at: Instant::now(),
            kills: 0,
            restarts: 0,
            restarted: None,
        };
        for number in 0..plan.workers {
            let worker = chaos.worker(number)?;
            chaos.workers.push(worker);
        }
        chaos.choose_next();
        Ok(chaos)
    }

    /// Kills who is due, when this `share` of the jobs is done.
    pub(super) fn turn(&mut self, share: f64) -> anyhow::Result<()> {
        let parts = f64::from(self.plan.restarts + 1);
        if self.restarts < self.plan.restarts && share >= f64::from(self.restarts + 1) / parts {
            self.postgres.kill()?;
            std::thread::sleep(AWAY);
            self.postgres.restart()?;
            self.restarts += 1;
            self.restarted = Some(Instant::now());
        }
        if Instant::now() >= self.kill_at {
            let victim = self.random.below(self.workers.len() as u64) as usize;
            self.workers[victim].kill()?;
            self.workers[victim] = self.worker(victim)?;
            self.kills += 1;
            self.choose_next();
        }
        Ok(())
    }

    /// Whether the database has been there long enough for leases to be looked after.
    pub(super) fn is_settled(&self) -> bool {
        self.restarted.is_none_or(|at| at.elapsed() > LEASE)
    }

    /// Ends the workers; says how many were killed before, and how often the database.
    pub(super) fn end(mut self) -> anyhow::Result<(u32, u32, Postgres)> {
        for worker in &mut self.workers {
            worker.kill()?;
        }
        Ok((self.kills, self.restarts, self.postgres))
    }

    fn choose_next(&mut self) {
        let pause = self.plan.kill_interval.mul_f64(0.5 + self.random.ratio());
        self.kill_at = Instant::now() + pause;
    }

    fn worker(&self, number: usize) -> anyhow::Result<Program> {
        let mut command = Command::new(&self.plan.program);
        command.args(["jobs-worker", "--database-url", &self.postgres.url()]);
        let log = self.directory.join(format!("worker-{number}.log"));
        Program::start("a worker", &mut command, &log)
    }
}
