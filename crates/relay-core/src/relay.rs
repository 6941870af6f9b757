//! The relay: what it holds, and the calls that drive it.

use std::collections::VecDeque;
use std::time::Instant;

use model::node::HeldLease;
use model::telemetry::SessionSample;
use model::{NodeId, UnixMillis};

use crate::transmit::Transmits;
use crate::{Command, CommandError, Config, Counters, Event, Ingress, Transmit};

/// A relay node's data plane.
///
/// - Calls that change it: [`handle_datagram`](Self::handle_datagram),
///   [`handle_timeout`](Self::handle_timeout),
///   [`handle_command`](Self::handle_command).
/// - After one or more of those: drain [`poll_transmit`](Self::poll_transmit)
///   and [`poll_event`](Self::poll_event), then ask
///   [`poll_timeout`](Self::poll_timeout) when to call again.
/// - Getters may be called at any time.
#[derive(Debug)]
pub struct Relay {
    config: Config,
    keys: lease::KeySet,
    node_id: NodeId,
    transmits: Transmits,
    events: VecDeque<Event>,
    counters: Counters,
}

impl Relay {
    /// Makes a relay that holds no session. `seed` must be secret and new for
    /// each start: cookies and socket ids come from it.
    #[must_use]
    pub fn new(
        config: Config,
        seed: [u8; 32],
        keys: lease::KeySet,
        node_id: NodeId,
        now: Instant,
        wall: UnixMillis,
    ) -> Self {
        let _ = (seed, now, wall);
        let transmits = Transmits::new(config.limits.transmit_bytes_max);
        Self {
            config,
            keys,
            node_id,
            transmits,
            events: VecDeque::new(),
            counters: Counters::default(),
        }
    }

    /// Takes one datagram from the network.
    pub fn handle_datagram(&mut self, now: Instant, ingress: Ingress, datagram: &[u8]) {
        let _ = (now, ingress, &self.config, &self.keys, &self.node_id);
        self.counters.ingress_datagrams += 1;
        self.counters.ingress_bytes += datagram.len() as u64;
    }

    /// Does what is due at `now`.
    pub fn handle_timeout(&mut self, now: Instant) {
        let _ = now;
    }

    /// Carries out a directive of the control plane.
    ///
    /// # Errors
    /// When a lease does not verify, or the node is full or draining.
    pub fn handle_command(&mut self, now: Instant, command: Command) -> Result<(), CommandError> {
        let _ = (now, command);
        Ok(())
    }

    /// The next datagram to send.
    pub fn poll_transmit(&mut self) -> Option<Transmit<'_>> {
        self.transmits.pop()
    }

    /// The next thing to report.
    pub fn poll_event(&mut self) -> Option<Event> {
        self.events.pop_front()
    }

    /// When [`handle_timeout`](Self::handle_timeout) is due; `None`: never.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Instant> {
        None
    }

    /// Every session that is held.
    #[must_use]
    pub fn held(&self) -> Vec<HeldLease> {
        Vec::new()
    }

    /// The node's totals.
    #[must_use]
    pub fn counters(&self) -> &Counters {
        &self.counters
    }

    /// A sample of every session, for telemetry.
    #[must_use]
    pub fn samples(&self, now: Instant) -> Vec<SessionSample> {
        let _ = now;
        Vec::new()
    }

    /// Publishers connected.
    #[must_use]
    pub fn publishers(&self) -> u32 {
        0
    }

    /// Players connected.
    #[must_use]
    pub fn players(&self) -> u32 {
        0
    }

    /// Whether nobody is connected.
    #[must_use]
    pub fn is_idle(&self) -> bool {
        self.publishers() == 0 && self.players() == 0
    }
}
