//! qipp-intake
