//! qipp-access
