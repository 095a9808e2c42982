//! qipp-nation
