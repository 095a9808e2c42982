//! A log that is shared, and of which a process hears late: when the test says so.
//!
//! What this process appends it hears of at once, as a log has to promise. What others append is in [`EventLog::find_head`] at once and in
//! everything else after [`Late::hear`].

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::SeqCst};

use futures::StreamExt as _;
use qipp_eventlog::{
    Appended, Cut, EventLog, Layout, LogError, NewRecord, Record, RecordStream, Topic,
};
use tokio::sync::watch;

/// A view of a log that others write to.
#[derive(Debug)]
pub struct Late {
    log: Arc<dyn EventLog>,
    heard: watch::Sender<Cut>,
    /// Hears at once.
    is_prompt: bool,
    asked: AtomicU64,
    read: Arc<AtomicU64>,
    is_away: watch::Sender<bool>,
}

impl Late {
    /// A view that has heard of everything that is there by now.
    #[must_use]
    pub fn new(log: Arc<dyn EventLog>) -> Arc<Self> {
        Self::of(log, false)
    }

    /// A view that hears of everything at once: a log that several houses of one test share.
    #[must_use]
    pub fn prompt(log: Arc<dyn EventLog>) -> Arc<Self> {
        Self::of(log, true)
    }

    fn of(log: Arc<dyn EventLog>, is_prompt: bool) -> Arc<Self> {
        Arc::new(Self {
            is_prompt,
            heard: watch::Sender::new(log.head()),
            log,
            asked: AtomicU64::new(0),
            read: Arc::default(),
            is_away: watch::Sender::new(false),
        })
    }

    /// Hears of everything that is there by now.
    pub fn hear(&self) {
        self.heard.send_replace(self.log.head());
    }

    /// How many times it was asked where the log really ends.
    pub fn asked(&self) -> u64 {
        self.asked.load(SeqCst)
    }

    /// How many records were taken from it.
    pub fn read(&self) -> u64 {
        self.read.load(SeqCst)
    }

    /// From now on, the brokers do not answer, or do again.
    pub fn go_away(&self, is_away: bool) {
        self.is_away.send_replace(is_away);
    }
}

fn away(doing: &'static str) -> LogError {
    LogError::Io {
        doing,
        cause: "the brokers are away".to_owned(),
    }
}

#[async_trait::async_trait]
impl EventLog for Late {
    fn layout(&self) -> Layout {
        self.log.layout()
    }

    async fn append(
        &self,
        topic: Topic,
        partition: u16,
        records: Vec<NewRecord>,
    ) -> Result<Vec<Appended>, LogError> {
        if *self.is_away.borrow() {
            return Err(away("append"));
        }
        let receipts = self.log.append(topic, partition, records).await?;
        if let Some(last) = receipts.last() {
            let next = last.position.offset + 1;
            self.heard
                .send_modify(|heard| heard.advance_to(topic, partition, next));
        }
        Ok(receipts)
    }

    fn head(&self) -> Cut {
        match self.is_prompt {
            true => self.log.head(),
            false => self.heard.borrow().clone(),
        }
    }

    async fn find_head(&self) -> Result<Cut, LogError> {
        self.asked.fetch_add(1, SeqCst);
        match *self.is_away.borrow() {
            true => Err(away("say where it ends")),
            false => Ok(self.log.head()),
        }
    }

    fn is_shared(&self) -> bool {
        true
    }

    fn tail(&self, topic: Topic, partition: u16, from: u64) -> RecordStream {
        let read = Arc::clone(&self.read);
        let batches = self.log.tail(topic, partition, from).inspect(move |batch| {
            read.fetch_add(batch.as_ref().map_or(0, Vec::len) as u64, SeqCst);
        });
        if self.is_prompt {
            return Box::pin(batches);
        }
        let heard = self.heard.clone();
        let heard_of = move |batch: Result<Vec<Record>, LogError>| {
            let mut heard = heard.subscribe();
            async move {
                if let Ok(Some(last)) = batch.as_ref().map(|batch| batch.last()) {
                    let next = last.position.offset + 1;
                    let known = heard.wait_for(|cut| cut.next(topic, partition) >= next);
                    known.await.map_err(|_| LogError::Closed)?;
                }
                batch
            }
        };
        Box::pin(batches.then(heard_of))
    }

    async fn read(
        &self,
        topic: Topic,
        partition: u16,
        from: u64,
        max: usize,
    ) -> Result<Vec<Record>, LogError> {
        let records = self.log.read(topic, partition, from, max).await?;
        self.read.fetch_add(records.len() as u64, SeqCst);
        Ok(records)
    }

    /// The log belongs to the one who made it.
    async fn close(&self) {}
}
