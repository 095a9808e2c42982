//! qipp-api
