//! Begins a session, once per intent and once per connection.
//!
//! ```text
//! lock the user ─▶ same Idempotency-Key? ─▶ live session? ─▶ slot ─▶ choose a node
//!                        └─ its session        └─ that one            │
//!                  commit ◀── insert, remember the key ◀── lock it, look again
//! ```
//! Nothing is limited before the look-ups, so that a client that asks again gets its own
//! session. A node that filled up meanwhile means another round with fresh figures.
//!
//! Starts wait for their turn before they take a connection to the database, in the order
//! in which they came: however many there are, heartbeats and everybody else find one.

use std::time::Duration;

use http::HeaderMap;
use model::session::Role;
use model::{Region, SessionId, StreamId};
use placement::Ranking;
use sha2::{Digest, Sha256};
use storage::Transaction;
use storage::control::accounts::Account;
use storage::control::idempotency::{self, Key};
use storage::control::sessions::{self, NewSession, Record};
use storage::control::streams::{self, Slot, Stream};
use storage::control::{chains, moves, nodes, people, placements};
use subtle::ConstantTimeEq;

use super::names;
use super::place::{self, Among, Failure, no_capacity, too_many_at_once};
use super::request::{StartRequest, unknown_stream_token};
use crate::accounts::standing;
use crate::config::seconds;
use crate::error::{ApiError, Code};
use crate::fleet::budget;
use crate::metrics::{self, Placement};
use crate::state::App;
use crate::token;

const ENDPOINT: &str = "relay/start";
const KEY_LENGTH_MAX: usize = 128;
/// Rounds before a start that keeps losing the race for nodes gives up.
pub(super) const ROUNDS_MAX: usize = 16;
/// Why a session ended whose node is not heard.
const NODE_LOST: &str = "node_lost";
/// Slots looked through for a stream token.
const SLOTS_MAX: u32 = 1000;
/// Between two refusals of one user that are written down.
const REFUSAL_INTERVAL: Duration = Duration::from_secs(60);

/// A caller's name for what it wants done once.
#[derive(Debug)]
pub(crate) struct Intent {
    key: String,
    request_sha256: token::Hash,
}

impl Intent {
    /// From the `Idempotency-Key` header, if there is one.
    pub(crate) fn from_request(
        headers: &HeaderMap,
        body: &serde_json::Value,
    ) -> Result<Option<Self>, ApiError> {
        let Some(key) = headers.get("idempotency-key") else {
            return Ok(None);
        };
        let key = key
            .to_str()
            .ok()
            .filter(|key| (1..=KEY_LENGTH_MAX).contains(&key.len()));
        let key = key.ok_or_else(|| ApiError::invalid("Idempotency-Key: 1 to 128 characters"))?;
        // A map sorts its keys, so the order in the body does not matter.
        let request_sha256 = Sha256::digest(body.to_string()).into();
        Ok(Some(Self {
            key: key.to_owned(),
            request_sha256,
        }))
    }
}

/// The session, and whether this request made it.
#[derive(Debug)]
pub(crate) struct Started {
    pub(crate) record: Record,
    pub(crate) created: bool,
}

pub(crate) async fn start(
    app: &App,
    account: &Account,
    request: &StartRequest,
    intent: Option<&Intent>,
) -> Result<Started, ApiError> {
    app.bans.check_account(account, app.now())?;
    // Never closed.
    let _turn = app.starts.acquire().await;
    let round = Round {
        app,
        account,
        request,
        intent,
    };
    for _ in 0..ROUNDS_MAX {
        match round.run().await {
            Ok(started) => return Ok(started),
            Err(Failure::Refused(error)) => return Err(error),
            Err(Failure::NoRoom(ranking)) => {
                round.note_refusal(&ranking).await;
                return Err(no_capacity(&ranking));
            }
            Err(Failure::Again) => {}
        }
    }
    Err(too_many_at_once())
}

struct Round<'a> {
    app: &'a App,
    account: &'a Account,
    request: &'a StartRequest,
    intent: Option<&'a Intent>,
}

