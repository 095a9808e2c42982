//! A share of the log: one of several parts of a nation's organisations, for a nation that outgrows one process.
//!
//! Reference data and national values belong to everybody and are in every share. Of returns and alerts a share has some of the partitions, so
//! every organisation is in exactly one share. Nothing here folds; the folder of a share sees a log with these lanes and no others.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use async_trait::async_trait;
use futures::StreamExt;
use qipp_domain::{Cut, OrgCode};
use qipp_eventlog::{Appended, EventLog, Layout, LogError, NewRecord, Record, RecordStream, Topic};
use serde::{Deserialize, Serialize};
use tokio::sync::watch;

use crate::lane::place_of;

/// Share `index` of `of`, counted from 0: of returns and alerts, the partitions whose number leaves `index` when divided by `of`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Share {
    index: u16,
    of: u16,
}

impl Share {
    /// The whole nation.
    pub const WHOLE: Self = Self { index: 0, of: 1 };

    /// A share; `None` unless `index` is below `of`.
    #[must_use]
    pub const fn new(index: u16, of: u16) -> Option<Self> {
        if index < of {
            Some(Self { index, of })
        } else {
            None
        }
    }

    /// Which one, counted from 0.
    #[must_use]
    pub const fn index(self) -> u16 {
        self.index
    }

    /// How many there are.
    #[must_use]
    pub const fn of(self) -> u16 {
        self.of
    }

    /// Is it everything?
    #[must_use]
    pub const fn is_whole(self) -> bool {
        self.of == 1
    }

    /// The shares that others have.
    pub fn others(self) -> impl Iterator<Item = u16> {
        (0..self.of).filter(move |index| *index != self.index)
    }

    /// Does the partition belong to it?
    #[must_use]
    pub const fn has(self, topic: Topic, partition: u16) -> bool {
        match topic {
            Topic::Reference | Topic::Benchmarks => true,
            Topic::Returns | Topic::Alerts => partition % self.of == self.index,
        }
    }

    /// Does the lane belong to it?
    #[must_use]
    pub fn has_lane(self, lane: u32) -> bool {
        self.is_whole() || place_of(lane).is_some_and(|(topic, at)| self.has(topic, at))
    }

    /// Is the organisation one of its own? `layout` is that of the log.
    #[must_use]
    pub fn has_org(self, layout: Layout, org: OrgCode) -> bool {
        let partition = layout.partition_of(Topic::Returns, org.as_str().as_bytes());
        self.has(Topic::Returns, partition)
    }

    /// A cut without the lanes of others.
    #[must_use]
    pub fn narrow(self, cut: &Cut) -> Cut {
        cut.iter()
            .filter(|(lane, _)| self.has_lane(*lane))
            .collect()
    }

    /// The log as this share sees it; the log itself for the whole.
    #[must_use]
    pub fn of_log(self, log: Arc<dyn EventLog>) -> Arc<dyn EventLog> {
        match self.is_whole() {
            true => log,
            false => Arc::new(Part { log, share: self }),
        }
    }
}

impl Default for Share {
    fn default() -> Self {
        Self::WHOLE
    }
}

/// `1/3`; the whole is `0/1`.
impl fmt::Display for Share {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.index, self.of)
    }
}

/// Why a text is no share.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("use I/N with I from 0 to N-1, for example 0/3, or nothing for the whole nation")]
pub struct NoShare;

impl FromStr for Share {
    type Err = NoShare;

    /// Nothing is the whole.
    fn from_str(text: &str) -> Result<Self, NoShare> {
        if text.is_empty() {
            return Ok(Self::WHOLE);
        }
        let (index, of) = text.split_once('/').ok_or(NoShare)?;
        let number = |text: &str| text.parse().map_err(|_| NoShare);
        Self::new(number(index)?, number(of)?).ok_or(NoShare)
    }
}

impl TryFrom<String> for Share {
    type Error = NoShare;

    fn try_from(text: String) -> Result<Self, NoShare> {
        text.parse()
    }
}

impl From<Share> for String {
    fn from(share: Share) -> Self {
        match share.is_whole() {
            true => Self::new(),
            false => share.to_string(),
        }
    }
}

