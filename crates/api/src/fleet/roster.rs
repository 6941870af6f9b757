//! Every node as the control plane tells other services.

use model::UnixMillis;
use model::node::{BudgetFacts, Node, NodeFacts};
use placement::{Budget, Held, budget};
use storage::control::{budgets, nodes};

use super::budget::read;
use crate::state::App;

/// At most `limit` nodes whose ids follow `after`, and whether there are more.
pub(crate) async fn page(
    app: &App,
    after: &str,
    limit: usize,
) -> Result<(Vec<NodeFacts>, bool), storage::Error> {
    let mut nodes = nodes::list(&app.pool).await?;
    nodes.retain(|node| node.id.as_str() > after);
    nodes.sort_unstable_by(|one, next| one.id.cmp(&next.id));
    let more = nodes.len() > limit;
    nodes.truncate(limit);
    let budgets = budgets::list(&app.pool, None, budget::TAIL).await?;
    let now = app.now();
    let facts = nodes.into_iter().map(|node| {
        let budget = budgets.iter().find(|budget| budget.node_id == node.id);
        // One that cannot be read is told where it is placed by.
        let budget = budget.and_then(read);
        facts(node, budget.as_ref(), now)
    });
    Ok((facts.collect(), more))
}

fn facts(node: Node, budget: Option<&Budget>, now: UnixMillis) -> NodeFacts {
    NodeFacts {
        node_id: node.id,
        name: node.name,
        region: node.region,
        version: node.version.unwrap_or_default(),
        state: node.state,
        sessions: node.sessions,
        sessions_max: node.sessions_max,
        heartbeat_age: node.heartbeat_at.map(|at| now.since(at)),
        budget: budget.map(|budget| budget_facts(budget, now)),
    }
}

fn budget_facts(budget: &Budget, now: UnixMillis) -> BudgetFacts {
    let (limit_bytes, used_bytes) = budget.allowance().unzip();
    BudgetFacts {
        limit_bytes,
        used_bytes,
        projected_ratio: budget.projected_ratio(Held::default(), now),
        exhausted_at: budget.exhausted_at(now),
    }
}
