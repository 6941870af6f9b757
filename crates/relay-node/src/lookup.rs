//! Where the remotes are that the relay wants to call: names looked up on the
//! runtime, and addresses that an operator does not allow kept from it.
//!
//! The check is made on addresses, at each attempt, so that a name cannot pass it
//! and then lead elsewhere.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use relay_core::{Command, Direction, Event, Lookup, LookupError};
use tokio::sync::{Semaphore, mpsc};

use crate::config::Remotes;
use crate::metrics;
use crate::shards::{Gone, Shards};
use crate::sockets::canonical;
use model::reach::{Reach, reach};

/// Names looked up at the same time; more wait.
const LOOKUPS_MAX: usize = 16;
/// How long one may take; the relay waits ten seconds.
const PATIENCE: Duration = Duration::from_secs(5);
/// Addresses of one name that are looked at.
const ADDRESSES_MAX: usize = 16;
/// Events that wait for the control plane.
const EVENTS_LENGTH: usize = 4096;

/// Answers the relay's lookups; everything else it reports comes out of the
/// returned receiver.
pub(crate) struct Lookups {
    shards: Shards,
    policy: Policy,
    running: Arc<Semaphore>,
    events: mpsc::Receiver<Event>,
    others: mpsc::Sender<Event>,
}

/// What may be called.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Policy {
    /// What the operator allows.
    pub(crate) remotes: Remotes,
    /// The address of the socket that calls.
    pub(crate) local: SocketAddr,
}

impl Lookups {
    pub(crate) fn new(
        shards: Shards,
        policy: Policy,
        events: mpsc::Receiver<Event>,
    ) -> (Self, mpsc::Receiver<Event>) {
        let (others, receiver) = mpsc::channel(EVENTS_LENGTH);
        let lookups = Self {
            shards,
            policy,
            running: Arc::new(Semaphore::new(LOOKUPS_MAX)),
            events,
            others,
        };
        (lookups, receiver)
    }

    /// Runs until the data threads end.
    pub(crate) async fn run(mut self) -> Gone {
        while let Some(event) = self.events.recv().await {
            match event {
                Event::Lookup(lookup) => self.begin(lookup),
                other => self.pass(other),
            }
        }
        Gone
    }

    fn pass(&self, event: Event) {
        if let Event::RemoteFailed {
            direction, reason, ..
        } = &event
        {
            metrics::remote_failed(*direction, *reason);
        }
        if self.others.try_send(event).is_err() {
            metrics::event_dropped();
        }
    }

    fn begin(&self, lookup: Lookup) {
        let (shards, policy) = (self.shards.clone(), self.policy);
        let running = Arc::clone(&self.running);
        tokio::spawn(async move {
            let Ok(_permit) = running.acquire().await else {
                return;
            };
            let address = find(policy, &lookup).await;
            let found = Command::Found {
                session: lookup.session,
                attempt: lookup.attempt,
                address,
            };
            // An error means that a data thread has ended: nobody asks any more.
            let _ = shards.command(found).await;
        });
    }
}

async fn find(policy: Policy, lookup: &Lookup) -> Result<SocketAddr, LookupError> {
    let host = lookup.host.trim_start_matches('[').trim_end_matches(']');
    let found = tokio::net::lookup_host((host, lookup.port));
    let addresses: Vec<_> = match tokio::time::timeout(PATIENCE, found).await {
        Ok(Ok(addresses)) => addresses.take(ADDRESSES_MAX).map(canonical).collect(),
        Ok(Err(_)) | Err(_) => return Err(LookupError::NotFound),
    };
    policy.choose(&addresses, lookup.direction, lookup.attempt)
}

impl Policy {
    /// One of the addresses that may be called, another one at each attempt.
    fn choose(
        self,
        addresses: &[SocketAddr],
        direction: Direction,
        attempt: u64,
    ) -> Result<SocketAddr, LookupError> {
        let reachable = addresses.iter().filter(|to| self.is_reachable(**to));
        let reachable: Vec<_> = reachable.copied().collect();
        if reachable.is_empty() {
            return Err(LookupError::NotFound);
        }
        let allowed = reachable
            .into_iter()
            .filter(|to| self.allows(direction, to.ip()));
        let allowed: Vec<_> = allowed.collect();
        let place = attempt.checked_rem(allowed.len() as u64);
        let place = place.ok_or(LookupError::Forbidden)?;
        Ok(allowed[place as usize])
    }

    /// Whether our socket speaks to addresses of this kind.
    fn is_reachable(self, to: SocketAddr) -> bool {
        match self.local {
            SocketAddr::V4(_) => to.is_ipv4(),
            SocketAddr::V6(local) => local.ip().is_unspecified() || to.is_ipv6(),
        }
    }

