//! qipp-tests
