//! A session's permissions, verified: what a relay believes without a look.
//!
//! Verifying a signature takes longer than forwarding a dozen packets, so it is
//! done before the relay is told, wherever its owner has time for it.

use lease::{Claims, KeySet, Kid};
use model::session::Role;
use model::{NodeId, Passphrase, SessionId, StreamKey, UnixMillis};
use sha2::{Digest as _, Sha256};

use crate::remote::{PUSHES_MAX, Remotes};
use crate::{Assignment, CommandError, KeyedLease};

/// The hash of a stream key: keys are looked up by it, and not kept.
pub(crate) type KeyDigest = [u8; 32];

/// A session whose leases were verified.
#[derive(Debug, Clone)]
pub struct Grant {
    pub(crate) session: SessionId,
    pub(crate) publish: Option<Permission>,
    pub(crate) play: Option<Permission>,
    pub(crate) remotes: Remotes,
}

/// What the holder of a key may do.
#[derive(Debug, Clone)]
pub(crate) struct Permission {
    pub(crate) digest: KeyDigest,
    pub(crate) claims: Claims,
    /// Which key signed them.
    pub(crate) kid: Kid,
    pub(crate) passphrase: Option<Passphrase>,
}

impl Grant {
    /// The session.
    #[must_use]
    pub const fn session(&self) -> &SessionId {
        &self.session
    }
}

impl Assignment {
    /// Verifies both leases for `node`, at `wall`. Some 100 µs for each.
    ///
    /// # Errors
    /// When a lease does not verify, or is for another session or role; when there
    /// are too many remotes, or one lacks its lease.
    pub fn verify(
        &self,
        keys: &KeySet,
        node: &NodeId,
        wall: UnixMillis,
    ) -> Result<Grant, CommandError> {
        self.check_remotes()?;
        let permission = |keyed: &Option<KeyedLease>, role| {
            let keyed = keyed.as_ref();
            let verified = keyed.map(|keyed| self.permission(keyed, role, keys, node, wall));
            verified.transpose()
        };
        Ok(Grant {
            session: self.session.clone(),
            publish: permission(&self.publish, Role::Publish)?,
            play: permission(&self.play, Role::Play)?,
            remotes: Remotes {
                pull: self.pull.clone(),
                push: self.push.clone(),
            },
        })
    }

    /// Each remote needs the lease that its connection lives on.
    fn check_remotes(&self) -> Result<(), CommandError> {
        if self.push.len() > PUSHES_MAX {
            return Err(CommandError::TooManyRemotes);
        }
        let unbacked_pull = self.pull.is_some() && self.publish.is_none();
        let unbacked_push = !self.push.is_empty() && self.play.is_none();
        if unbacked_pull || unbacked_push {
            return Err(CommandError::Mismatch);
        }
        Ok(())
    }

    fn permission(
        &self,
        keyed: &KeyedLease,
        role: Role,
        keys: &KeySet,
        node: &NodeId,
        wall: UnixMillis,
    ) -> Result<Permission, CommandError> {
        let verified = keys.verify_named(&keyed.lease, node, wall);
        let (kid, claims) = verified.map_err(CommandError::Lease)?;
        if claims.session != self.session || claims.role != role {
            return Err(CommandError::Mismatch);
        }
        Ok(Permission {
            digest: digest(&keyed.key),
            claims,
            kid,
            passphrase: keyed.passphrase.clone(),
        })
    }
}

pub(crate) fn digest(key: &StreamKey) -> KeyDigest {
    Sha256::digest(key.expose().as_bytes()).into()
}
