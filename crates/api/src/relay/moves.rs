//! Moves a session's stream to another node, make before break.
//!
//! ```text
//! lock the user ─▶ still there, not moving? ─▶ not too soon? ─▶ choose and lock a node
//!     commit ◀── remember who ◀── the new session, held bytes ◀── the old one drains
//! ```
//! One transaction writes both rows; the nodes are told what the rows say. The new node
//! pulls from the old one, which ends when the publisher has followed
//! ([`storage::control::moves::settle`]). A session that moves on before its publisher has
//! come is replaced by one that pulls from the same old one; one that goes back to where its
//! publisher still is just ends.

use std::time::Duration;

use model::moving::{SUPERSEDED, UNDONE};
use model::session::SessionState;
use model::{NodeId, Region, SessionId, UnixMillis};
use placement::Outlook;
use serde_json::json;
use storage::Transaction;
use storage::control::audit::{self, Action, Actor};
use storage::control::moves;
use storage::control::placements;
use storage::control::sessions::{self, NewSession, Record};

use super::place::{self, Among, Failure, Place, no_capacity, too_many_at_once};
use super::start::ROUNDS_MAX;
use crate::config::seconds;
use crate::error::{ApiError, Code};
use crate::fleet::budget;
use crate::state::App;
use crate::token;

/// How the control plane names itself in the audit.
const SERVICE: &str = "api";

/// Who wants a move.
#[derive(Debug, Clone, Copy)]
pub(crate) enum By<'a> {
    /// The session's user, who must wait between two.
    User,
    /// An operator; it is written down.
    Operator(Action<'a>),
    /// Its node, which is to be empty at a time, if there is one.
    Drain(Option<UnixMillis>),
    /// Its node's bytes, which run out; it is written down.
    Budget(&'a Outlook),
}

/// Where to.
#[derive(Debug, Clone, Default)]
pub(crate) struct Destination {
    /// Only there.
    pub(crate) region: Option<Region>,
    /// Only this node.
    pub(crate) node: Option<NodeId>,
}

/// Begins to move a session's stream; says what the new session is.
pub(crate) async fn begin(
    app: &App,
    session: &SessionId,
    to: &Destination,
    by: By<'_>,
) -> Result<Record, ApiError> {
    for _ in 0..ROUNDS_MAX {
        let round = Round {
            app,
            session,
            to,
            by,
        };
        match round.run().await {
            Ok(record) => return Ok(record),
            Err(Failure::Refused(error)) => return Err(error),
            // It is tried again every few seconds: nobody needs to read each time why not.
            Err(Failure::NoRoom(_)) if matches!(by, By::Drain(_) | By::Budget(_)) => {
                return Err(ApiError::new(Code::NoCapacity, "no other node can take it"));
            }
            Err(Failure::NoRoom(ranking)) => return Err(no_capacity(&ranking)),
            Err(Failure::Again) => {}
        }
    }
    Err(too_many_at_once())
}

struct Round<'a> {
    app: &'a App,
    session: &'a SessionId,
    to: &'a Destination,
    by: By<'a>,
}

