//! A gateway that takes turns with others at the most it can take.

use std::time::Duration;

use super::load::{self, Load};
use super::sender::Target;

const WARM_UP: Duration = Duration::from_secs(2);
/// How much more than before a turn may take, of which the batches are made before it.
const MARGIN: f64 = 1.8;

/// One of them.
#[derive(Debug)]
pub(super) struct Contender {
    target: Target,
    load: Load,
    /// What it took in the turn before.
    events_per_s: f64,
}

impl Contender {
    /// A short run, so that pools are filled and statements prepared.
    pub(super) fn warmed_up(target: &Target, load: Load) -> anyhow::Result<Self> {
        let warm_up = Load {
            length: WARM_UP.min(load.length),
            ..load
        };
        Ok(Self {
            target: target.clone(),
            load,
            events_per_s: load::most(target, warm_up, 0)?,
        })
    }

    /// Events that it acknowledges in a second.
    pub(super) fn turn(&mut self) -> anyhow::Result<f64> {
        let events = self.events_per_s * self.load.length.as_secs_f64() * MARGIN;
        let batches = events / self.load.batch as f64;
        self.events_per_s = load::most(&self.target, self.load, batches as usize)?;
        Ok(self.events_per_s)
    }
}
