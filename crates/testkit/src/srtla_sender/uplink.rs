//! A link as it is set up.

use std::net::{IpAddr, Ipv4Addr};

use crate::linksim::Impairment;

/// A modem: where its packets come from, and what becomes of them.
#[derive(Debug, Clone, PartialEq)]
pub struct Uplink {
    /// For people; the receiver is not told.
    pub name: String,
    /// The address at which the receiver sees it: one of this machine, so any of 127.0.0.0/8.
    pub source: IpAddr,
    /// Towards the receiver.
    pub up: Impairment,
    /// Back from it.
    pub down: Impairment,
}

impl Uplink {
    /// A modem at `source` that treats both directions alike.
    #[must_use]
    pub fn new(name: &str, source: impl Into<IpAddr>, way: Impairment) -> Self {
        Self {
            name: name.to_owned(),
            source: source.into(),
            up: way.clone(),
            down: way,
        }
    }

    /// A modem for each of `ways`: `link 1` at 127.0.1.1, `link 2` at 127.0.2.1 and so on.
    #[must_use]
    pub fn numbered(ways: impl IntoIterator<Item = Impairment>) -> Vec<Self> {
        (1..=u8::MAX)
            .zip(ways)
            .map(|(n, way)| Self::new(&format!("link {n}"), Ipv4Addr::new(127, 0, n, 1), way))
            .collect()
    }
}