    fn allows(self, direction: Direction, ip: IpAddr) -> bool {
        let private_allowed = match direction {
            Direction::Pull => self.remotes.pull_private_allowed,
            Direction::Push => self.remotes.push_private_allowed,
        };
        match reach(ip) {
            Reach::Public => true,
            Reach::Private => private_allowed,
            Reach::Nobody => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn policy(local: &str, push_private_allowed: bool) -> Policy {
        Policy {
            remotes: Remotes {
                push_private_allowed,
                ..Remotes::default()
            },
            local: local.parse().unwrap(),
        }
    }

    fn lookup(host: &str) -> Lookup {
        Lookup {
            session: model::SessionId::from_u128(1),
            attempt: 0,
            direction: Direction::Push,
            host: host.into(),
            port: 9000,
        }
    }

    #[test]
    fn addresses_are_sorted_by_who_has_them() {
        let is = |wanted: Reach, addresses: &[&str]| {
            for address in addresses {
                assert_eq!(reach(address.parse().unwrap()), wanted, "{address}");
            }
        };
        is(
            Reach::Public,
            &["1.1.1.1", "100.63.255.255", "172.32.0.1", "223.255.255.255"],
        );
        is(
            Reach::Public,
            &["2606:4700::1111", "64:ff9b::101:101", "::ffff:9.9.9.9"],
        );
        is(
            Reach::Private,
            &[
                "127.0.0.1",
                "10.1.2.3",
                "172.16.0.1",
                "172.31.255.255",
                "192.168.1.1",
            ],
        );
        is(
            Reach::Private,
            &[
                "169.254.169.254",
                "100.64.0.1",
                "198.18.0.1",
                "192.0.2.1",
                "203.0.113.1",
            ],
        );
        is(
            Reach::Private,
            &[
                "::1",
                "fe80::1",
                "fc00::1",
                "fd12::1",
                "2001:db8::1",
                "2001::1",
                "::ffff:127.0.0.1",
            ],
        );
        is(
            Reach::Private,
            &["64:ff9b::7f00:1", "2002:7f00:1::", "64:ff9b:1::1"],
        );
        is(
            Reach::Nobody,
            &[
                "0.0.0.0",
                "0.1.2.3",
                "224.0.0.1",
                "239.255.255.255",
                "255.255.255.255",
            ],
        );
        is(
            Reach::Nobody,
            &[
                "::",
                "ff02::1",
                "ff0e::1",
                "::ffff:224.0.0.1",
                "64:ff9b::e000:1",
            ],
        );
    }

    #[test]
    fn a_push_to_a_private_address_must_be_allowed() {
        let private = ["192.168.1.1:9000".parse().unwrap()];
        let choose = |policy: Policy, direction| policy.choose(&private, direction, 0);
        let careful = policy("0.0.0.0:5000", false);
        let forbidden = Err(LookupError::Forbidden);
        assert_eq!(choose(careful, Direction::Push), forbidden);
        assert_eq!(choose(careful, Direction::Pull), Ok(private[0]));
        let open = policy("0.0.0.0:5000", true);
        assert_eq!(choose(open, Direction::Push), Ok(private[0]));
        let group = ["239.0.0.1:9000".parse().unwrap()];
        assert_eq!(open.choose(&group, Direction::Push, 0), forbidden);
    }

    #[test]
    fn the_addresses_of_a_name_take_turns() {
        let all: Vec<SocketAddr> = ["1.1.1.1:1", "10.0.0.1:1", "[2606:4700::1]:1", "2.2.2.2:1"]
            .map(|text| text.parse().unwrap())
            .into();
        let chosen = |local: &str| {
            let turns = (0..3).map(|attempt| {
                let policy = policy(local, false);
                let chosen = policy.choose(&all, Direction::Push, attempt);
                chosen.map(|to| all.iter().position(|other| *other == to).unwrap())
            });
            turns.collect::<Vec<_>>()
        };
        assert_eq!(chosen("0.0.0.0:5000"), [Ok(0), Ok(3), Ok(0)]);
        assert_eq!(chosen("[::]:5000"), [Ok(0), Ok(2), Ok(3)]);
        assert_eq!(chosen("[2606:4700::2]:5000"), [Ok(2); 3]);
        let v6_only = policy("0.0.0.0:1", false).choose(&all[2..3], Direction::Push, 0);
        assert_eq!(v6_only, Err(LookupError::NotFound));
    }

    #[tokio::test]
    async fn literal_addresses_are_their_own_names() {
        let policy = policy("[::]:5000", true);
        let found = |host| async move { find(policy, &lookup(host)).await };
        let address = |text: &str| Ok(text.parse().unwrap());
        assert_eq!(found("127.0.0.1").await, address("127.0.0.1:9000"));
        assert_eq!(found("[::1]").await, address("[::1]:9000"));
        assert_eq!(found("::ffff:10.0.0.1").await, address("10.0.0.1:9000"));
        let nobody = found("nobody.invalid").await;
        assert_eq!(nobody, Err(LookupError::NotFound));
    }
}
