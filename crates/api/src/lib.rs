//! The contract in Rust: generated messages and services, conversions to and from the domain, and the one error model.
//!
//! Nothing here decides anything: it maps. No I/O.

mod convert;
pub mod cut;
pub mod cut_text;
pub mod draft;
pub mod error;
pub mod facts;
pub mod files;
pub mod json;
pub mod names;
pub mod page;
mod parse;
pub mod read;
pub mod view;

/// Generated from `proto/`. The comments of the contract are the documentation.
pub mod proto {
    #![allow(
        missing_docs,
        clippy::all,
        clippy::pedantic,
        clippy::clone_on_ref_ptr,
        unreachable_pub,
        reason = "generated code"
    )]
    /// Facts of the log, positions and cuts.
    pub mod events {
        /// Version 1.
        pub mod v1 {
            tonic::include_proto!("qipp.events.v1");
        }
    }
    /// Submitting returns.
    pub mod intake {
        /// Version 1.
        pub mod v1 {
            tonic::include_proto!("qipp.intake.v1");
        }
    }
    /// Reference data.
    pub mod registry {
        /// Version 1.
        pub mod v1 {
            tonic::include_proto!("qipp.registry.v1");
        }
    }
    /// Questions.
    pub mod projections {
        /// Version 1.
        pub mod v1 {
            tonic::include_proto!("qipp.projections.v1");
        }
    }
    /// Alerts.
    pub mod alerts {
        /// Version 1.
        pub mod v1 {
            tonic::include_proto!("qipp.alerts.v1");
        }
    }
    /// One replica of the projection.
    pub mod replica {
        /// Version 1.
        pub mod v1 {
            tonic::include_proto!("qipp.replica.v1");
        }
    }
    /// The log itself.
    pub mod log {
        /// Version 1.
        pub mod v1 {
            tonic::include_proto!("qipp.log.v1");
        }
    }
}

/// Descriptors of the whole contract with comments, for reflection, JSON and OpenAPI.
pub const DESCRIPTORS: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/qipp.descriptors"));
