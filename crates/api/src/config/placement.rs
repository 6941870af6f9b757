//! What a session takes, and what counts when a node is chosen.

use placement::{Demand, Weights};
use serde::{Deserialize, Serialize};
use service_kit::config::check_positive;

use super::seconds;

/// What a session is expected to take, and what counts when a node is chosen.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct PlacementConfig {
    /// A stream's rate unless its settings say how high it may be, bits a second.
    pub stream_bps: u64,
    /// Players of a stream unless its settings say how many there may be.
    pub players: u32,
    /// How long it lasts.
    pub duration_seconds: u32,
    /// What a session in the region that was asked for is worth, in your currency.
    pub region_price: f64,
    /// What a terabyte is worth on a node whose allowance will just be used up: what it
    /// costs where bytes are sold.
    pub terabyte_price: f64,
    /// What it is worth to keep a port from being full.
    pub port_price: f64,
    /// Sessions that begin to leave nodes whose bytes run out, in a minute; 0: none ever.
    pub moves_max: u32,
}

impl Default for PlacementConfig {
    fn default() -> Self {
        let (demand, weights) = (Demand::default(), Weights::default());
        Self {
            stream_bps: demand.stream_bps,
            players: demand.players,
            duration_seconds: 4 * 3600,
            region_price: weights.region,
            terabyte_price: weights.terabyte,
            port_price: weights.port,
            moves_max: 20,
        }
    }
}

impl PlacementConfig {
    pub(crate) fn demand(&self) -> Demand {
        Demand {
            stream_bps: self.stream_bps,
            players: self.players,
            duration: seconds(self.duration_seconds),
        }
    }

    pub(crate) fn weights(&self) -> Weights {
        Weights {
            region: self.region_price,
            terabyte: self.terabyte_price,
            port: self.port_price,
            ..Weights::default()
        }
    }

    pub(super) fn validate(&self) -> Result<(), String> {
        check_positive(&[("placement.duration_seconds", self.duration_seconds)])?;
        if !(1..=10_000_000_000).contains(&self.stream_bps) {
            return Err("placement.stream_bps: 1 to 10^10 bits a second".to_owned());
        }
        if self.players > 10_000 {
            return Err("placement.players: 0 to 10000".to_owned());
        }
        let prices = [
            ("placement.region_price", self.region_price),
            ("placement.terabyte_price", self.terabyte_price),
            ("placement.port_price", self.port_price),
        ];
        for (name, price) in prices {
            if !(0.0..=1e9).contains(&price) {
                return Err(format!("{name}: 0 to 10^9"));
            }
        }
        Ok(())
    }
}
