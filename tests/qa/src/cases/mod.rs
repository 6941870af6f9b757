//! The cases of the checklist, a file each.

mod conn_001;
mod conn_002;
mod conn_003;
mod conn_004;
mod links;
mod relay_001;
mod relay_002;

use crate::findings::Findings;
use crate::stage::Stage;

/// A case of the checklist.
#[derive(Debug, Clone, Copy)]
pub struct Case {
    /// Such as `TC-RELAY-001`.
    pub id: &'static str,
    /// What it is about.
    pub about: &'static str,
    /// Does it, and judges what was observed.
    pub run: fn(&mut Stage) -> anyhow::Result<Findings>,
}

/// All of them, in the order in which they run.
pub const ALL: [Case; 6] = [
    relay_001::CASE,
    relay_002::CASE,
    conn_001::CASE,
    conn_002::CASE,
    conn_003::CASE,
    conn_004::CASE,
];

/// The case of this id, in letters of any size.
#[must_use]
pub fn find(id: &str) -> Option<Case> {
    ALL.into_iter()
        .find(|case| case.id.eq_ignore_ascii_case(id))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_case_is_found_by_its_id() {
        assert_eq!(
            find("tc-relay-002").map(|case| case.id),
            Some("TC-RELAY-002")
        );
        assert!(find("TC-RELAY-003").is_none());
    }
}
