//! SRT live mode, sans-IO.
