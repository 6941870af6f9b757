//! The schema `telemetry`, which belongs to the metrics-gateway.

pub mod session_steps;
