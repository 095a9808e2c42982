//! Runs the contract suite against every adapter of this crate.

use async_trait::async_trait;
use qipp_eventlog::conformance::{Factory, Storage};
use qipp_eventlog::{Clock, EmbeddedConfig, EmbeddedLog, EventLog, Layout, MemoryLog};
use std::sync::Arc;
use tempfile::TempDir;

const LAYOUT: Layout = Layout {
    returns: 3,
    alerts: 2,
};

/// The log in memory, with gaps if there is a seed.
struct Memory(Option<u64>);

impl Factory for Memory {
    fn fresh(&self) -> Box<dyn Storage> {
        Box::new(Memory(self.0))
    }
}

#[async_trait]
impl Storage for Memory {
    async fn open(&self, clock: Arc<dyn Clock>) -> Arc<dyn EventLog> {
        let log = MemoryLog::new(LAYOUT, clock);
        Arc::new(match self.0 {
            Some(seed) => log.with_gaps(seed),
            None => log,
        })
    }

    fn is_durable(&self) -> bool {
        false
    }
}

/// The embedded log, with these limits on a frame.
struct Embedded {
    frame_records: usize,
    frame_bytes: usize,
}

struct Directory {
    config: EmbeddedConfig,
    directory: TempDir,
}

impl Factory for Embedded {
    fn fresh(&self) -> Box<dyn Storage> {
        let config = EmbeddedConfig {
            layout: LAYOUT,
            max_frame_records: self.frame_records,
            max_frame_bytes: self.frame_bytes,
            ..EmbeddedConfig::default()
        };
        Box::new(Directory {
            config,
            directory: TempDir::new().expect("a temporary directory can be made"),
        })
    }
}

#[async_trait]
impl Storage for Directory {
    async fn open(&self, clock: Arc<dyn Clock>) -> Arc<dyn EventLog> {
        let config = EmbeddedConfig {
            clock,
            ..self.config.clone()
        };
        Arc::new(EmbeddedLog::open(self.directory.path(), config).expect("the log opens"))
    }

    fn is_durable(&self) -> bool {
        true
    }
}

mod memory {
    qipp_eventlog::conformance_suite!(super::Memory(None));
}

mod memory_with_gaps {
    qipp_eventlog::conformance_suite!(super::Memory(Some(2026)));
}

mod embedded {
    qipp_eventlog::conformance_suite!(super::Embedded {
        frame_records: 256,
        frame_bytes: 60 * 1024
    });
}

mod embedded_with_tiny_frames {
    qipp_eventlog::conformance_suite!(super::Embedded {
        frame_records: 2,
        frame_bytes: 100
    });
}
