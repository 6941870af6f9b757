//! What became of sessions, as service level indicators count it: each change once,
//! whichever replica noted it.

use model::moving::SUPERSEDED;
use model::session::SessionState;
use storage::control::session_events::Change;

use crate::metrics::{self, Ended, Setup};

/// Counts what sessions did.
pub(super) fn count(changes: &[Change]) {
    for change in changes {
        if let Some(setup) = setup(change) {
            metrics::session_setup(setup);
        }
        if let Some(ended) = ended(change) {
            metrics::session_ended(ended);
        }
    }
}

/// What came of a session's start, once that is clear.
fn setup(change: &Change) -> Option<Setup> {
    let was_pending = matches!(change.before, None | Some(SessionState::Provisioning));
    if !was_pending {
        return None;
    }
    match change.state {
        SessionState::Provisioning => None,
        SessionState::Stopped => Some(match change.stop_reason.as_deref() {
            Some("not_confirmed") => Setup::NotConfirmed,
            Some("node_lost") => Setup::NodeLost,
            _ => Setup::Abandoned,
        }),
        SessionState::Active | SessionState::Grace | SessionState::Draining => Some(Setup::Active),
    }
}

/// Why a session ended, if it did. A user's own words are `requested`.
fn ended(change: &Change) -> Option<Ended> {
    if change.state != SessionState::Stopped || change.before == Some(SessionState::Stopped) {
        return None;
    }
    Some(match change.stop_reason.as_deref() {
        Some("max_duration") => Ended::MaxDuration,
        Some("grace_over") => Ended::GraceOver,
        Some("lease_expired") => Ended::LeaseExpired,
        Some("node_lost") => Ended::NodeLost,
        Some("not_confirmed") => Ended::NotConfirmed,
        Some("node_drained") => Ended::NodeDrained,
        Some("banned") => Ended::Banned,
        Some(SUPERSEDED) => Ended::Superseded,
        _ => Ended::Requested,
    })
}

#[cfg(test)]
mod tests {
    use model::{NodeId, Region, SessionId, TenantId, UserId};

    use super::*;

    fn change(before: Option<SessionState>, state: SessionState, reason: Option<&str>) -> Change {
        Change {
            session_id: SessionId::from_u128(1),
            tenant_id: TenantId::from_u128(1),
            user_id: UserId::from_u128(1),
            connection_id: None,
            node_id: NodeId::from_u128(1),
            region: Region::parse("eu").unwrap(),
            supersedes: None,
            before,
            state,
            was_publishing: false,
            publishing: false,
            stop_reason: reason.map(ToOwned::to_owned),
        }
    }

    #[test]
    fn a_setup_counts_once_when_it_is_clear() {
        use SessionState::{Active, Grace, Provisioning, Stopped};
        for (before, state, reason, expected) in [
            (None, Provisioning, None, None),
            (Some(Provisioning), Active, None, Some(Setup::Active)),
            (None, Active, None, Some(Setup::Active)),
            (Some(Active), Grace, None, None),
            (Some(Grace), Stopped, Some("grace_over"), None),
            (
                Some(Provisioning),
                Stopped,
                Some("not_confirmed"),
                Some(Setup::NotConfirmed),
            ),
            (None, Stopped, Some("node_lost"), Some(Setup::NodeLost)),
            (
                None,
                Stopped,
                Some("changed my mind"),
                Some(Setup::Abandoned),
            ),
        ] {
            assert_eq!(
                setup(&change(before, state, reason)),
                expected,
                "{before:?} {state:?}"
            );
        }
    }

    #[test]
    fn an_end_counts_once_and_by_few_words() {
        use SessionState::{Active, Stopped};
        let ended_for = |reason| ended(&change(Some(Active), Stopped, Some(reason)));
        assert_eq!(ended_for("node_lost"), Some(Ended::NodeLost));
        assert_eq!(ended_for("superseded"), Some(Ended::Superseded));
        assert_eq!(ended_for("anybody's words"), Some(Ended::Requested));
        assert_eq!(
            ended(&change(Some(Stopped), Stopped, Some("requested"))),
            None
        );
        assert_eq!(ended(&change(None, Active, None)), None);
    }
}
