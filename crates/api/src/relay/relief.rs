//! Moves sessions from nodes whose bytes run out: before their providers' caps bite, and off
//! nodes on which they do.
//!
//! The job `plan_moves` says when. Each plan is made from what the rows say, so nothing is lost
//! with a replica that dies between two, and what moves already is not planned again. A sender that did not follow
//! is left alone for a while: to pull its stream costs its node bytes, too.

use std::time::{Duration, Instant};

use model::{NodeId, SessionId, StreamSettings, UnixMillis};
use placement::budget::TAIL;
use placement::{Candidate, Held, Movable, Move, MovePolicy, Outlook, is_pressed, plan_moves};
use storage::Transaction;
use storage::control::relief;

use super::moves::{By, Destination, begin};
use super::place;
use crate::fleet::budget;
use crate::state::App;

/// How long it may take to begin the moves of one plan: who asked waits for it.
const BEGINNING_MAX: Duration = Duration::from_secs(10);

/// Begins the moves that nodes' budgets ask for, unless somebody else is about it. Says whose.
pub(crate) async fn relieve(app: &App) -> Result<Vec<SessionId>, storage::Error> {
    let policy = MovePolicy {
        moves_max: app.config.placement.moves_max as usize,
        ..MovePolicy::default()
    };
    if policy.moves_max == 0 {
        return Ok(Vec::new());
    }
    // Open until the last move has begun: whoever plans meanwhile would not count them all.
    let mut turn = storage::begin(&app.pool).await?;
    if !relief::take_turn(&mut turn).await? {
        return Ok(Vec::new());
    }
    let fleet = fleet(&mut turn).await?;
    let plan = plan(app, &mut turn, &fleet, &policy).await?;
    let (began, mut moved) = (Instant::now(), Vec::new());
    for planned in plan {
        if began.elapsed() >= BEGINNING_MAX {
            break;
        }
        if let Some(outlook) = outlook(&fleet, &planned.from)
            && follow(app, &planned, outlook).await
        {
            moved.push(planned.session_id);
        }
    }
    storage::commit(turn).await?;
    Ok(moved)
}

/// The nodes, as if what leaves them had left.
async fn fleet(transaction: &mut Transaction) -> Result<Vec<Candidate>, storage::Error> {
    let mut fleet = budget::candidates(transaction).await?;
    for (node, held) in relief::leaving(transaction, TAIL).await? {
        let candidate = fleet.iter_mut().find(|it| it.node.id == node);
        if let Some(budget) = candidate.and_then(|it| it.budget.as_mut()) {
            budget.release(placed(held));
        }
    }
    Ok(fleet)
}

async fn plan(
    app: &App,
    transaction: &mut Transaction,
    fleet: &[Candidate],
    policy: &MovePolicy,
) -> Result<Vec<Move>, storage::Error> {
    let now = app.now();
    let pressed = fleet.iter().filter(|it| is_pressed(it, policy, now));
    let pressed: Vec<NodeId> = pressed.map(|it| it.node.id.clone()).collect();
    if pressed.is_empty() {
        return Ok(Vec::new());
    }
    let sessions = relief::movable(transaction, &pressed, TAIL).await?;
    let sessions: Vec<Movable> = sessions
        .into_iter()
        .filter(|it| can_move(it, policy, now))
        .map(|it| movable(app, it))
        .collect();
    let usual = place::wanted(app, None, &StreamSettings::default());
    Ok(plan_moves(fleet, &sessions, &usual, policy, now))
}

/// Whether its sender did not stay behind a short while ago.
fn can_move(it: &relief::Movable, policy: &MovePolicy, now: UnixMillis) -> bool {
    let rests = |at| now.since(at) < policy.cool_down;
    !it.tried_at.is_some_and(rests)
}

fn movable(app: &App, it: relief::Movable) -> Movable {
    Movable {
        session_id: it.session_id,
        node_id: it.node_id,
        held: placed(it.held),
        demand: place::demand(app, &it.settings),
        region: it.region_requested,
        started_at: it.started_at,
        moved_at: it.was_moved.then_some(it.started_at),
    }
}

fn placed(held: storage::control::budgets::Held) -> Held {
    Held {
        bytes: held.bytes,
        counted_bps: held.counted_bps,
        port_bps: held.port_bps,
    }
}

fn outlook<'a>(fleet: &'a [Candidate], node: &NodeId) -> Option<&'a Outlook> {
    let candidate = fleet.iter().find(|it| it.node.id == *node)?;
    candidate.budget.as_ref().map(|it| &it.outlook)
}

/// What changed since the plan was made is looked at again: a move that is no longer
/// possible is left out, and planned anew the next time. Says whether it began.
async fn follow(app: &App, planned: &Move, outlook: &Outlook) -> bool {
    let to = Destination {
        region: None,
        node: Some(planned.to.clone()),
    };
    match begin(app, &planned.session_id, &to, By::Budget(outlook)).await {
        Ok(_) => {
            tracing::info!(session.id = %planned.session_id, node.id = %planned.from,
                restriction = outlook.restriction.as_str(), "A session leaves a node whose bytes run out");
            true
        }
        Err(error) => {
            tracing::debug!(session.id = %planned.session_id, ?error,
                "A session cannot leave its node");
            false
        }
    }
}
