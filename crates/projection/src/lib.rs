//! qipp-projection
