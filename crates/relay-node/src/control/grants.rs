//! Leases are verified here, where nobody waits for a packet.

use lease::KeySet;
use model::{NodeId, UnixMillis};
use relay_core::{Assignment, Command, CommandError};

/// Verifies a session's leases.
pub(super) fn assign(
    assignment: &Assignment,
    keys: &KeySet,
    node: &NodeId,
    wall: UnixMillis,
) -> Result<Command, CommandError> {
    Ok(Command::Assign(Box::new(
        assignment.verify(keys, node, wall)?,
    )))
}

/// Verifies the leases of all sessions that the node should hold, a thousand
/// signatures on a full node: not for a runtime's thread. Sessions whose
/// leases do not verify go on with what they have; the first error is returned,
/// too.
pub(super) fn resync(
    assignments: &[Assignment],
    keys: &KeySet,
    node: &NodeId,
    wall: UnixMillis,
) -> (Command, Result<(), CommandError>) {
    let (mut grants, mut keep, mut result) = (Vec::new(), Vec::new(), Ok(()));
    for assignment in assignments {
        match assignment.verify(keys, node, wall) {
            Ok(grant) => grants.push(grant),
            Err(error) => {
                keep.push(assignment.session.clone());
                result = result.and(Err(error));
            }
        }
    }
    (Command::Resync { grants, keep }, result)
}
