//! The relay as a state machine: admission, streams, fan-out, limits, counters.
