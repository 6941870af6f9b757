//! What nodes are found to be: evidence is judged by `placement`, written down and audited
//! in one transaction.

use std::time::Duration;

use model::{NodeId, UnixMillis};
use placement::Restriction;
use placement::reach;
use placement::standing::Facts;
use placement::vitals::Vitals;
use serde::Deserialize as _;
use serde_json::{Value, json};
use storage::control::audit::{self, Action, Actor};
use storage::control::epochs::StreamEpoch;
use storage::control::nodes::Orders;
use storage::control::standings::{self, Found, Standing};
use storage::{Pool, Transaction};

use crate::config::{FleetConfig, seconds};

/// Whose name stands in the audit for what nobody did by hand.
const SERVICE: &str = "api";

/// Who is learning something of a node, and when.
#[derive(Clone, Copy)]
pub(crate) struct Judge<'a> {
    pub(crate) actor: Actor<'a>,
    pub(crate) probation: Duration,
    pub(crate) now: UnixMillis,
}

impl<'a> Judge<'a> {
    /// What is observed: nobody's doing.
    pub(crate) fn observer(fleet: &FleetConfig, now: UnixMillis) -> Self {
        Self {
            actor: Actor::Service(SERVICE),
            probation: seconds(fleet.probation_seconds),
            now,
        }
    }

    /// What follows from the word of an operator.
    pub(crate) fn by(actor: Actor<'a>, fleet: &FleetConfig, now: UnixMillis) -> Self {
        Self {
            actor,
            ..Self::observer(fleet, now)
        }
    }
}

/// Brings a node's state up to date with what is known of it and what `learn` adds. Returns
/// what is observed of it now. `None`: no such node.
///
/// # Errors
/// When the database fails.
pub(crate) async fn judge(
    transaction: &mut Transaction,
    node: &NodeId,
    judge: &Judge<'_>,
    learn: impl FnOnce(&mut Vitals),
) -> Result<Option<Vitals>, storage::Error> {
    let Some(known) = standings::lock(transaction, node).await? else {
        return Ok(None);
    };
    let mut vitals = vitals(&known);
    learn(&mut vitals);
    let facts = Facts {
        health: reach::health(vitals.health(), known.is_reachable),
        intent: known.intent,
        restriction: restriction(known.restriction.as_deref()),
        sessions: known.sessions,
    };
    let state = facts.state();
    let has_changed = state != known.state;
    let found = Found {
        health: facts.health,
        vitals: document(&vitals),
        state,
        reason: facts.reason(reach::reason(
            facts.health,
            known.is_reachable,
            vitals.reason(),
        )),
        changed_at: has_changed.then_some(judge.now),
    };
    if has_changed || found.health != known.health || known.vitals.as_ref() != Some(&found.vitals) {
        standings::write(transaction, node, &found).await?;
    }
    if has_changed {
        record(transaction, node, judge, &known, &facts, &found).await?;
    }
    Ok(Some(vitals))
}

async fn record(
    transaction: &mut Transaction,
    node: &NodeId,
    judge: &Judge<'_>,
    known: &Standing,
    facts: &Facts,
    found: &Found,
) -> Result<(), storage::Error> {
    let changed = Action {
        actor: judge.actor,
        name: "node.state",
        subject: node.as_str(),
        reason: Some(found.reason),
    };
    let detail = json!({
        "from": known.state,
        "to": found.state,
        "health": facts.health,
        "intent": facts.intent,
        "restriction": facts.restriction,
        "sessions": facts.sessions,
    });
    audit::record(transaction, changed, &detail, judge.now).await?;
    tracing::info!(node.id = %node, from = %known.state, to = %found.state,
        reason = found.reason, "A node's state changed");
    Ok(())
}

/// Whether what was written of a node is what is known of it.
pub(crate) fn is_current(orders: &Orders, vitals: &Vitals, sessions: usize) -> bool {
    let facts = Facts {
        health: reach::health(vitals.health(), orders.is_reachable),
        intent: orders.intent,
        restriction: restriction(orders.restriction.as_deref()),
        sessions: u32::try_from(sessions).unwrap_or(u32::MAX),
    };
    orders.health == facts.health && orders.state == facts.state()
}

/// What decides over a node, as it is written.
pub(crate) fn facts(known: &Standing) -> Facts {
    Facts {
        health: known.health,
        intent: known.intent,
        restriction: restriction(known.restriction.as_deref()),
        sessions: known.sessions,
    }
}

/// Keeps the last looks at a node, so that the next stream goes on from them.
///
/// # Errors
/// When the database fails.
pub(crate) async fn keep(
    pool: &Pool,
    stream: (&NodeId, StreamEpoch),
    vitals: &Vitals,
) -> Result<(), storage::Error> {
    standings::keep_vitals(pool, stream, vitals.health(), &document(vitals)).await
}

/// What a node that needs no probation begins with.
pub(crate) fn trusted() -> Value {
    document(&Vitals::trusted())
}

/// What any other begins with.
pub(crate) fn unknown() -> Value {
    document(&Vitals::default())
}

/// A newer version's document is not understood: what it was found to be still is.
fn vitals(known: &Standing) -> Vitals {
    let stored = known.vitals.as_ref();
    let stored = stored.and_then(|vitals| Vitals::deserialize(vitals).ok());
    stored.unwrap_or_else(|| Vitals::of(known.health))
}

fn restriction(word: Option<&str>) -> Restriction {
    let word = word.map(|word| Value::String(word.to_owned()));
    let known = word.and_then(|word| Restriction::deserialize(word).ok());
    known.unwrap_or_default()
}

/// Vitals have words for keys and whole numbers: they always are JSON.
fn document(vitals: &Vitals) -> Value {
    serde_json::to_value(vitals).expect("a node's vitals are JSON")
}
