//! `/api/v1/ops/nodes/{id}/drain`, `/quarantine`, `/ban`: what the operator wants of a node.

use std::sync::Arc;

use axum::extract::{Path, State};
use axum::routing::post;
use axum::{Extension, Json};
use http::Method;
use model::node::NodeIntent;
use model::{NodeId, UnixMillis};
use placement::vitals::Evidence;
use serde::Deserialize;
use serde_json::json;
use storage::Transaction;
use storage::control::audit::{self, Action, Actor};
use storage::control::endings;
use storage::control::standings::{self, Standing, Wanted};
use utoipa::ToSchema;

use super::check_reason;
use super::nodes::{self, NodeView, unknown};
use crate::auth::{Access, Caller};
use crate::config::seconds;
use crate::error::{ApiError, Code};
use crate::fleet::standing::{self, Judge};
use crate::metrics;
use crate::openapi::Description;
use crate::routes::{Body, Route};
use crate::state::App;
use crate::time::{parse_rfc3339, rfc3339};

/// The longest that a draining node may be left its sessions with a deadline.
const DRAIN_SECONDS_MAX: u32 = 30 * 86_400;
/// Why the sessions of a banned node ended.
const NODE_BANNED: &str = "node_banned";

pub(super) fn routes() -> Vec<Route> {
    let operator = |path, handler| Route::new(Method::POST, path, Access::OPERATOR, handler);
    vec![
        operator("/api/v1/ops/nodes/{id}/drain", post(drain)).describe(
            Description::new("Lets a node take new sessions, or not, until a deadline.")
                .takes::<DrainRequest>()
                .gives::<NodeView>(200),
        ),
        operator("/api/v1/ops/nodes/{id}/quarantine", post(quarantine)).describe(
            Description::new("Keeps a node away from new sessions until somebody has looked.")
                .takes::<QuarantineRequest>()
                .gives::<NodeView>(200)
                .refuses(&[409]),
        ),
        operator("/api/v1/ops/nodes/{id}/ban", post(ban)).describe(
            Description::new("Shuts a node out, or lets it back.")
                .takes::<BanRequest>()
                .gives::<NodeView>(200)
                .refuses(&[409]),
        ),
    ]
}

#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = node_intents::DrainRequest)]
struct DrainRequest {
    draining: bool,
    /// Sessions that are still there then are ended; this or `deadline`.
    deadline_seconds: Option<u32>,
    /// RFC 3339.
    deadline: Option<String>,
    reason: Option<String>,
}

#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = node_intents::QuarantineRequest)]
struct QuarantineRequest {
    quarantined: bool,
    reason: Option<String>,
}

#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = node_intents::BanRequest)]
struct BanRequest {
    banned: bool,
    reason: Option<String>,
}

/// An operator's word on one node.
struct Word {
    /// For the audit, such as `node.drain`.
    action: &'static str,
    /// What they speak of.
    intent: NodeIntent,
    /// Whether they want it, or no longer.
    on: bool,
    reason: Option<String>,
    drain_deadline: Option<UnixMillis>,
}

async fn drain(
    State(app): State<Arc<App>>,
    Extension(caller): Extension<Caller>,
    Path(id): Path<String>,
    Body(request): Body<DrainRequest>,
) -> Result<Json<NodeView>, ApiError> {
    let word = Word {
        action: "node.drain",
        intent: NodeIntent::Draining,
        on: request.draining,
        drain_deadline: deadline(&request, app.now())?,
        reason: request.reason,
    };
    give(&app, &caller, &id, word).await
}

async fn quarantine(
    State(app): State<Arc<App>>,
    Extension(caller): Extension<Caller>,
    Path(id): Path<String>,
    Body(request): Body<QuarantineRequest>,
) -> Result<Json<NodeView>, ApiError> {
    let word = Word {
        action: "node.quarantine",
        intent: NodeIntent::Quarantined,
        on: request.quarantined,
        reason: request.reason,
        drain_deadline: None,
    };
    give(&app, &caller, &id, word).await
}

async fn ban(
    State(app): State<Arc<App>>,
    Extension(caller): Extension<Caller>,
    Path(id): Path<String>,
    Body(request): Body<BanRequest>,
) -> Result<Json<NodeView>, ApiError> {
    let word = Word {
        action: "node.ban",
        intent: NodeIntent::Banned,
        on: request.banned,
        reason: request.reason,
        drain_deadline: None,
    };
    give(&app, &caller, &id, word).await
}

