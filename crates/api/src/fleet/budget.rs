//! Byte budgets: documents of the database turned into placement's words and back.

use std::time::Duration;

use model::{NodeId, SessionId, UnixMillis, UserId};
use placement::counter::Reading;
use placement::{Account, BandwidthPolicy, Budget, Candidate, Held, budget};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use storage::control::budgets::{self, Counters, Event, Ledger};
use storage::control::{nodes, round_trips};
use storage::{Pool, Transaction};

use crate::state::App;

/// An account is looked at no more often: three looks in a row are to be minutes apart.
const SETTLED_FOR: Duration = Duration::from_secs(45);

/// Every node with its budget, as it is now.
pub(crate) async fn candidates(
    transaction: &mut Transaction,
) -> Result<Vec<Candidate>, storage::Error> {
    let nodes = nodes::list(&mut **transaction).await?;
    let budgets = budgets::list(&mut **transaction, None, budget::TAIL).await?;
    let candidates = nodes.into_iter().map(|node| {
        let budget = budgets.iter().find(|budget| budget.node_id == node.id);
        candidate(node, budget)
    });
    Ok(candidates.flatten().collect())
}

/// Adds how far the nodes' regions are from a user's senders, where streams of that user
/// measured it.
pub(crate) async fn measure(
    transaction: &mut Transaction,
    user: &UserId,
    candidates: &mut [Candidate],
    now: UnixMillis,
) -> Result<(), storage::Error> {
    let measured_us = round_trips::of_user(&mut **transaction, user, now).await?;
    for candidate in candidates {
        let rtt_us = measured_us.get(&candidate.node.region);
        candidate.rtt_ms = rtt_us.map(|rtt_us| f64::from(*rtt_us) / 1000.0);
    }
    Ok(())
}

/// One node with its budget, locked until the transaction ends: nobody else holds anything
/// of it meanwhile.
pub(crate) async fn lock(
    transaction: &mut Transaction,
    node: &NodeId,
) -> Result<Option<Candidate>, storage::Error> {
    let Some(node) = nodes::lock(transaction, node).await? else {
        return Ok(None);
    };
    let budgets = budgets::list(&mut **transaction, Some(&node.id), budget::TAIL).await?;
    Ok(candidate(node, budgets.first()))
}

/// A node whose budget cannot be read is no candidate: it might be at its cap.
fn candidate(node: model::node::Node, row: Option<&budgets::Budget>) -> Option<Candidate> {
    let Some(row) = row else {
        return Some(node.into());
    };
    let read = read(row);
    if read.is_none() {
        tracing::error!(node.id = %node.id, "A node's budget cannot be read; it is given no session");
    }
    Some(Candidate {
        budget: Some(read?),
        node,
        rtt_ms: None,
    })
}

/// A budget from its row.
pub(crate) fn read(row: &budgets::Budget) -> Option<Budget> {
    Some(Budget {
        policy: parse(&row.policy)?,
        outlook: parse(&row.outlook)?,
        held: Held {
            bytes: row.held.bytes,
            counted_bps: row.held.counted_bps,
            port_bps: row.held.port_bps,
        },
    })
}

/// Keeps what is held for a session.
pub(crate) async fn hold(
    transaction: &mut Transaction,
    session: &SessionId,
    held: Held,
) -> Result<(), storage::Error> {
    let held = budgets::Held {
        bytes: held.bytes,
        counted_bps: held.counted_bps,
        port_bps: held.port_bps,
    };
    budgets::hold(transaction, session, held).await
}

/// An account open in a transaction.
pub(crate) struct Open {
    pub(crate) policy: BandwidthPolicy,
    pub(crate) account: Account,
    counters: Option<Counters>,
}

impl Open {
    /// A node's account, locked. `None`: the node has no budget, or one that cannot be read.
    pub(crate) async fn lock(
        transaction: &mut Transaction,
        node: &NodeId,
    ) -> Result<Option<Self>, storage::Error> {
        let ledger = budgets::lock(transaction, node).await?;
        Ok(ledger.and_then(|ledger| Self::read(node, ledger)))
    }

    fn read(node: &NodeId, ledger: Ledger) -> Option<Self> {
        let open = parse(&ledger.policy).zip(parse(&ledger.account));
        if open.is_none() {
            tracing::error!(node.id = %node, "A node's account cannot be read");
        }
        let (policy, account) = open?;
        Some(Self {
            policy,
            account,
            counters: ledger.counters,
        })
    }

