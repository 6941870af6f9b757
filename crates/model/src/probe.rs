//! Calls that only ask whether a node is there.

/// The stream id of such a call: a node refuses it under a reason of its own, so that probes
/// are not taken for callers who are turned away.
pub const STREAM_ID: &str = "streamhaul_probe";
