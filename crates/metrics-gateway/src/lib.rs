//! Telemetry in, the fleet's truth out.
