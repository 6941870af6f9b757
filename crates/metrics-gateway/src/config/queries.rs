//! What questions about events may take.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use service_kit::config::check_positive;

use crate::queries::Bounds;

/// What questions about events may take.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct QueriesConfig {
    /// Statements at the same time, each with a connection of its own, 1 to 64.
    pub connections: u32,
    /// How long one may take, 1 to 300.
    pub seconds_max: u32,
    /// The memory of answers that are remembered, bytes.
    pub cache_bytes_max: usize,
    /// Exports at the same time.
    pub exports_max: usize,
    /// And of one app.
    pub exports_each_max: usize,
}

impl Default for QueriesConfig {
    fn default() -> Self {
        Self {
            connections: 3,
            seconds_max: 10,
            cache_bytes_max: 32 << 20,
            exports_max: 8,
            exports_each_max: 2,
        }
    }
}

impl QueriesConfig {
    pub(crate) fn validate(&self) -> Result<(), String> {
        for (name, value, max) in [
            ("connections", self.connections, 64),
            ("seconds_max", self.seconds_max, 300),
        ] {
            if !(1..=max).contains(&value) {
                return Err(format!("queries.{name}: 1 to {max}"));
            }
        }
        check_positive(&[
            ("queries.cache_bytes_max", self.cache_bytes_max),
            ("queries.exports_max", self.exports_max),
            ("queries.exports_each_max", self.exports_each_max),
        ])
    }

    pub(crate) fn patience(&self) -> Duration {
        Duration::from_secs(self.seconds_max.into())
    }

    pub(crate) fn bounds(&self) -> Bounds {
        Bounds {
            connections: self.connections,
            patience: self.patience(),
            cache_bytes_max: self.cache_bytes_max,
            exports_max: self.exports_max,
            exports_each_max: self.exports_each_max,
        }
    }
}
