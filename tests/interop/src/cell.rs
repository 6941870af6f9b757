//! One run of the matrix, and which runs there are.

use std::fmt;
use std::time::Duration;

use testkit::linksim::{Burst, Impairment};

/// A program with the options that its users run it with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Program {
    /// srt-live-transmit, from Debian's `srt-tools`.
    SrtLiveTransmit,
    /// ffmpeg with nothing but an address.
    Ffmpeg,
    /// OBS: its output and its media source are ffmpeg's SRT with options of
    /// their own.
    Obs,
    /// Moblin's own implementation of SRT; it publishes only.
    Moblin,
}

/// What the callers encrypt with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Encryption {
    /// Nothing.
    Clear,
    /// AES with 128 bits.
    Aes128,
    /// AES with 256 bits.
    Aes256,
}

/// What each leg loses, in both directions.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Loss {
    /// Nothing.
    None,
    /// 2 %, each packet by itself.
    TwoPercent,
    /// 10 %, four packets at a time.
    Bursts,
}

/// How long a packet travels over one leg.
pub const DELAY: Duration = Duration::from_millis(20);
/// The SRT latencies of the matrix.
pub const LATENCIES_MS: [u64; 3] = [120, 400, 2000];

/// One run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cell {
    /// Who sends.
    pub publisher: Program,
    /// Who receives.
    pub player: Program,
    /// With which encryption, both of them.
    pub encryption: Encryption,
    /// What the paths lose.
    pub loss: Loss,
    /// What both callers ask for.
    pub latency: Duration,
}

impl Cell {
    /// Whether the latency leaves room to repair every loss: each leg has a round
    /// trip of 40 ms, and a packet is asked for again about once in a round trip.
    /// Ten tries mend single losses; bursts hit reports and repairs, too.
    #[must_use]
    pub fn must_be_complete(&self) -> bool {
        self.latency >= self.loss.latency_needed()
    }

    /// The straight run that this one is compared with.
    #[must_use]
    pub const fn path(&self) -> (Loss, Duration) {
        (self.loss, self.latency)
    }
}

/// Such as `obs→slt aes128 2% 400ms`.
impl fmt::Display for Cell {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{}→{} {} {} {}ms",
            self.publisher.as_str(),
            self.player.as_str(),
            self.encryption.as_str(),
            self.loss.as_str(),
            self.latency.as_millis()
        )
    }
}

impl Program {
    /// The name in reports.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::SrtLiveTransmit => "slt",
            Self::Ffmpeg => "ffmpeg",
            Self::Obs => "obs",
            Self::Moblin => "moblin",
        }
    }
}

impl Encryption {
    const ALL: [Self; 3] = [Self::Clear, Self::Aes128, Self::Aes256];

    /// The name in reports.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Clear => "clear",
            Self::Aes128 => "aes128",
            Self::Aes256 => "aes256",
        }
    }

    /// Bytes of the key, as `pbkeylen` takes it.
    #[must_use]
    pub const fn key_bytes(self) -> Option<u8> {
        match self {
            Self::Clear => None,
            Self::Aes128 => Some(16),
            Self::Aes256 => Some(32),
        }
    }
}

impl Loss {
    const ALL: [Self; 3] = [Self::None, Self::TwoPercent, Self::Bursts];

    /// The name in reports.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::None => "0%",
            Self::TwoPercent => "2%",
            Self::Bursts => "10%-bursts",
        }
    }

    /// One leg in one direction.
    #[must_use]
    pub fn impairment(self) -> Impairment {
        let way = Impairment::delayed(DELAY);
        match self {
            Self::None => way,
            Self::TwoPercent => way.with_loss(0.02),
            // Bad one part in ten, for four packets on average.
            Self::Bursts => Impairment {
                burst: Some(Burst {
                    enter: 1.0 / 36.0,
                    leave: 1.0 / 4.0,
                    loss: 1.0,
                }),
                ..way
            },
        }
    }

    const fn latency_needed(self) -> Duration {
        match self {
            Self::None => Duration::ZERO,
            Self::TwoPercent => Duration::from_millis(400),
            Self::Bursts => Duration::from_millis(2000),
        }
    }
}

/// Every run there is; those over the same path are neighbours.
#[must_use]
pub fn all() -> Vec<Cell> {
    let mut cells = Vec::new();
    for loss in Loss::ALL {
        for latency_ms in LATENCIES_MS {
            let latency = Duration::from_millis(latency_ms);
            for encryption in Encryption::ALL {
                let pairs = pairs(encryption).into_iter();
                cells.extend(pairs.map(|(publisher, player)| Cell {
                    publisher,
                    player,
                    encryption,
                    loss,
                    latency,
                }));
            }
        }
    }
    cells
}

/// Who meets whom. Moblin does not encrypt.
fn pairs(encryption: Encryption) -> Vec<(Program, Program)> {
    use Program::{Ffmpeg, Moblin, Obs, SrtLiveTransmit};
    let mut pairs = vec![
        (SrtLiveTransmit, SrtLiveTransmit),
        (SrtLiveTransmit, Ffmpeg),
        (Ffmpeg, SrtLiveTransmit),
        (Ffmpeg, Ffmpeg),
        (Obs, Obs),
    ];
    if encryption == Encryption::Clear {
        pairs.push((Moblin, Obs));
    }
    pairs
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_say_all_that_differs() {
        let mut names: Vec<_> = all().iter().map(ToString::to_string).collect();
        assert_eq!(names[0], "slt→slt clear 0% 120ms");
        names.sort();
        names.dedup();
        assert_eq!(names.len(), 9 * (3 * 5 + 1));
    }
}