impl Round<'_> {
    async fn run(&self) -> Result<Record, Failure> {
        let mut transaction = storage::begin(&self.app.pool).await?;
        let old = self.old(&mut transaction).await?;
        self.check_cooldown(&mut transaction, &old).await?;
        let origin = moves::origin(&mut transaction, &old.session.id).await?;
        let new = match &origin {
            Some(origin) => self.move_on(&mut transaction, &old, origin).await?,
            None => self.supersede(&mut transaction, &old).await?,
        };
        self.write_down(&mut transaction, &old, &new).await?;
        let record = sessions::find(&mut *transaction, &new).await?;
        let record = record.ok_or_else(ApiError::internal)?;
        storage::commit(transaction).await?;
        tracing::info!(session.id = %old.session.id, successor.id = %new,
            node.id = %record.session.node_id, "A session's stream moves");
        Ok(record)
    }

    /// The session, while nobody else starts, stops or moves one of its user's.
    async fn old(&self, transaction: &mut Transaction) -> Result<Record, Failure> {
        let unknown = || ApiError::not_found("no such session");
        let known = sessions::find(&mut **transaction, self.session).await?;
        let user = known.ok_or_else(unknown)?.session.user_id;
        sessions::lock_user(transaction, &user).await?;
        let old = sessions::find(&mut **transaction, self.session).await?;
        let old = old.ok_or_else(unknown)?;
        match old.session.state {
            SessionState::Draining => {
                Err(conflict("the session's stream moves already", "moving").into())
            }
            SessionState::Stopped => Err(ended().into()),
            _ if self.is_there(&old) => {
                Err(conflict("the session is there already", "already_there").into())
            }
            _ => Ok(old),
        }
    }

    fn is_there(&self, old: &Record) -> bool {
        let session = &old.session;
        match (&self.to.node, &self.to.region, self.by) {
            (Some(node), ..) => *node == session.node_id,
            (None, Some(region), By::User) => *region == session.region,
            _ => false,
        }
    }

    async fn check_cooldown(
        &self,
        transaction: &mut Transaction,
        old: &Record,
    ) -> Result<(), Failure> {
        if !matches!(self.by, By::User) {
            return Ok(());
        }
        let cooldown = seconds(self.app.config.sessions.move_cooldown_seconds);
        let last = moves::last(transaction, &old.session.stream_id).await?;
        let passed = last.map_or(Duration::MAX, |at| self.app.now().since(at));
        let Some(left) = cooldown.checked_sub(passed).filter(|left| !left.is_zero()) else {
            return Ok(());
        };
        let left = u32::try_from(left.as_secs() + 1).unwrap_or(u32::MAX);
        let message = "this stream was moved a short while ago";
        let error = ApiError::new(Code::RateLimited, message).because("migration_cooldown");
        Err(error.retry_after(left).into())
    }

    /// Lets the session drain, and another pull from it.
    async fn supersede(
        &self,
        transaction: &mut Transaction,
        old: &Record,
    ) -> Result<SessionId, Failure> {
        let place = self.place(transaction, old).await?;
        if let Some(before) = &old.session.supersedes {
            // The publisher has come from there.
            sessions::stop(transaction, before, SUPERSEDED, self.app.now()).await?;
        }
        if !moves::begin(transaction, &old.session.id, self.ends_at(old)).await? {
            return Err(ended().into());
        }
        self.insert(transaction, old, &old.session.id, &place).await
    }

    /// Replaces a session that still pulls from `origin`, where the publisher is: what has
    /// the stream goes on, whatever becomes of who pulls it.
    async fn move_on(
        &self,
        transaction: &mut Transaction,
        old: &Record,
        origin: &SessionId,
    ) -> Result<SessionId, Failure> {
        let there = sessions::find(&mut **transaction, origin).await?;
        let there = there.ok_or_else(ApiError::internal)?.session.node_id;
        if self.to.node.as_ref() == Some(&there) {
            return self.send_back(transaction, old, origin).await;
        }
        let place = self.place(transaction, old).await?;
        if place.node.node_id == there {
            return self.send_back(transaction, old, origin).await;
        }
        if !sessions::stop(transaction, &old.session.id, SUPERSEDED, self.app.now()).await? {
            return Err(ended().into());
        }
        self.insert(transaction, old, origin, &place).await
    }

    async fn send_back(
        &self,
        transaction: &mut Transaction,
        old: &Record,
        origin: &SessionId,
    ) -> Result<SessionId, Failure> {
        let now = self.app.now();
        let was_live = sessions::stop(transaction, &old.session.id, UNDONE, now).await?;
        if was_live && moves::undo(transaction, origin, now).await? {
            return Ok(origin.clone());
        }
        Err(ended().into())
    }

    /// The session that takes over from `origin`, with the bytes held for it.
    async fn insert(
        &self,
        transaction: &mut Transaction,
        old: &Record,
        origin: &SessionId,
        place: &Place,
    ) -> Result<SessionId, Failure> {
        let (now, limits) = (self.app.now(), &self.app.config.sessions);
        let region = self.region(old);
        let session = NewSession {
            id: SessionId::from_u128(token::id_bits()),
            account: old.account(),
            stream_id: old.session.stream_id.clone(),
            connection_id: old.session.connection_id.clone(),
            node_id: place.node.node_id.clone(),
            region: place.node.region.clone(),
            region_requested: region.clone(),
            lease_expires_at: now.plus(seconds(limits.lease_seconds)).min(old.ends_at),
            ends_at: old.ends_at,
            supersedes: Some(origin.clone()),
        };
        sessions::insert(transaction, &session, now).await?;
        if let Some(held) = place.held {
            budget::hold(transaction, &session.id, held).await?;
        }
        let user = &old.session.user_id;
        let id = Some(session.id.clone());
        let decision = place::decision(self.app, user, region, &place.ranking, id);
        placements::record(&mut **transaction, &decision).await?;
        Ok(session.id)
    }

    /// The region asked for, now or before.
    fn region(&self, old: &Record) -> Option<Region> {
        self.to.region.clone().or(old.region_requested.clone())
    }

    async fn place(&self, transaction: &mut Transaction, old: &Record) -> Result<Place, Failure> {
        let here = &old.session.node_id;
        let among = match (&self.to.node, &self.to.region) {
            (Some(node), _) => Among::Only(node),
            (None, Some(region)) => Among::OthersIn(here, region),
            (None, None) => Among::Others(here),
        };
        let wanted = place::wanted(self.app, self.region(old), &old.settings);
        place::place(self.app, transaction, &old.session.user_id, &wanted, among).await
    }

    /// Until when its publisher may stay with the old session without the move being undone.
    fn ends_at(&self, old: &Record) -> UnixMillis {
        let wait = seconds(self.app.config.sessions.move_seconds);
        match self.by {
            By::Drain(deadline) => deadline.unwrap_or(old.ends_at),
            By::User | By::Operator(_) | By::Budget(_) => self.app.now().plus(wait),
        }
        .min(old.ends_at)
    }

    async fn write_down(
        &self,
        transaction: &mut Transaction,
        old: &Record,
        new: &SessionId,
    ) -> Result<(), Failure> {
        let now = self.app.now();
        match self.by {
            By::User => moves::remember(transaction, &old.session.stream_id, now).await?,
            By::Operator(action) => {
                let detail = json!({"successor": new, "from_node": old.session.node_id});
                audit::record(transaction, action, &detail, now).await?;
            }
            By::Budget(outlook) => {
                let action = Action {
                    actor: Actor::Service(SERVICE),
                    name: "session.move",
                    subject: old.session.id.as_str(),
                    reason: Some("the node's bytes run out"),
                };
                let detail = json!({"successor": new, "from_node": old.session.node_id,
                    "restriction": outlook.restriction, "quota": outlook.quota});
                audit::record(transaction, action, &detail, now).await?;
            }
            By::Drain(_) => {}
        }
        Ok(())
    }
}

fn ended() -> ApiError {
    conflict("the session has ended", "stopped")
}

fn conflict(message: &'static str, reason: &'static str) -> ApiError {
    ApiError::new(Code::Conflict, message).because(reason)
}