/// A log of which nothing is seen but a share. Whoever waits for its end, or counts what is behind it, has to do with these lanes only.
#[derive(Debug)]
struct Part {
    log: Arc<dyn EventLog>,
    share: Share,
}

impl Part {
    fn narrow(&self, cut: &qipp_eventlog::Cut) -> qipp_eventlog::Cut {
        let own = cut
            .iter()
            .filter(|((topic, at), _)| self.share.has(*topic, *at));
        own.collect()
    }
}

#[async_trait]
impl EventLog for Part {
    /// That of the whole: which partition an organisation belongs to does not depend on who asks.
    fn layout(&self) -> Layout {
        self.log.layout()
    }

    async fn append(
        &self,
        topic: Topic,
        partition: u16,
        records: Vec<NewRecord>,
    ) -> Result<Vec<Appended>, LogError> {
        self.log.append(topic, partition, records).await
    }

    fn head(&self) -> qipp_eventlog::Cut {
        self.narrow(&self.log.head())
    }

    async fn find_head(&self) -> Result<qipp_eventlog::Cut, LogError> {
        self.log.find_head().await.map(|head| self.narrow(&head))
    }

    fn stand(&self) -> watch::Receiver<bool> {
        self.log.stand()
    }

    fn is_shared(&self) -> bool {
        self.log.is_shared()
    }

    fn waiting(&self) -> usize {
        self.log.waiting()
    }

    /// Of a lane of others nothing ever comes.
    fn tail(&self, topic: Topic, partition: u16, from: u64) -> RecordStream {
        match self.share.has(topic, partition) {
            true => self.log.tail(topic, partition, from),
            false => futures::stream::pending().boxed(),
        }
    }

    async fn read(
        &self,
        topic: Topic,
        partition: u16,
        from: u64,
        max: usize,
    ) -> Result<Vec<Record>, LogError> {
        match self.share.has(topic, partition) {
            true => self.log.read(topic, partition, from, max).await,
            false => Ok(Vec::new()),
        }
    }

    async fn close(&self) {
        self.log.close().await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lane::lane_of;

    #[test]
    fn every_partition_of_an_organisation_is_in_one_share_and_the_rest_in_all() {
        for of in 1..=5 {
            let shares: Vec<Share> = (0..of).filter_map(|i| Share::new(i, of)).collect();
            for partition in 0..12 {
                let held = |topic| shares.iter().filter(|s| s.has(topic, partition)).count();
                assert_eq!((held(Topic::Returns), held(Topic::Alerts)), (1, 1));
                assert_eq!(held(Topic::Reference), usize::from(of));
            }
        }
        assert_eq!(Share::new(3, 3), None);
    }

    #[test]
    fn a_share_is_written_as_it_is_read_and_nothing_is_the_whole() {
        let third: Share = "1/3".parse().unwrap();
        assert_eq!((third.index(), third.of()), (1, 3));
        assert_eq!(third.others().collect::<Vec<_>>(), [0, 2]);
        assert_eq!(String::from(third), "1/3");
        assert_eq!("".parse(), Ok(Share::WHOLE));
        assert_eq!(String::from(Share::WHOLE), "");
        for wrong in ["3/3", "1", "a/b", "1/0", "-1/3", "0/70000"] {
            assert_eq!(wrong.parse::<Share>(), Err(NoShare), "{wrong}");
        }
    }

    #[test]
    fn a_cut_is_cut_down_to_the_own_lanes() {
        let cut: Cut = [
            (lane_of(Topic::Reference, 0), 4),
            (lane_of(Topic::Returns, 1), 5),
            (lane_of(Topic::Returns, 2), 6),
            (lane_of(Topic::Alerts, 4), 7),
        ]
        .into_iter()
        .collect();
        let narrow = Share::new(1, 3).unwrap().narrow(&cut);
        let lanes: Vec<u64> = narrow.iter().map(|(_, next)| next).collect();
        assert_eq!(lanes, [4, 5, 7]);
        assert_eq!(Share::WHOLE.narrow(&cut), cut);
    }
}
