//! Real Apache Kafka for tests and for people: fetched once, started on loopback, killed, paused, cut off, and gone without a trace.
//!
//! * [`shared`]: one broker for all tests of a process, or the cluster that [`EXISTING`] names. For everything that only needs a broker.
//! * [`Secured`]: one broker that wants a password or a certificate, with TLS and without.
//! * [`Cluster`]: one or three brokers of one's own, for everything that kills, pauses or cuts.
//! * [`View`]: other addresses of the same brokers, so that one client can be cut off while others are not.
//!
//! Every call blocks; from async code call it by `spawn_blocking`. Nothing here is a fake, and nothing skips: when a tool is missing, the
//! error names the package. How long things take, and where they are kept, is in `README.md` beside this.
//!
//! Never depends on any other part of the house.

mod cluster;
mod distribution;
mod error;
mod node;
mod ports;
mod properties;
mod secured;
mod shared;
mod view;
mod watchdog;
mod wire;

pub use cluster::{Cluster, VIEWS};
pub use distribution::{Distribution, VERSION};
pub use error::{Code, Error};
pub use ports::free_ports;
pub use secured::{Listener, PASSWORD, Secured, USER, shared_secured};
pub use shared::{EXISTING, Shared, shared};
pub use view::View;
