//! qipp-domain
