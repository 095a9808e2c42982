//! qipp-rules
