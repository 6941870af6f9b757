//! The record that tests of DNS providers write.

use streamhaul_jobs::dns::{Record, Target};

pub(crate) const NAME: &str = "0123456789abcdef.live.example.com";

/// Says that the name is at `host`, or, when that is empty, nowhere.
pub(crate) fn record(host: &str) -> Record {
    Record {
        name: NAME.to_owned(),
        target: (!host.is_empty()).then(|| Target::parse(host).unwrap()),
        ttl_seconds: 60,
    }
}
