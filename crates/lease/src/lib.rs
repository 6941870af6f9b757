//! The control plane's signed, expiring permission to use one node.
