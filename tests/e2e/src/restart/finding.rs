//! What a restart drill found.

use std::fmt::{self, Display, Formatter};
use std::time::Duration;

use serde_json::{Value, json};

use super::Fall;
use crate::machine;

/// What is promised.
const TO_PICTURE_SECONDS_MAX: f64 = 5.0;

/// How one return went; all times are from the moment the node went.
#[derive(Debug, Clone, Copy)]
pub struct Return {
    /// How it went.
    pub fall: Fall,
    /// Until it had ended.
    pub away: Duration,
    /// Until it was started again and held its session.
    pub to_node: Duration,
    /// Until the player decoded a picture that was sent later.
    pub to_picture: Duration,
    /// How often the encoder was started in all.
    pub encoder_starts: usize,
    /// How often the player was.
    pub player_starts: usize,
}

/// What came of a drill.
#[derive(Debug, Clone)]
pub struct Finding {
    /// Who bonded.
    pub bonder: String,
    /// What encoder and player asked for.
    pub latency: Duration,
    /// One of each fall.
    pub returns: [Return; 2],
}

impl Finding {
    /// Whether the picture was back in time both times.
    #[must_use]
    pub fn meets_bars(&self) -> bool {
        let is_in_time = |back: &Return| back.to_picture.as_secs_f64() < TO_PICTURE_SECONDS_MAX;
        self.returns.iter().all(is_in_time)
    }

    /// The finding for programs.
    #[must_use]
    pub fn to_json(&self) -> Value {
        let [killed, stopped] = self.returns.map(Return::to_json);
        json!({
            "bars": {
                "killed_to_picture_seconds": self.returns[0].to_picture.as_secs_f64(),
                "stopped_to_picture_seconds": self.returns[1].to_picture.as_secs_f64(),
            },
            "limits": {
                "killed_to_picture_seconds": TO_PICTURE_SECONDS_MAX,
                "stopped_to_picture_seconds": TO_PICTURE_SECONDS_MAX,
            },
            "sender": self.bonder,
            "latency_ms": self.latency.as_millis() as u64,
            "killed": killed,
            "stopped": stopped,
            "machine": machine::describe(),
        })
    }
}

impl Return {
    fn to_json(self) -> Value {
        json!({
            "ended_after_seconds": self.away.as_secs_f64(),
            "node_back_after_seconds": self.to_node.as_secs_f64(),
            "picture_after_seconds": self.to_picture.as_secs_f64(),
            "encoder_starts": self.encoder_starts,
            "player_starts": self.player_starts,
        })
    }
}

impl Display for Finding {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "sender: {}; latency {} ms; seconds since the node went:",
            self.bonder,
            self.latency.as_millis()
        )?;
        writeln!(
            f,
            "{:<8} {:>8} {:>10} {:>8}  started: encoder, player",
            "node", "ended", "back", "picture"
        )?;
        for back in &self.returns {
            writeln!(
                f,
                "{:<8} {:>8.2} {:>10.2} {:>8.2}  {}, {}",
                back.fall.name(),
                back.away.as_secs_f64(),
                back.to_node.as_secs_f64(),
                back.to_picture.as_secs_f64(),
                back.encoder_starts,
                back.player_starts
            )?;
        }
        writeln!(
            f,
            "the picture must be back in less than {TO_PICTURE_SECONDS_MAX} s"
        )
    }
}
