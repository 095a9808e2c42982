//! All records of a log, read once from the brokers by a client that has just come: what a fresh fold is made of.

use std::collections::BTreeMap;

use async_trait::async_trait;
use futures::{StreamExt as _, TryStreamExt as _};
use qipp_eventlog::{
    Appended, Cut, EventLog, KafkaConfig, KafkaLog, Layout, LogError, NewRecord, Record,
    RecordStream, Topic,
};

/// Records of one read.
const PAGE: usize = 1000;
/// So many partitions are read at the same time: the first read of each waits for the brokers.
const AT_ONCE: usize = 6;

/// A log that stands still.
#[derive(Debug)]
pub(crate) struct Image {
    layout: Layout,
    records: BTreeMap<(Topic, u16), Vec<Record>>,
}

impl Image {
    /// Reads all that is there.
    ///
    /// # Errors
    /// As the log on Kafka.
    pub(crate) async fn read(url: &str) -> Result<Self, LogError> {
        let config = KafkaConfig::from_url(url)?;
        let opened = tokio::task::spawn_blocking(move || KafkaLog::open(config)).await;
        let log = opened.map_err(|error| LogError::Io {
            doing: "open",
            cause: error.to_string(),
        })??;
        let layout = log.layout();
        let all = layout
            .all()
            .map(|(topic, partition)| whole(&log, topic, partition));
        let all = futures::stream::iter(all.collect::<Vec<_>>());
        let records = all.buffer_unordered(AT_ONCE).try_collect().await;
        log.close().await;
        Ok(Self {
            layout,
            records: records?,
        })
    }
}

async fn whole(
    log: &KafkaLog,
    topic: Topic,
    partition: u16,
) -> Result<((Topic, u16), Vec<Record>), LogError> {
    let (mut all, mut from) = (Vec::new(), 0);
    loop {
        let page = log.read(topic, partition, from, PAGE).await?;
        let Some(last) = page.last() else {
            return Ok(((topic, partition), all));
        };
        from = last.position.offset + 1;
        all.extend(page);
    }
}

#[async_trait]
impl EventLog for Image {
    fn layout(&self) -> Layout {
        self.layout
    }

    /// It takes none.
    async fn append(&self, _: Topic, _: u16, _: Vec<NewRecord>) -> Result<Vec<Appended>, LogError> {
        Err(LogError::Closed)
    }

    fn head(&self) -> Cut {
        let next = |records: &Vec<Record>| records.last().map_or(0, |r| r.position.offset + 1);
        let all = self.records.iter();
        all.map(|(lane, records)| (*lane, next(records))).collect()
    }

    fn tail(&self, topic: Topic, partition: u16, from: u64) -> RecordStream {
        let records = self.from(topic, partition, from).cloned().collect();
        futures::stream::iter([Ok(records)]).boxed()
    }

    async fn read(
        &self,
        topic: Topic,
        partition: u16,
        from: u64,
        max: usize,
    ) -> Result<Vec<Record>, LogError> {
        let records = self.from(topic, partition, from);
        Ok(records.take(max).cloned().collect())
    }

    async fn close(&self) {}
}

impl Image {
    fn from(&self, topic: Topic, partition: u16, from: u64) -> impl Iterator<Item = &Record> {
        let records = self
            .records
            .get(&(topic, partition))
            .map_or(&[][..], Vec::as_slice);
        let first = records.partition_point(|record| record.position.offset < from);
        records[first..].iter()
    }
}
