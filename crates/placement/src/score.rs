//! What a candidate costs: one sum in the operator's currency, each term with its name.

use std::time::Duration;

use model::node::{Node, NodeHealth};
use model::{Region, UnixMillis};
use serde::Serialize;

use crate::budget::{Budget, Demand};
use crate::policy::TERABYTE;

/// How steeply an allowance gets dearer as its projection nears 1. With 10 000, half of
/// it costs a hundredth of the price that all of it has.
const STEEPNESS: f64 = 1e4;
/// A projection beyond this is as dear as it gets.
const PROJECTED_RATIO_MAX: f64 = 2.0;

/// How late a port becomes dear: two thirds full costs a twentieth of what full does.
const PORT_EXPONENT: i32 = 8;

/// What an operator would pay for what is not money, in their currency.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Weights {
    /// To have a session in the region that was asked for.
    pub region: f64,
    /// For each millisecond of round trip beyond the nearest node's.
    pub rtt_ms: f64,
    /// For a terabyte on a node whose allowance will just be used up: what it costs where
    /// bytes are sold.
    pub terabyte: f64,
    /// To keep a port from being full.
    pub port: f64,
    /// To keep a node from holding all the sessions that it may.
    pub load: f64,
    /// To keep a session off a node that is strained: more than any region is worth.
    pub degraded: f64,
    /// To keep it off a node that is not trusted yet.
    pub probation: f64,
}

impl Default for Weights {
    fn default() -> Self {
        Self {
            region: 5.0,
            rtt_ms: 0.005,
            terabyte: 100.0,
            port: 2.0,
            load: 0.1,
            degraded: 50.0,
            probation: 0.5,
        }
    }
}

/// What a session needs.
#[derive(Debug, Clone, PartialEq)]
pub struct Request {
    /// The region the caller wants; none: any.
    pub region: Option<Region>,
    /// A node not heard for longer than this is out, whatever its state says.
    pub silent_max: Duration,
    /// The most sessions that a node on probation is given.
    pub probation_sessions_max: u32,
    /// What the session will take.
    pub demand: Demand,
    /// What counts how much.
    pub weights: Weights,
}

/// What a node costs, in the operator's currency.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize)]
pub struct Cost {
    /// It stands in another region than asked for.
    pub region: f64,
    /// It is farther from the caller than the nearest candidate.
    pub latency: f64,
    /// Its allowance may not last: the price of its bytes at their projected scarcity.
    pub budget: f64,
    /// Its bytes are sold.
    pub money: f64,
    /// Its port fills up.
    pub port: f64,
    /// It holds many sessions of those it may.
    pub load: f64,
    /// It is strained, or not trusted yet.
    pub health: f64,
}

impl Cost {
    /// The sum.
    #[must_use]
    pub fn total(&self) -> f64 {
        self.region + self.latency + self.budget + self.money + self.port + self.load + self.health
    }
}

/// A candidate as it is costed.
pub(crate) struct Subject<'a> {
    pub(crate) node: &'a Node,
    pub(crate) budget: Option<&'a Budget>,
    /// Beyond the nearest candidate's.
    pub(crate) extra_rtt_ms: f64,
}

pub(crate) fn cost(subject: &Subject<'_>, request: &Request, now: UnixMillis) -> Cost {
    let weights = &request.weights;
    let node = subject.node;
    let is_elsewhere = request
        .region
        .as_ref()
        .is_some_and(|wanted| *wanted != node.region);
    let mut cost = Cost {
        region: if is_elsewhere { weights.region } else { 0.0 },
        latency: weights.rtt_ms * subject.extra_rtt_ms,
        load: weights.load * f64::from(node.sessions) / f64::from(node.sessions_max.max(1)),
        health: match node.health {
            NodeHealth::Degraded => weights.degraded,
            NodeHealth::Probation => weights.probation,
            _ => 0.0,
        },
        ..Cost::default()
    };
    if let Some(budget) = subject.budget {
        let new = request.demand.on(&budget.policy);
        let terabytes = new.bytes as f64 / TERABYTE;
        if !budget.floor_carries(new) {
            let scarcity = scarcity(budget.projected_ratio(new, now));
            cost.budget = weights.terabyte * terabytes * scarcity;
        }
        cost.money = budget.money(new);
        cost.port = weights.port * budget.port_ratio(new).min(1.0).powi(PORT_EXPONENT);
    }
    cost
}

/// 0 when nothing is used, 1 when all will be, exponential in between and beyond: the
/// price of online routing (Aspnes, Azar, Fiat, Plotkin and Waarts, 1997), which spends
/// freely early and never overdraws by much whatever comes.
pub(crate) fn scarcity(projected_ratio: f64) -> f64 {
    let ratio = projected_ratio.clamp(0.0, PROJECTED_RATIO_MAX);
    (STEEPNESS.powf(ratio) - 1.0) / (STEEPNESS - 1.0)
}
