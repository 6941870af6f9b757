//! What tests need: databases, impaired links, callers, captures.
