//! How events of apps are taken.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Result;
use model::clock::Clock;
use serde::{Deserialize, Serialize};
use service_kit::config::check_positive;
use service_kit::places::Places;

use super::nats::NatsConfig;
use crate::events::batch::EVENTS_MAX;
use crate::events::body::Bodies;
use crate::events::event::Times;
use crate::events::nonces::Nonces;
use crate::events::sink::Sink;
use crate::events::spool::{Spool, Work};
use crate::events::writers::Settings;

/// How events of apps are taken.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct EventsConfig {
    /// A file that holds the key which apps' secrets are sealed with, 64 hexadecimal digits;
    /// without one no app sends anything.
    pub sealing_key_file: Option<PathBuf>,
    /// How far a request's time may be from now, 60 to 3600.
    pub window_seconds: u32,
    /// Older events are put aside, 1 to 3650.
    pub past_days_max: u32,
    /// Events that lie further ahead are put aside, 0 to 86400.
    pub future_seconds_max: u32,
    /// Transactions at the same time, 1 to 16.
    pub writers: u8,
    /// Events of one transaction, 1 to 20000.
    pub flush_events: usize,
    /// How long a transaction waits for more events, 0 to 100.
    pub linger_ms: u32,
    /// Events that wait to be written; more are refused.
    pub queue_events_max: usize,
    /// Bodies that are read at the same time.
    pub bodies_max: usize,
    /// And from one address outside our own networks.
    pub bodies_each_max: usize,
    /// The memory of all bodies, bytes.
    pub bodies_bytes_max: usize,
    /// How long a body may take to come, 1 to 300.
    pub body_seconds: u32,
    /// Requests whose answer is remembered, in case they come again.
    pub nonces_max: usize,
    /// A log on disk for when the database is away.
    pub spool: SpoolConfig,
    /// A log between gateways that take events and those that write them.
    pub nats: NatsConfig,
}

/// A log on disk for when the database is away.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct SpoolConfig {
    /// Its directory, this gateway's alone, made when it is missing; without one there is no
    /// spool, and events are refused while the database is away.
    pub dir: Option<PathBuf>,
    /// What it may hold, bytes, at least 16777216; more is refused.
    pub bytes_max: u64,
}

impl Default for EventsConfig {
    fn default() -> Self {
        Self {
            sealing_key_file: None,
            window_seconds: 600,
            past_days_max: 400,
            future_seconds_max: 86_400,
            writers: 3,
            flush_events: 4000,
            linger_ms: 5,
            queue_events_max: 50_000,
            bodies_max: 256,
            bodies_each_max: 16,
            bodies_bytes_max: 128 << 20,
            body_seconds: 20,
            nonces_max: 100_000,
            spool: SpoolConfig::default(),
            nats: NatsConfig::default(),
        }
    }
}

impl Default for SpoolConfig {
    fn default() -> Self {
        Self {
            dir: None,
            bytes_max: 1 << 30,
        }
    }
}

impl SpoolConfig {
    /// Puts the spool in front of a store, if there is to be one.
    pub(crate) fn before(
        &self,
        store: Arc<dyn Sink>,
        clock: &Arc<dyn Clock>,
    ) -> Result<(Arc<dyn Sink>, Option<Work>)> {
        let Some(dir) = &self.dir else {
            return Ok((store, None));
        };
        let (spool, work) = Spool::open(dir, self.bytes_max, store, clock.clone())?;
        Ok((Arc::new(spool), Some(work)))
    }
}

/// Room for the largest batch, and some.
const SPOOL_BYTES_MIN: u64 = 16 << 20;
const DAY: Duration = Duration::from_secs(86_400);

impl EventsConfig {
    pub(crate) fn validate(&self) -> Result<(), String> {
        let bounded = [
            ("window_seconds", self.window_seconds, 60, 3600),
            ("past_days_max", self.past_days_max, 1, 3650),
            ("future_seconds_max", self.future_seconds_max, 0, 86_400),
            ("writers", self.writers.into(), 1, 16),
            ("linger_ms", self.linger_ms, 0, 100),
            ("body_seconds", self.body_seconds, 1, 300),
        ];
        for (name, value, min, max) in bounded {
            if !(min..=max).contains(&value) {
                return Err(format!("events.{name}: {min} to {max}"));
            }
        }
        if !(1..=20_000).contains(&self.flush_events) {
            return Err("events.flush_events: 1 to 20000".to_owned());
        }
        if self.queue_events_max < EVENTS_MAX {
            return Err(format!("events.queue_events_max: at least {EVENTS_MAX}"));
        }
        if self.spool.bytes_max < SPOOL_BYTES_MIN {
            return Err(format!(
                "events.spool.bytes_max: at least {SPOOL_BYTES_MIN}"
            ));
        }
        self.nats.validate()?;
        if self.nats.is_set() && self.sealing_key_file.is_none() {
            return Err("events.nats: set events.sealing_key_file as well".to_owned());
        }
        if self.spool.dir.is_some() && self.sealing_key_file.is_none() {
            return Err("events.spool.dir: set events.sealing_key_file as well".to_owned());
        }
        check_positive(&[
            ("events.bodies_max", self.bodies_max),
            ("events.bodies_each_max", self.bodies_each_max),
            ("events.bodies_bytes_max", self.bodies_bytes_max),
            ("events.nonces_max", self.nonces_max),
        ])
    }

    pub(crate) fn window(&self) -> Duration {
        Duration::from_secs(self.window_seconds.into())
    }

    pub(crate) fn times(&self) -> Times {
        Times {
            past_max: DAY * self.past_days_max,
            future_max: Duration::from_secs(self.future_seconds_max.into()),
        }
    }

    pub(crate) fn settings(&self) -> Settings {
        Settings {
            writers: self.writers,
            flush_events: self.flush_events,
            linger: Duration::from_millis(self.linger_ms.into()),
            queue_events_max: self.queue_events_max,
        }
    }

    pub(crate) fn bodies(&self) -> Bodies {
        let places = Places::new(self.bodies_max, self.bodies_each_max);
        let patience = Duration::from_secs(self.body_seconds.into());
        Bodies::new(places, self.bodies_bytes_max, patience)
    }

    /// A request is remembered for as long as its time may still be believed.
    pub(crate) fn nonces(&self) -> Nonces {
        Nonces::new(self.nonces_max, self.window() * 2)
    }
}
