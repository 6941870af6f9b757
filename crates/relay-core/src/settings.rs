//! How a stream behaves: as its publisher's lease says, else as the node does.

use std::time::Duration;

use lease::Claims;
use model::settings::{Delivery, Resume, Start};

use crate::Config;
use crate::saved::SavedSettings;

/// A stream's settings, decided when its publisher is let in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct StreamSettings {
    /// How long its players are kept without a publisher.
    pub(crate) hold: Duration,
    pub(crate) resume: Resume,
    pub(crate) delivery: Delivery,
    pub(crate) start: Start,
}

impl StreamSettings {
    pub(crate) fn of(claims: &Claims, config: &Config) -> Self {
        let leased = claims.hold_seconds.map(u64::from).map(Duration::from_secs);
        Self {
            hold: leased.unwrap_or(config.hold),
            resume: claims.resume.unwrap_or(config.resume),
            delivery: claims.delivery.unwrap_or(config.delivery),
            start: claims.start.unwrap_or(config.start),
        }
    }

    pub(crate) const fn save(self) -> SavedSettings {
        SavedSettings {
            hold: self.hold,
            resume: self.resume,
            delivery: self.delivery,
            start: self.start,
        }
    }

    /// These settings when the lease of a live publisher is renewed: all but
    /// delivery, which is bound to what waits; the next publisher brings it.
    pub(crate) fn renewed(self, renewed: Self) -> Self {
        Self {
            delivery: self.delivery,
            ..renewed
        }
    }
}

impl From<&SavedSettings> for StreamSettings {
    fn from(saved: &SavedSettings) -> Self {
        Self {
            hold: saved.hold,
            resume: saved.resume,
            delivery: saved.delivery,
            start: saved.start,
        }
    }
}
