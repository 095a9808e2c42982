//! qipp-projections
