//! qipp-registry
