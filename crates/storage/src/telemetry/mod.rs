//! The schema `telemetry`, which the metrics-gateway owns.

pub mod apps;
pub mod days;
pub mod intake;
pub mod session_steps;

use crate::columns::{column, number, stored};
