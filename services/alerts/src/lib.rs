//! qipp-alerts
