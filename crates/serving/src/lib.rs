//! What every service needs to answer a call: who asks, until when, from which state, and how a fact is appended.
//!
//! The thin shell around the pure core, once for all services. It decides nothing about the domain and knows no rpc by name.

pub mod admission;
mod append;
mod call;
mod caller;
mod catch_up;
pub mod field;
mod gate;
mod methods;
mod metrics;
mod moment;
pub mod named;
pub mod trace;

use std::fmt;
use std::sync::Arc;

use qipp_domain::completeness::day_of_ms;
use qipp_eventlog::{Clock, EventLog};
use qipp_projection::Follower;
use tokio_util::sync::CancellationToken;

pub use append::{Written, log_error, wait_error};
pub use caller::{Caller, DEFAULT_TIMEOUT, denied};
pub use gate::{Gate, GateParts, transport_fault};
pub use methods::{Method, Methods};
pub use metrics::Metrics;
pub use moment::{Answer, ListAnswer};

/// What a service is built from. Every part is a port, so that a test gives its own.
#[derive(Clone)]
pub struct Deps {
    /// The log.
    pub log: Arc<dyn EventLog>,
    /// The folded log.
    pub follower: Follower,
    /// The time. A replay gives one of its own.
    pub clock: Arc<dyn Clock>,
    /// Cancelled when the process is to end: long-lived streams end with it.
    pub shutdown: CancellationToken,
    /// What is counted.
    pub metrics: Metrics,
}

impl Deps {
    /// Today (UTC).
    #[must_use]
    pub fn today(&self) -> jiff::civil::Date {
        day_of_ms(self.clock.now_ms())
    }
}

impl fmt::Debug for Deps {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Deps")
            .field("log", &self.log)
            .field("clock", &self.clock)
            .finish_non_exhaustive()
    }
}

/// Answers a unary rpc: finds the caller, does the work, and gives errors their request id.
#[macro_export]
macro_rules! answer {
    ($service:ident, $request:ident, $work:ident) => {{
        let caller = $crate::Caller::of(&$request)?;
        let answered = $service.$work(&caller, $request.into_inner()).await;
        answered
            .map(tonic::Response::new)
            .map_err(|error| caller.status(error))
    }};
}
