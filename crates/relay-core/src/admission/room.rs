//! What there must be room for, and what a caller may ask for.

use std::time::Duration;

use lease::Claims;

use crate::Ingress;
use crate::quota::Meter;
use crate::reason::RefusalReason;
use crate::relay::Relay;
use crate::sessions::Permit;

impl Relay {
    /// Streams on hold count: each has its memory.
    pub(super) fn check_new_stream(&self) -> Result<(), RefusalReason> {
        if self.draining {
            Err(RefusalReason::Draining)
        } else if self.streams.len() >= self.sessions.sessions_max() {
            Err(RefusalReason::OverCapacity)
        } else {
            Ok(())
        }
    }

    /// Only what is new needs room: a publisher that returns, or takes over, is
    /// let in on a full node too.
    pub(super) fn check_room(&self, ingress: Ingress) -> Result<(), RefusalReason> {
        let limits = &self.config.limits;
        let per_source_max = self.config.shard.share(limits.connections_per_source_max);
        self.check_connections()?;
        if self.connections.count_from(ingress.peer) >= per_source_max {
            return Err(RefusalReason::SourceFull);
        }
        Ok(())
    }

    pub(crate) fn check_connections(&self) -> Result<(), RefusalReason> {
        let connections_max = self.config.shard.share(self.config.limits.connections_max);
        if self.connections.len() >= connections_max as usize {
            Err(RefusalReason::OverCapacity)
        } else {
            Ok(())
        }
    }

    /// What counts the caller's bytes, when its lease has a bound.
    pub(crate) fn meter(&mut self, claims: &Claims) -> Result<Option<Meter>, RefusalReason> {
        let meter = self.sessions.meter(claims);
        if meter.as_ref().is_some_and(Meter::is_used_up) {
            return Err(RefusalReason::BytesUsed);
        }
        Ok(meter)
    }

    /// What the caller asks for, and no less than `least` or the lease says.
    pub(crate) fn latency(
        &self,
        wish_ms: u16,
        least: Duration,
        permit: &Permit,
    ) -> Result<Duration, RefusalReason> {
        let ms = |ms: u32| Duration::from_millis(u64::from(ms));
        let wish = ms(u32::from(wish_ms));
        let most = permit
            .claims
            .latency_max_ms
            .map_or(self.config.latency_max, ms);
        if wish > most.min(self.config.latency_max) {
            return Err(RefusalReason::LatencyTooHigh);
        }
        let leased = permit.claims.latency_min_ms.map_or(Duration::ZERO, ms);
        Ok(wish.max(least).max(leased).max(self.config.latency_min))
    }
}