    /// Books the node's counters as they stand. Returns the bytes that the provider counts.
    pub(crate) fn settle(&mut self, now: UnixMillis) -> u64 {
        let Some(counters) = &self.counters else {
            return 0;
        };
        let reading = Reading {
            boot_id: counters.boot_id.clone(),
            ingress_bytes: counters.ingress_bytes,
            egress_bytes: counters.egress_bytes,
        };
        self.account.settle(&self.policy, &reading, now)
    }

    pub(crate) async fn save(
        &self,
        transaction: &mut Transaction,
        node: &NodeId,
        now: UnixMillis,
    ) -> Result<(), storage::Error> {
        let [account, outlook] = self.documents(now);
        budgets::save(transaction, node, &account, &outlook, now).await
    }

    fn documents(&self, now: UnixMillis) -> [Value; 2] {
        let outlook = self.account.outlook(&self.policy, now);
        [document(&self.account), document(&outlook)]
    }
}

/// Settles a node's account with its real bytes.
pub(crate) async fn settle(app: &App, node: &NodeId) -> Result<(), storage::Error> {
    let now = app.now();
    let mut transaction = storage::begin(&app.pool).await?;
    let Some(mut open) = Open::lock(&mut transaction, node).await? else {
        return Ok(());
    };
    let before = open.account.gate().restriction();
    let bytes = open.settle(now);
    let after = open.account.gate().restriction();
    open.save(&mut transaction, node, now).await?;
    budgets::settle(&mut transaction, node, bytes).await?;
    if before != after {
        let details = json!({"from": before, "to": after});
        record(&mut transaction, node, None, "restriction", details, now).await?;
        tracing::warn!(node.id = %node, from = before.as_str(), to = after.as_str(),
            "What a node's provider lets through changed");
    }
    transaction.commit().await.map_err(storage::Error::from)
}

/// Settles the accounts that are due of at most `limit` nodes after `after`. Returns how many
/// it settled, and the last node that it looked at unless that was all.
pub(crate) async fn settle_due(
    app: &App,
    after: Option<&NodeId>,
    limit: u32,
) -> Result<(u32, Option<NodeId>), storage::Error> {
    let before = app.now().minus(SETTLED_FOR);
    let mut nodes = budgets::due(&app.pool, before, after, limit).await?;
    for node in &nodes {
        settle(app, node).await?;
    }
    let settled = u32::try_from(nodes.len()).unwrap_or(u32::MAX);
    let last = nodes.pop().filter(|_| settled >= limit);
    Ok((settled, last))
}

/// Sets a node's offer. What was counted stays; nothing is counted of the time before
/// the first offer.
pub(crate) async fn set(
    transaction: &mut Transaction,
    node: &NodeId,
    policy: BandwidthPolicy,
    now: UnixMillis,
) -> Result<(), storage::Error> {
    let known = budgets::lock(transaction, node).await?;
    let account = known.and_then(|ledger| parse(&ledger.account));
    let mut open = Open {
        policy,
        account: account.unwrap_or_else(|| Account::open(now)),
        counters: budgets::counters(transaction, node).await?,
    };
    open.account.adopt(&open.policy, now);
    open.settle(now);
    let [account, outlook] = open.documents(now);
    let policy = document(&open.policy);
    budgets::set(transaction, node, &policy, [&account, &outlook], now).await
}

/// Writes down what was done to a budget.
pub(crate) async fn record(
    transaction: &mut Transaction,
    node: &NodeId,
    user_id: Option<&model::UserId>,
    kind: &str,
    details: Value,
    now: UnixMillis,
) -> Result<(), storage::Error> {
    let event = Event {
        at: now,
        user_id: user_id.cloned(),
        kind: kind.to_owned(),
        details,
    };
    budgets::record(transaction, node, &event).await
}

/// The budget of a node, if it has one.
pub(crate) async fn find(
    pool: &Pool,
    node: &NodeId,
) -> Result<Option<budgets::Budget>, storage::Error> {
    let mut rows = budgets::list(pool, Some(node), budget::TAIL).await?;
    Ok(rows.pop())
}

fn parse<T: DeserializeOwned>(document: &Value) -> Option<T> {
    T::deserialize(document).ok()
}

/// Placement's documents have string keys and finite numbers: they always are JSON.
fn document(it: &impl Serialize) -> Value {
    serde_json::to_value(it).expect("a document of placement is JSON")
}