impl Round<'_> {
    async fn run(&self) -> Result<Started, Failure> {
        let mut transaction = storage::begin(&self.app.pool).await?;
        sessions::lock_user(&mut transaction, &self.account.user_id).await?;
        let started = match self.find(&mut transaction).await? {
            Some(record) => Started {
                record,
                created: false,
            },
            None => Started {
                record: self.create(&mut transaction).await?,
                created: true,
            },
        };
        self.remember(&mut transaction, &started.record.session.id)
            .await?;
        if started.created {
            names::look(self.app, &mut transaction).await?;
        }
        storage::commit(transaction).await?;
        if started.created {
            let session = &started.record.session;
            tracing::info!(session.id = %session.id, node.id = %session.node_id, "A session began");
        }
        Ok(started)
    }

    /// What an earlier request began.
    async fn find(&self, transaction: &mut Transaction) -> Result<Option<Record>, Failure> {
        if let (Some(intent), Some(key)) = (self.intent, self.key()) {
            let known = idempotency::find(transaction, key, self.app.now()).await?;
            if let Some(known) = known {
                if known.request_sha256 != intent.request_sha256 {
                    return Err(mismatch().into());
                }
                return self.current(transaction, known.session_id).await;
            }
        }
        let connection = self.request.connection.as_deref();
        let user = &self.account.user_id;
        // Of two between which a stream moves, the old one may be left.
        loop {
            let live = sessions::live_of_connection(&mut **transaction, user, connection).await?;
            let Some(record) = live else { return Ok(None) };
            if !self.let_go(transaction, &record).await? {
                return Ok(Some(record));
            }
        }
    }

    /// The session that a stream is at now which was begun as `begun`.
    async fn current(
        &self,
        transaction: &mut Transaction,
        begun: SessionId,
    ) -> Result<Option<Record>, Failure> {
        let live = chains::live(&mut **transaction, &begun).await?;
        let current = live.unwrap_or(begun);
        Ok(sessions::find(&mut **transaction, &current).await?)
    }

    /// Ends a session whose node is not heard any more: its user wants one that works. Where
    /// its stream came from, if its publisher is there still, is what it was.
    async fn let_go(
        &self,
        transaction: &mut Transaction,
        record: &Record,
    ) -> Result<bool, Failure> {
        let now = self.app.now();
        let silent_max = seconds(self.app.config.fleet.offline_after_seconds);
        // Who could not be heard is not silent.
        if self.app.pause.is_on(silent_max, now) {
            return Ok(false);
        }
        let node = &record.session.node_id;
        if nodes::is_heard(&mut **transaction, node, now.minus(silent_max)).await? {
            return Ok(false);
        }
        let session = &record.session.id;
        tracing::warn!(session.id = %session, node.id = %node, "A session's node is lost");
        let origin = moves::origin(transaction, session).await?;
        let was_live = sessions::stop(transaction, session, NODE_LOST, now).await?;
        if let Some(origin) = origin.filter(|_| was_live) {
            moves::undo(transaction, &origin, now).await?;
        }
        Ok(was_live)
    }

    async fn create(&self, transaction: &mut Transaction) -> Result<Record, Failure> {
        standing::check(self.app, transaction, &self.account.user_id).await?;
        let stream = self.stream(transaction).await?;
        let now = self.app.now();
        self.app
            .bans
            .check_stream(&stream.id, stream.generation, now)?;
        let limits = &self.app.config.sessions;
        let ends_at = now.plus(seconds(limits.max_session_seconds));
        let region = self.region(transaction).await?;
        let settings = streams::settings_of(&mut **transaction, &stream.id).await?;
        let wanted = place::wanted(self.app, region.clone(), &settings);
        let place = place::place(
            self.app,
            transaction,
            &self.account.user_id,
            &wanted,
            Among::All,
        )
        .await?;
        let session = NewSession {
            id: SessionId::from_u128(token::id_bits()),
            account: self.account.clone(),
            stream_id: stream.id,
            connection_id: self.request.connection.clone(),
            node_id: place.node.node_id.clone(),
            region: place.node.region.clone(),
            region_requested: region.clone(),
            lease_expires_at: now.plus(seconds(limits.lease_seconds)).min(ends_at),
            ends_at,
            supersedes: None,
        };
        sessions::insert(transaction, &session, now).await?;
        if let Some(held) = place.held {
            budget::hold(transaction, &session.id, held).await?;
        }
        let decision = self.decision(region, &place.ranking, Some(session.id.clone()));
        placements::record(&mut **transaction, &decision).await?;
        let record = sessions::find(&mut **transaction, &session.id).await?;
        record.ok_or_else(|| Failure::Refused(ApiError::internal()))
    }

    /// Where it is wanted: where this request says, or else where the user usually wants it.
    async fn region(&self, transaction: &mut Transaction) -> Result<Option<Region>, Failure> {
        if let Some(region) = &self.request.region {
            return Ok(Some(region.clone()));
        }
        let user = &self.account.user_id;
        Ok(people::preferred_region(&mut **transaction, user).await?)
    }

    /// The transaction of a refused start is undone, so its decision is written after it:
    /// not inside, where each start would wait for a second connection while it holds one.
    async fn note_refusal(&self, ranking: &Ranking) {
        metrics::placement(Placement::NoCapacity);
        metrics::session_setup(metrics::Setup::NoCapacity);
        let decision = self.decision(self.request.region.clone(), ranking, None);
        if let Err(error) =
            placements::record_refusal(&self.app.pool, &decision, REFUSAL_INTERVAL).await
        {
            let error = &error as &dyn std::error::Error;
            tracing::warn!(error, "A decision could not be written down");
        }
    }

    fn decision(
        &self,
        region: Option<Region>,
        ranking: &Ranking,
        session: Option<SessionId>,
    ) -> placements::Placement {
        let user = &self.account.user_id;
        place::decision(self.app, user, region, ranking, session)
    }

    async fn stream(&self, transaction: &mut Transaction) -> Result<Stream, Failure> {
        let Some(wanted) = &self.request.stream_key else {
            let slot = Slot {
                tenant_id: &self.account.tenant_id,
                user_id: &self.account.user_id,
                name: self.request.connection.as_deref().unwrap_or_default(),
            };
            let fresh = StreamId::from_u128(token::id_bits());
            return Ok(streams::find_or_create(transaction, slot, &fresh, self.app.now()).await?);
        };
        let slots = streams::of_user(&mut **transaction, &self.account.user_id, SLOTS_MAX).await?;
        let has_key = |stream: &Stream| {
            let key = self
                .app
                .stream_keys
                .derive(Role::Publish, &stream.id, stream.generation);
            bool::from(key.expose().as_bytes().ct_eq(wanted.expose().as_bytes()))
        };
        slots
            .into_iter()
            .find(has_key)
            .ok_or_else(|| unknown_stream_token().into())
    }

    async fn remember(
        &self,
        transaction: &mut Transaction,
        session: &SessionId,
    ) -> Result<(), Failure> {
        let (Some(intent), Some(key)) = (self.intent, self.key()) else {
            return Ok(());
        };
        let record = idempotency::Record {
            request_sha256: intent.request_sha256.to_vec(),
            session_id: session.clone(),
        };
        let lifetime = seconds(self.app.config.sessions.idempotency_seconds);
        let expires_at = self.app.now().plus(lifetime);
        Ok(idempotency::remember(transaction, key, &record, expires_at).await?)
    }

    fn key(&self) -> Option<Key<'_>> {
        let key = &self.intent?.key;
        Some(Key {
            user_id: &self.account.user_id,
            endpoint: ENDPOINT,
            key,
        })
    }
}

fn mismatch() -> ApiError {
    ApiError::new(
        Code::IdempotencyMismatch,
        "this Idempotency-Key came with another body",
    )
}
