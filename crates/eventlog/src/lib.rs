//! qipp-eventlog
