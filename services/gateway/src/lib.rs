//! qipp-gateway
