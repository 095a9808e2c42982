//! One broker for all tests of a process that only need some broker.

use std::sync::OnceLock;

use crate::cluster::Cluster;
use crate::error::Error;

/// The variable that points the tests at a cluster that is there: `host:port,…`. It must let topics be created.
pub const EXISTING: &str = "QIPP_TEST_KAFKA_BROKERS";

/// A broker that all tests of this process share: they keep out of each other's way by the names of their topics.
#[derive(Debug)]
pub struct Shared {
    brokers: String,
    /// Held: it ends with the process.
    own: Option<Cluster>,
}

impl Shared {
    /// The bootstrap list.
    #[must_use]
    pub fn brokers(&self) -> &str {
        &self.brokers
    }

    /// Whether the cluster was there before, and stays: nothing of it may be killed, and it may have any number of brokers.
    #[must_use]
    pub fn existing(&self) -> bool {
        self.own.is_none()
    }
}

/// Starts the broker at the first call, or takes the cluster that [`EXISTING`] names. It ends when the process does.
///
/// # Errors
/// Those of [`Cluster::start`], to every caller alike.
pub fn shared() -> Result<&'static Shared, Error> {
    static SHARED: OnceLock<Result<Shared, Error>> = OnceLock::new();
    SHARED.get_or_init(open).as_ref().map_err(Error::clone)
}

fn open() -> Result<Shared, Error> {
    if let Some(brokers) = existing() {
        return Ok(Shared { brokers, own: None });
    }
    let own = Cluster::start(1)?;
    Ok(Shared {
        brokers: own.brokers(),
        own: Some(own),
    })
}

/// The cluster that the tests are pointed at, if any.
pub(crate) fn existing() -> Option<String> {
    let named = std::env::var(EXISTING).ok();
    named.filter(|brokers| !brokers.is_empty())
}
