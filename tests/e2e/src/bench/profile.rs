//! What is measured: how many streams, at which rate, to how many players.

use std::time::Duration;

/// One shape of load.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, clap::ValueEnum)]
pub enum Profile {
    /// 50 streams of 6 Mbit/s to a player each.
    Fifty,
    /// One stream of 300 Mbit/s to a player.
    Fast,
    /// One stream of 6 Mbit/s to a player.
    Single,
    /// One stream of 6 Mbit/s to 50 players.
    Fanout,
    /// One stream to a player at the highest rate that loses nothing.
    Max,
    /// 50 streams of 6 Mbit/s to a player each, as they are and over three links each.
    Bonded,
    /// 500 publishers that send nothing.
    Idle,
    /// 500 streams of 6 Mbit/s to a player each.
    Fivehundred,
}

/// The numbers of a profile.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Shape {
    /// Streams, each with a publisher.
    pub streams: u32,
    /// Players of each.
    pub players: u32,
    /// Payload bits a second of each; 0 means keepalives only.
    pub rate_bps: u64,
}

const MBIT: u64 = 1_000_000;

impl Profile {
    /// All, in the order in which they are run.
    pub const ALL: [Self; 8] = [
        Self::Fifty,
        Self::Fast,
        Self::Single,
        Self::Fanout,
        Self::Max,
        Self::Bonded,
        Self::Idle,
        Self::Fivehundred,
    ];

    /// The name on the command line and in reports.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Fifty => "fifty",
            Self::Fast => "fast",
            Self::Single => "single",
            Self::Fanout => "fanout",
            Self::Max => "max",
            Self::Bonded => "bonded",
            Self::Idle => "idle",
            Self::Fivehundred => "fivehundred",
        }
    }

    /// Its numbers; the rate of [`Max`](Self::Max) is where the search begins.
    #[must_use]
    pub const fn shape(self) -> Shape {
        let (streams, players, rate_bps) = match self {
            Self::Fifty | Self::Bonded => (50, 1, 6 * MBIT),
            Self::Fast => (1, 1, 300 * MBIT),
            Self::Single => (1, 1, 6 * MBIT),
            Self::Fanout => (1, 50, 6 * MBIT),
            Self::Max => (1, 1, 1600 * MBIT),
            Self::Idle => (500, 0, 0),
            Self::Fivehundred => (500, 1, 6 * MBIT),
        };
        Shape {
            streams,
            players,
            rate_bps,
        }
    }

    /// Whether the way without a relay is measured, too: delays are held against it.
    pub(super) const fn has_direct(self) -> bool {
        !matches!(self, Self::Idle | Self::Bonded)
    }

    /// How often each way is measured, in turns.
    pub(super) const fn rounds(self) -> u32 {
        match self {
            Self::Fifty | Self::Bonded => 5,
            Self::Fast | Self::Single | Self::Fanout => 3,
            Self::Max | Self::Idle | Self::Fivehundred => 1,
        }
    }

    /// Its share of a run's time, in hundredths when all are asked for.
    pub(super) const fn time_parts(self) -> u32 {
        match self {
            Self::Max => 30,
            Self::Fifty | Self::Bonded => 16,
            Self::Fast => 10,
            Self::Single | Self::Fanout | Self::Fivehundred => 8,
            Self::Idle => 4,
        }
    }
}

/// What a turn takes besides what is judged: starting, connecting, warming up,
/// waiting for stragglers.
pub(super) const OVERHEAD: Duration = Duration::from_millis(1200);
/// The least that is judged in a turn.
pub(super) const JUDGED_MIN: Duration = Duration::from_millis(500);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_profiles_share_a_run() {
        let parts: u32 = Profile::ALL.into_iter().map(Profile::time_parts).sum();
        assert_eq!(parts, 100);
    }
}
