//! The four services, started in order and stopped together.

use std::time::{Duration, Instant};

use anyhow::bail;
use service_kit::Running;

use super::launch::{self, Settings};
use super::signal::Stop;

const LOOK_INTERVAL: Duration = Duration::from_millis(10);
/// How long the others wait for one that takes its time to stop.
const HEAD_START: Duration = Duration::from_millis(250);

/// Why an instance ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum End {
    /// A signal asked to stop.
    Signal,
    /// A service ended by itself.
    Service(&'static str),
}

/// The running services, in the order in which they were started.
#[derive(Default)]
pub(super) struct House {
    services: Vec<Running>,
}

impl House {
    /// Starts everything and waits until all are ready; says if the instance is
    /// to end before that.
    pub(super) fn open(
        &mut self,
        settings: &Settings,
        stop: &Stop,
        timeout: Duration,
    ) -> anyhow::Result<Option<End>> {
        let deadline = Instant::now() + timeout;
        for start in launch::ORDER {
            if stop.is_requested() {
                return Ok(Some(End::Signal));
            }
            self.services.push(start(settings)?);
            if let Some(end) = self.until_ready(stop, deadline)? {
                return Ok(Some(end));
            }
        }
        Ok(None)
    }

    fn until_ready(&self, stop: &Stop, deadline: Instant) -> anyhow::Result<Option<End>> {
        loop {
            if stop.is_requested() {
                return Ok(Some(End::Signal));
            }
            if let Some(name) = self.ended() {
                return Ok(Some(End::Service(name)));
            }
            let Some(waiting) = self.services.iter().find(|service| !service.is_ready()) else {
                return Ok(None);
            };
            if Instant::now() > deadline {
                let Err(reasons) = waiting.wait_ready(Duration::ZERO) else {
                    continue;
                };
                bail!("{reasons}");
            }
            std::thread::sleep(LOOK_INTERVAL);
        }
    }

    /// The name of a service that ended by itself.
    pub(super) fn ended(&self) -> Option<&'static str> {
        let ended = self.services.iter().find(|service| service.has_finished());
        ended.map(Running::name)
    }

    /// Stops every service, the last one first, so that each can still take its
    /// leave of those it needs; the error is the first one's.
    pub(super) fn close(self) -> anyhow::Result<()> {
        for service in self.services.iter().rev() {
            service.shutdown();
            let until = Instant::now() + HEAD_START;
            while !service.has_finished() && Instant::now() < until {
                std::thread::sleep(LOOK_INTERVAL);
            }
        }
        let mut outcome = Ok(());
        for service in self.services {
            let name = service.name();
            let ended = service.join().map_err(|error| error.context(name));
            outcome = outcome.and(ended);
        }
        outcome
    }
}