fn deadline(request: &DrainRequest, now: UnixMillis) -> Result<Option<UnixMillis>, ApiError> {
    let wrong = || {
        let message = "deadline: in the future, at most 30 days ahead, RFC 3339; or \
                       deadline_seconds: 1 to 2592000; only with draining";
        ApiError::invalid(message)
    };
    let at = match (request.deadline_seconds, &request.deadline) {
        (None, None) => return Ok(None),
        (Some(after), None) => now.plus(seconds(after)),
        (None, Some(at)) => parse_rfc3339(at).ok_or_else(wrong)?,
        (Some(_), Some(_)) => return Err(wrong()),
    };
    let is_soon = at > now && at <= now.plus(seconds(DRAIN_SECONDS_MAX));
    if request.draining && is_soon {
        Ok(Some(at))
    } else {
        Err(wrong())
    }
}

/// Writes the word down, and what follows from it at once.
async fn give(
    app: &App,
    caller: &Caller,
    id: &str,
    word: Word,
) -> Result<Json<NodeView>, ApiError> {
    let reason = word.reason.as_deref().map(check_reason).transpose()?;
    let id = NodeId::parse(id).map_err(|_| unknown())?;
    let now = app.now();
    let mut transaction = storage::begin(&app.pool).await?;
    let known = standings::lock(&mut transaction, &id).await?;
    let known = known.ok_or_else(unknown)?;
    let wanted = Wanted {
        intent: next(&known, &word)?,
        reason: reason.filter(|_| word.on).map(str::to_owned),
        drain_deadline: word.drain_deadline,
    };
    standings::want(&mut transaction, &id, &wanted, now).await?;
    let stopped = end_sessions(&mut transaction, &id, wanted.intent, now).await?;
    let action = Action {
        reason,
        ..caller.action(word.action, id.as_str())
    };
    let detail = detail(&word, stopped);
    audit::record(&mut transaction, action, &detail, now).await?;
    let actor = Actor::User(&caller.account.user_id);
    let judge = Judge::by(actor, &app.config.fleet, now);
    standing::judge(&mut transaction, &id, &judge, |vitals| {
        if is_let_in_again(known.intent, wanted.intent) {
            vitals.take(Evidence::Distrusted, judge.probation, now);
        }
    })
    .await?;
    storage::commit(transaction).await?;
    metrics::stopped(metrics::Stopped::Banned, stopped);
    tracing::info!(node.id = %id, intent = %wanted.intent, stopped, "An operator decided over a node");
    nodes::view(app, &id).await
}

fn detail(word: &Word, sessions_stopped: usize) -> serde_json::Value {
    let mut detail = json!({word.intent.as_str(): word.on});
    if let Some(at) = word.drain_deadline {
        detail["deadline"] = rfc3339(at).into();
    }
    if word.on && word.intent == NodeIntent::Banned {
        detail["sessions_stopped"] = sessions_stopped.into();
    }
    detail
}

/// A ban comes over everything and a quarantine over draining; each is taken back by its own
/// route only.
fn next(known: &Standing, word: &Word) -> Result<NodeIntent, ApiError> {
    let is_taken_back = !word.on && known.intent == word.intent;
    if (word.on && word.intent >= known.intent) || is_taken_back {
        return Ok(if word.on {
            word.intent
        } else {
            NodeIntent::None
        });
    }
    match known.intent {
        NodeIntent::None => Ok(NodeIntent::None),
        intent => {
            let message = format!("the node is {intent}: take that back first");
            Err(ApiError::new(Code::Conflict, message).because(intent.as_str()))
        }
    }
}

/// Whoever was suspected has to earn trust again.
fn is_let_in_again(from: NodeIntent, to: NodeIntent) -> bool {
    from >= NodeIntent::Quarantined && to < NodeIntent::Quarantined
}

async fn end_sessions(
    transaction: &mut Transaction,
    node: &NodeId,
    intent: NodeIntent,
    now: UnixMillis,
) -> Result<usize, storage::Error> {
    if intent != NodeIntent::Banned {
        return Ok(0);
    }
    let stopped = endings::of_node(transaction, node, NODE_BANNED, now).await?;
    Ok(stopped.len())
}
