//! How a stream behaves on its node, as its owner sets it. What is not set is
//! left to the node's configuration.

use serde::{Deserialize, Serialize};

use crate::words::words;

words! {
    /// What players see when a publisher returns to a stream that was on hold.
    pub enum Resume {
        /// The stream continues: sequence numbers and time go on after the gap.
        Hold = "hold",
        /// Players are disconnected at the takeover, so that they connect again
        /// and their decoders start afresh.
        Cut = "cut",
    }
}

words! {
    /// When a packet goes on to the players.
    pub enum Delivery {
        /// On arrival: the player's own buffer puts it in order.
        PassThrough = "pass_through",
        /// In order, after the publisher's full latency (TSBPD,
        /// draft-sharabayko-srt-01 section 4.5), for players that need it.
        Buffered = "buffered",
    }
}

words! {
    /// Where a joining player starts.
    pub enum Start {
        /// At the newest packet.
        Newest = "newest",
        /// At the last place from which a decoder can begin, when the node
        /// still has it.
        Keyframe = "keyframe",
    }
}

words! {
    /// Whether callers encrypt with the stream's passphrase
    /// (draft-sharabayko-srt-01 section 6).
    pub enum Encryption {
        /// Nobody does: a caller with key material is refused, as a libsrt
        /// listener without a passphrase refuses it.
        Off = "off",
        /// Callers with the right passphrase and clear callers are let in.
        Optional = "optional",
        /// Everybody must: a clear caller is refused, as a libsrt listener with
        /// a passphrase and enforced encryption refuses it.
        Required = "required",
    }
}

/// What the owner of a stream set. `None` leaves it to the node's configuration.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct StreamSettings {
    /// The least SRT latency a caller gets, in milliseconds.
    pub latency_min_ms: Option<u32>,
    /// The most SRT latency a caller may ask for, in milliseconds.
    pub latency_max_ms: Option<u32>,
    /// The most bits a second that the publisher sends.
    pub rate_bps_max: Option<u64>,
    /// The most payload bytes in a session's life: of the publisher, and of all
    /// players together.
    pub bytes_max: Option<u64>,
    /// The most players at one time.
    pub players_max: Option<u32>,
    /// How long players are kept without a publisher, in seconds.
    pub hold_seconds: Option<u32>,
    /// What players see when the publisher returns.
    pub resume: Option<Resume>,
    /// When packets go on to players.
    pub delivery: Option<Delivery>,
    /// Where joining players start.
    pub start: Option<Start>,
    /// Whether callers encrypt.
    pub encryption: Option<Encryption>,
}

/// Which setting is not possible, and what would be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum InvalidSettings {
    /// A number is too small or too large.
    #[error("{field}: {least} to {most}")]
    OutOfRange {
        /// The setting.
        field: &'static str,
        /// The smallest that is possible.
        least: u64,
        /// The largest that is possible.
        most: u64,
    },
    /// The least latency is above the most.
    #[error("latency_min_ms: at most latency_max_ms")]
    LatencyOrder,
}

impl StreamSettings {
    /// Says whether every number is one that a node can keep to.
    ///
    /// # Errors
    /// With the first setting that is not possible.
    pub fn check(&self) -> Result<(), InvalidSettings> {
        let latency = |field, ms: Option<u32>| within(field, ms, 20, 60_000);
        latency("latency_min_ms", self.latency_min_ms)?;
        latency("latency_max_ms", self.latency_max_ms)?;
        within("rate_bps_max", self.rate_bps_max, 10_000, 10_000_000_000)?;
        within(
            "bytes_max",
            self.bytes_max,
            1_000_000,
            1_000_000_000_000_000,
        )?;
        within("players_max", self.players_max, 1, 1_024)?;
        within("hold_seconds", self.hold_seconds, 0, 86_400)?;
        match (self.latency_min_ms, self.latency_max_ms) {
            (Some(least), Some(most)) if least > most => Err(InvalidSettings::LatencyOrder),
            _ => Ok(()),
        }
    }
}

impl Encryption {
    /// Whether callers can need a passphrase.
    #[must_use]
    pub const fn has_passphrase(self) -> bool {
        !matches!(self, Self::Off)
    }
}

fn within(
    field: &'static str,
    value: Option<impl Into<u64>>,
    least: u64,
    most: u64,
) -> Result<(), InvalidSettings> {
    match value.map(Into::into) {
        Some(value) if !(least..=most).contains(&value) => {
            Err(InvalidSettings::OutOfRange { field, least, most })
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with(change: impl FnOnce(&mut StreamSettings)) -> Result<(), String> {
        let mut settings = StreamSettings::default();
        change(&mut settings);
        settings.check().map_err(|error| error.to_string())
    }

    #[test]
    fn nothing_set_is_possible_and_so_is_every_bound() {
        assert_eq!(with(|_| {}), Ok(()));
        for (min, max) in [(20, 20), (20, 60_000), (60_000, 60_000)] {
            let latency = |s: &mut StreamSettings| {
                (s.latency_min_ms, s.latency_max_ms) = (Some(min), Some(max));
            };
            assert_eq!(with(latency), Ok(()));
        }
        for rate in [10_000, 10_000_000_000] {
            assert_eq!(with(|s| s.rate_bps_max = Some(rate)), Ok(()));
        }
        for hold in [0, 86_400] {
            assert_eq!(with(|s| s.hold_seconds = Some(hold)), Ok(()));
        }
        for players in [1, 1_024] {
            assert_eq!(with(|s| s.players_max = Some(players)), Ok(()));
        }
    }

    #[test]
    fn what_is_not_possible_is_named() {
        let error = |change: fn(&mut StreamSettings)| with(change).unwrap_err();
        assert_eq!(
            error(|s| s.latency_min_ms = Some(19)),
            "latency_min_ms: 20 to 60000"
        );
        assert_eq!(
            error(|s| s.latency_max_ms = Some(60_001)),
            "latency_max_ms: 20 to 60000"
        );
        assert_eq!(
            error(|s| s.rate_bps_max = Some(9_999)),
            "rate_bps_max: 10000 to 10000000000"
        );
        assert_eq!(
            error(|s| s.bytes_max = Some(u64::MAX)),
            "bytes_max: 1000000 to 1000000000000000"
        );
        assert_eq!(error(|s| s.players_max = Some(0)), "players_max: 1 to 1024");
        assert_eq!(
            error(|s| s.hold_seconds = Some(86_401)),
            "hold_seconds: 0 to 86400"
        );
        assert_eq!(
            error(|s| (s.latency_min_ms, s.latency_max_ms) = (Some(200), Some(199))),
            "latency_min_ms: at most latency_max_ms"
        );
    }

    #[test]
    fn encryption_off_needs_no_passphrase() {
        assert_eq!(
            Encryption::ALL
                .iter()
                .map(|e| e.has_passphrase())
                .collect::<Vec<_>>(),
            [false, true, true]
        );
    }
}
